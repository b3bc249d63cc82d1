package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.cuda.CudaDepthwise.Slice;
import io.fbnet.engine.cuda.CudaNorm.Pixels;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CublasLtMatmul;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.IntSupplier;
import java.util.stream.Stream;

/**
 * The steps of a bank: one product for all first convolutions, one norm over all their channels, a
 * depthwise launch for each kernel size, a norm, the last convolutions, a norm, and a mixture that
 * applies it; backwards likewise.
 */
final class BankSteps {
  private final CudaCompiler compiler;
  private final CudaContext context;
  private final LayerBank bank;
  private final IntSupplier ids;
  private BankWeights weights;
  private BankMix mix;

  /** The images of a forward pass that the gradients read. */
  private record Images(Value expanded, Value filtered, Value normalised) {}

  private final Images images;
  private final Value projected;

  /** Numbers of the norms, [4][channels]: mean, inverse deviation, gamma, beta. */
  private final Value expandNorm;

  private final Value depthwiseNorm;
  private final Value projectNorm;

  /**
   * Makes no kernels yet.
   *
   * @param ids numbers for values of its own
   */
  BankSteps(CudaCompiler compiler, LayerBank bank, IntSupplier ids) {
    this.compiler = compiler;
    this.bank = bank;
    this.ids = ids;
    context = compiler.context();
    images = newImages("");
    projected = image("projected", bank.allOutputs(), bank.mix().y());
    expandNorm = numbers("expand norm", bank.width());
    depthwiseNorm = numbers("depthwise norm", bank.width());
    projectNorm = numbers("project norm", bank.allOutputs());
  }

  private Images newImages(String again) {
    return new Images(
        image("expanded" + again, bank.width(), bank.x()),
        image("filtered" + again, bank.width(), bank.mix().y()),
        image("normalised" + again, bank.width(), bank.mix().y()));
  }

  private Value image(String name, int channels, Value like) {
    Shape s = like.shape();
    return value(name, Shape.of(s.get(0), channels, s.get(2), s.get(3)));
  }

  private Value numbers(String name, int channels) {
    return value(name, Shape.of(4, channels));
  }

  private Value value(String name, Shape shape) {
    return new Value(ids.getAsInt(), "bank " + name, shape, Type.F32);
  }

  // Forward

  List<Step> forward() {
    List<Step> steps = new ArrayList<>();
    steps.add(expand(images));
    steps.add(
        statistics(
            images.expanded(), expandNorm, BankCandidate::expandNorm, BankWeights::expandNorm));
    steps.add(filter(images));
    steps.add(
        statistics(
            images.filtered(),
            depthwiseNorm,
            BankCandidate::depthwiseNorm,
            BankWeights::depthwiseNorm));
    steps.add(normalise(images));
    steps.add(
        step(
            with(parameters(BankCandidate::project), images.normalised()),
            List.of(projected),
            (w, m) -> project(w, operand(m, images.normalised()), operand(m, projected))));
    steps.add(
        statistics(projected, projectNorm, BankCandidate::projectNorm, BankWeights::projectNorm));
    List<Value> read = new ArrayList<>(List.of(projected, projectNorm, bank.mix().m()));
    if (!bank.adding().isEmpty()) {
      read.add(bank.x());
    }
    bank.others().forEach(k -> read.add(bank.mix().xs().get(k)));
    steps.add(
        step(
            read,
            List.of(bank.mix().y()),
            (w, m) -> mix(m).forward(projected, m.apply(projectNorm))));
    return steps;
  }

  private Step expand(Images to) {
    return step(
        with(parameters(BankCandidate::expand), bank.x()),
        List.of(to.expanded()),
        (w, m) ->
            product(operand(m, bank.x()), false, w.expand(), true, operand(m, to.expanded())));
  }

  private Step filter(Images to) {
    return step(
        with(parameters(BankCandidate::depthwise), to.expanded(), expandNorm),
        List.of(to.filtered()),
        (w, m) ->
            ranges(
                range ->
                    CudaDepthwise.forward(
                        context,
                        sizes(range),
                        slice(m, to.expanded(), range),
                        norm(m, range),
                        w.depthwise(range),
                        slice(m, to.filtered(), range))));
  }

  private Step normalise(Images to) {
    return step(
        List.of(to.filtered(), depthwiseNorm),
        List.of(to.normalised()),
        (w, m) ->
            CudaNorm.apply(
                context,
                pixels(m, to.filtered()),
                numbers(m, depthwiseNorm, bank.any().depthwiseNorm().relu()),
                m.apply(to.normalised())));
  }

  private Step statistics(
      Value x,
      Value numbers,
      Function<BankCandidate, Op.BatchNorm> norm,
      Function<BankWeights, BankWeights.Places> where) {
    Op.BatchNorm any = norm.apply(bank.any());
    List<Value> read = new ArrayList<>(List.of(x));
    List<Value> written = new ArrayList<>(List.of(numbers));
    for (BankCandidate c : bank.candidates()) {
      Op.BatchNorm bn = norm.apply(c);
      read.addAll(List.of(bn.gamma(), bn.beta()));
      if (bn.momentum() != null) {
        written.addAll(List.of(bn.runningMean(), bn.runningVariance()));
      }
    }
    return step(
        read,
        written,
        (w, m) -> {
          BankWeights.Places places = where.apply(w);
          CudaNorm.Numbers into = numbers(m, numbers, false);
          return CudaNorm.statistics(
              context,
              pixels(m, x),
              into.mean(),
              into.inverse(),
              new CudaNorm.Running(
                  places.running(),
                  places.running(),
                  any.momentum() == null ? null : m.apply(any.momentum()),
                  any.epsilon(),
                  places.places(),
                  places.gamma(),
                  into.gamma()));
        });
  }

  // Backward

  /**
   * The steps of all gradients.
   *
   * @param total takes the gradient of the layer's input, null where nothing needs it
   */
  List<Step> backward(Value total) {
    List<Step> steps = new ArrayList<>();
    boolean gradients = bank.hasGradients();
    Images read = images;
    if (gradients && bank.any().gradient().readsAgain(bank.any())) {
      read = newImages(" again");
      steps.add(expand(read));
      steps.add(filter(read));
    }
    Value means = value("means", Shape.of(2, bank.allOutputs()));
    steps.add(sums(gradients ? means : null));
    if (gradients) {
      Value dProjected = image("d projected", bank.allOutputs(), bank.mix().y());
      steps.add(
          step(
              List.of(projected, projectNorm, bank.dy(), bank.mix().m(), means),
              List.of(dProjected),
              (w, m) -> mix(m).apply(projected, m.apply(projectNorm), m.apply(means), dProjected)));
      convolutions(steps, read, dProjected, total);
    }
    return steps;
  }

  private Step sums(Value means) {
    List<Value> inputs =
        new ArrayList<>(List.of(projected, projectNorm, bank.dy(), bank.mix().m()));
    List<Value> outputs = new ArrayList<>();
    if (bank.coefficients() != null) {
      outputs.add(bank.coefficients().dm());
      inputs.add(bank.x());
      bank.others().forEach(k -> inputs.add(bank.coefficients().xs().get(k)));
    }
    if (means != null) {
      outputs.add(means);
      outputs.addAll(normGradients(BankCandidate.Gradient::projectNorm));
    }
    return step(
        inputs,
        outputs,
        (w, m) -> {
          boolean wanted = means != null && bank.any().gradient().ofWeights();
          Value gamma = wanted ? bank.any().gradient().projectNorm().dgamma() : null;
          return mix(m)
              .sums(
                  projected,
                  m.apply(projectNorm),
                  means == null ? null : m.apply(means),
                  wanted ? m.apply(gamma) : null,
                  wanted ? w.projectNorm().places() : null);
        });
  }

  private void convolutions(List<Step> steps, Images read, Value dProjected, Value total) {
    boolean ofWeights = bank.any().gradient().ofWeights();
    Value dNormalised = image("d normalised", bank.width(), bank.mix().y());
    steps.add(
        step(
            with(parameters(BankCandidate::project), dProjected),
            List.of(dNormalised),
            (w, m) -> projectData(w, operand(m, dProjected), operand(m, dNormalised))));
    Value dFiltered = image("d filtered", bank.width(), bank.mix().y());
    // Made again by the norm's gradient, so that the forward pass need not keep it.
    Value again = image("normalised again", bank.width(), bank.mix().y());
    steps.add(
        norm(
            read.filtered(),
            dNormalised,
            depthwiseNorm,
            bank.any().depthwiseNorm().relu(),
            dFiltered,
            ofWeights ? again : null,
            BankCandidate.Gradient::depthwiseNorm,
            BankWeights::depthwiseNorm));
    if (ofWeights) {
      steps.add(
          step(
              List.of(dProjected, again),
              List.of(),
              (w, m) -> projectWeights(w, operand(m, dProjected), operand(m, again))));
    }
    if (ofWeights) {
      steps.add(
          step(
              List.of(read.expanded(), expandNorm, dFiltered),
              List.of(),
              (w, m) -> depthwiseWeights(w, m, read, dFiltered)));
    }
    if (total == null && !ofWeights) {
      return;
    }
    Value dShuffled = image("d shuffled", bank.width(), bank.x());
    steps.add(
        step(
            with(parameters(BankCandidate::depthwise), dFiltered),
            List.of(dShuffled),
            (w, m) ->
                ranges(
                    range ->
                        CudaDepthwise.backwardData(
                            context,
                            sizes(range),
                            slice(m, dFiltered, range),
                            w.depthwise(range),
                            slice(m, dShuffled, range)))));
    Value dExpanded = image("d expanded", bank.width(), bank.x());
    steps.add(
        norm(
            read.expanded(),
            dShuffled,
            expandNorm,
            bank.any().expandNorm().relu(),
            dExpanded,
            null,
            BankCandidate.Gradient::expandNorm,
            BankWeights::expandNorm));
    if (ofWeights) {
      steps.add(
          step(
              List.of(dExpanded, bank.x()),
              List.of(),
              (w, m) ->
                  weights(
                      operand(m, dExpanded),
                      operand(m, bank.x()),
                      product(w.expandProduct(), bank.width(), bank.x().shape().get(1)))));
    }
    if (ofWeights) {
      steps.add(
          step(
              List.of(),
              weightGradients(),
              (w, m) -> w.gradients().kernel(context, Family.WEIGHTS_END)));
    }
    if (total != null) {
      input(steps, dExpanded, total);
    }
  }

  private void input(List<Step> steps, Value dExpanded, Value total) {
    boolean adds = !bank.adding().isEmpty();
    Value base = adds ? image("d x", bank.x().shape().get(1), bank.x()) : total;
    steps.add(
        step(
            with(parameters(BankCandidate::expand), dExpanded),
            List.of(base),
            (w, m) -> product(operand(m, dExpanded), false, w.expand(), false, operand(m, base))));
    if (adds) {
      steps.add(
          step(
              List.of(base, bank.dy(), bank.mix().m()),
              List.of(total),
              (w, m) -> mix(m).share(base, total)));
    }
  }

  private Step norm(
      Value x,
      Value dy,
      Value numbers,
      boolean relu,
      Value dx,
      Value normalised,
      Function<BankCandidate.Gradient, Op.BatchNormBackward> gradient,
      Function<BankWeights, BankWeights.Places> where) {
    List<Value> outputs = new ArrayList<>(List.of(dx));
    if (normalised != null) {
      outputs.add(normalised);
    }
    outputs.addAll(normGradients(gradient));
    return step(
        List.of(x, dy, numbers),
        outputs,
        (w, m) -> {
          Value dgamma = gradient.apply(bank.any().gradient()).dgamma();
          MemorySegment to = dgamma == null ? null : m.apply(dgamma);
          return CudaNorm.backward(
              context,
              pixels(m, x),
              m.apply(dy),
              numbers(m, numbers, relu),
              CudaNorm.Share.NONE,
              m.apply(dx),
              normalised == null ? null : m.apply(normalised),
              new CudaNorm.Gradients(to, to, to == null ? null : where.apply(w).places()));
        });
  }

  private Kernel depthwiseWeights(
      BankWeights w, Function<Value, MemorySegment> m, Images read, Value dFiltered) {
    MemorySegment packed = w.depthwiseProduct();
    return ranges(
        range ->
            CudaDepthwise.backwardWeights(
                context,
                sizes(range),
                slice(m, read.expanded(), range),
                norm(m, range),
                slice(m, dFiltered, range),
                packed.asSlice(w.depthwisePlace(range))));
  }

  // The last convolutions

  private Kernel project(BankWeights w, Operand normalised, Operand to) {
    return w.dense
        ? product(normalised, false, w.project(), true, to)
        : each(
            i -> product(within(normalised, i), false, w.projectMatrix(i), true, outputs(to, i)));
  }

  private Kernel projectData(BankWeights w, Operand gradient, Operand to) {
    return w.dense
        ? product(gradient, false, w.project(), false, to)
        : each(i -> product(outputs(gradient, i), false, w.projectMatrix(i), false, within(to, i)));
  }

  private Kernel projectWeights(BankWeights w, Operand gradient, Operand normalised) {
    return w.dense
        ? weights(
            gradient, normalised, product(w.projectProduct(), bank.allOutputs(), bank.width()))
        : each(i -> weights(outputs(gradient, i), within(normalised, i), w.projectGradient(i)));
  }

  private Kernel weights(Operand dy, Operand x, Operand to) {
    return CudaProduct.of(context, Family.POINTWISE_WEIGHTS, dy, true, x, false, to, 1);
  }

  private static Operand product(MemorySegment memory, long rows, long columns) {
    return new Operand(memory, CublasLtMatmul.Type.F32, rows, columns, columns, 0);
  }

  private Kernel each(Function<Integer, Kernel> kernel) {
    Kernel[] kernels = new Kernel[bank.candidates().size()];
    for (int i = 0; i < kernels.length; i++) {
      kernels[i] = kernel.apply(i);
    }
    return CudaContext.sequence(kernels);
  }

  /** A candidate's channels between its first and last convolution. */
  private Operand within(Operand all, int candidate) {
    return all.columns(bank.first(candidate), bank.candidates().get(candidate).width());
  }

  /** A candidate's channels behind its last convolution. */
  private Operand outputs(Operand all, int candidate) {
    return all.columns((long) candidate * bank.outputs(), bank.outputs());
  }

  private Kernel product(Operand a, boolean transposeA, Operand b, boolean transposeB, Operand d) {
    return CudaProduct.of(context, Family.POINTWISE, a, transposeA, b, transposeB, d, 1);
  }

  // What the kernels take

  private Step step(
      List<Value> inputs,
      List<Value> outputs,
      BiFunction<BankWeights, Function<Value, MemorySegment>, Kernel> kernel) {
    return compiler.step(inputs, outputs, m -> kernel.apply(weights(m), m));
  }

  /** The first step to be prepared makes them for all. */
  private BankWeights weights(Function<Value, MemorySegment> m) {
    if (weights == null) {
      weights = new BankWeights(context, bank, m);
    }
    return weights;
  }

  private BankMix mix(Function<Value, MemorySegment> m) {
    if (mix == null) {
      mix = new BankMix(context, bank, m);
    }
    return mix;
  }

  private Kernel ranges(Function<LayerBank.Range, Kernel> kernel) {
    return CudaContext.sequence(bank.ranges().stream().map(kernel).toArray(Kernel[]::new));
  }

  private List<Value> parameters(Function<BankCandidate, Op.Convolution> convolution) {
    return bank.candidates().stream().map(convolution).map(Op.Convolution::w).toList();
  }

  private static List<Value> with(List<Value> values, Value... more) {
    List<Value> all = new ArrayList<>(values);
    all.addAll(List.of(more));
    return all;
  }

  private List<Value> weightGradients() {
    return bank.candidates().stream()
        .map(BankCandidate::gradient)
        .flatMap(g -> Stream.of(g.expandWeights(), g.depthwiseWeights(), g.projectWeights()))
        .map(Op.ConvolutionBackwardWeights::dw)
        .toList();
  }

  private List<Value> normGradients(
      Function<BankCandidate.Gradient, Op.BatchNormBackward> gradient) {
    List<Value> values = new ArrayList<>();
    for (BankCandidate c : bank.candidates()) {
      Op.BatchNormBackward bn = gradient.apply(c.gradient());
      if (bn.dgamma() != null) {
        values.addAll(List.of(bn.dgamma(), bn.dbeta()));
      }
    }
    return values;
  }

  private Operand operand(Function<Value, MemorySegment> m, Value v) {
    int c = v.shape().get(1);
    CublasLtMatmul.Type type = context.bf16 ? CublasLtMatmul.Type.BF16 : CublasLtMatmul.Type.F32;
    return new Operand(m.apply(v), type, v.shape().elements() / c, c, c, 0);
  }

  private static Pixels pixels(Function<Value, MemorySegment> m, Value v) {
    return Pixels.of(v, m.apply(v));
  }

  private static CudaNorm.Numbers numbers(
      Function<Value, MemorySegment> m, Value numbers, boolean relu) {
    MemorySegment all = m.apply(numbers);
    long each = (long) Float.BYTES * numbers.shape().get(1);
    return new CudaNorm.Numbers(
        all, all.asSlice(each), all.asSlice(2L * each), all.asSlice(3L * each), relu);
  }

  private CudaDepthwise.Norm norm(Function<Value, MemorySegment> m, LayerBank.Range range) {
    CudaNorm.Numbers all = numbers(m, expandNorm, bank.any().expandNorm().relu());
    long from = (long) Float.BYTES * range.first();
    return new CudaDepthwise.Norm(
        all.mean().asSlice(from),
        all.inverse().asSlice(from),
        all.gamma().asSlice(from),
        all.beta().asSlice(from),
        all.relu());
  }

  private Slice slice(Function<Value, MemorySegment> m, Value images, LayerBank.Range range) {
    MemorySegment memory = m.apply(images);
    return new Slice(
        memory.asSlice((long) range.first() * context.imageBytes()),
        range.channels(),
        bank.width());
  }

  private CudaDepthwise.Sizes sizes(LayerBank.Range range) {
    Shape x = bank.x().shape();
    Shape y = bank.mix().y().shape();
    return new CudaDepthwise.Sizes(
        x.get(0),
        x.get(2),
        x.get(3),
        y.get(2),
        y.get(3),
        range.kernel(),
        bank.any().depthwise().stride(),
        context.bf16);
  }
}
