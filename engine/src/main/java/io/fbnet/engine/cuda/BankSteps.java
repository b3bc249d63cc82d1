package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
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
  private final LayerBank bank;
  private final IntSupplier ids;
  private BankKernels kernels;

  /** The images of a forward pass that the gradients read. */
  private record Images(Value expanded, Value filtered, Value normalised) {}

  private final Images images;
  private final Value projected;

  /** Numbers of the norms, [4][channels]: mean, inverse deviation, gamma, beta. */
  private final Value expandNorm;

  private final Value depthwiseNorm;
  private final Value projectNorm;

  private final BankNorm afterExpand;
  private final BankNorm afterDepthwise;
  private final BankNorm afterProject;
  private final OwnProducts own;

  /**
   * Makes no kernels yet.
   *
   * @param ids numbers for values of its own
   */
  BankSteps(CudaCompiler compiler, LayerBank bank, IntSupplier ids) {
    this.compiler = compiler;
    this.bank = bank;
    this.ids = ids;
    images = newImages("");
    projected = image("projected", bank.allOutputs(), bank.mix().y());
    expandNorm = numbers("expand norm", bank.width());
    depthwiseNorm = numbers("depthwise norm", bank.width());
    projectNorm = numbers("project norm", bank.allOutputs());
    afterExpand =
        norms(
            expandNorm,
            BankCandidate::expandNorm,
            BankWeights::expandNorm,
            BankCandidate.Gradient::expandNorm);
    afterDepthwise =
        norms(
            depthwiseNorm,
            BankCandidate::depthwiseNorm,
            BankWeights::depthwiseNorm,
            BankCandidate.Gradient::depthwiseNorm);
    afterProject =
        norms(
            projectNorm,
            BankCandidate::projectNorm,
            BankWeights::projectNorm,
            BankCandidate.Gradient::projectNorm);
    own = OwnProducts.of(compiler.context(), bank);
  }

  private BankNorm norms(
      Value numbers,
      Function<BankCandidate, Op.BatchNorm> norm,
      Function<BankWeights, BankWeights.Places> places,
      Function<BankCandidate.Gradient, Op.BatchNormBackward> gradient) {
    return new BankNorm(numbers, bank.candidates().stream().map(norm).toList(), places, gradient);
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
    steps.add(expand(images, own.expand() ? afterExpand : null));
    if (!own.expand()) {
      steps.add(statistics(images.expanded(), afterExpand));
    }
    steps.add(filter(images, afterDepthwise));
    if (own.project()) {
      steps.add(
          normed(
              afterProject,
              with(parameters(BankCandidate::project), images.filtered(), depthwiseNorm),
              projected,
              k -> k.project(images.filtered(), depthwiseNorm, projected, afterProject)));
    } else {
      steps.add(normalise(images));
      steps.add(
          step(
              with(parameters(BankCandidate::project), images.normalised()),
              List.of(projected),
              k -> k.project(images.normalised(), projected)));
      steps.add(statistics(projected, afterProject));
    }
    List<Value> read = new ArrayList<>(List.of(projected, projectNorm, bank.mix().m()));
    if (!bank.adding().isEmpty()) {
      read.add(bank.x());
    }
    bank.others().forEach(k -> read.add(bank.mix().xs().get(k)));
    steps.add(
        step(
            read, List.of(bank.mix().y()), k -> k.mix().forward(projected, k.memory(projectNorm))));
    return steps;
  }

  /** The first convolutions, which also leave the statistics of {@code norm} unless it is null. */
  private Step expand(Images to, BankNorm norm) {
    return normed(
        norm,
        with(parameters(BankCandidate::expand), bank.x()),
        to.expanded(),
        k -> k.expand(to.expanded(), norm));
  }

  /** The depthwise convolutions, which also leave the statistics of {@code norm} unless null. */
  private Step filter(Images to, BankNorm norm) {
    return normed(
        norm,
        with(parameters(BankCandidate::depthwise), to.expanded(), expandNorm),
        to.filtered(),
        k -> k.filter(to.expanded(), expandNorm, to.filtered(), norm));
  }

  private Step normalise(Images to) {
    return step(
        List.of(to.filtered(), depthwiseNorm),
        List.of(to.normalised()),
        k -> k.normalise(to.filtered(), depthwiseNorm, to.normalised()));
  }

  private Step statistics(Value x, BankNorm norm) {
    return normed(norm, List.of(x), null, k -> k.statistics(x, norm));
  }

  /**
   * A step that leaves the statistics of a norm.
   *
   * @param norm null where it leaves none
   * @param result images that it writes, null where they are there
   */
  private Step normed(
      BankNorm norm, List<Value> inputs, Value result, Function<BankKernels, Kernel> kernel) {
    List<Value> read = new ArrayList<>(inputs);
    List<Value> written = new ArrayList<>();
    if (result != null) {
      written.add(result);
    }
    if (norm != null) {
      written.add(norm.numbers());
      for (Op.BatchNorm bn : norm.all()) {
        read.addAll(List.of(bn.gamma(), bn.beta()));
        if (bn.momentum() != null) {
          written.addAll(List.of(bn.runningMean(), bn.runningVariance()));
        }
      }
    }
    return step(read, written, kernel);
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
      steps.add(expand(read, null));
      steps.add(filter(read, null));
    }
    Value means = value("means", Shape.of(2, bank.allOutputs()));
    steps.add(sums(gradients ? means : null));
    if (gradients) {
      Value dProjected = image("d projected", bank.allOutputs(), bank.mix().y());
      steps.add(
          step(
              List.of(projected, projectNorm, bank.dy(), bank.mix().m(), means),
              List.of(dProjected),
              k -> k.mix().apply(projected, k.memory(projectNorm), k.memory(means), dProjected)));
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
      outputs.addAll(normGradients(afterProject.gradient()));
    }
    return step(inputs, outputs, k -> k.sums(projected, projectNorm, means));
  }

  private void convolutions(List<Step> steps, Images read, Value dProjected, Value total) {
    boolean ofWeights = bank.any().gradient().ofWeights();
    Value dFiltered = image("d filtered", bank.width(), bank.mix().y());
    if (own.projectGradient()) {
      projectGradient(steps, dProjected, read.filtered(), dFiltered);
    } else {
      lastConvolutions(steps, dProjected, read.filtered(), dFiltered);
    }
    if (ofWeights && !gradientsAtOnce()) {
      steps.add(
          step(
              List.of(read.expanded(), expandNorm, dFiltered),
              List.of(),
              k -> k.depthwiseWeights(read.expanded(), expandNorm, dFiltered)));
    }
    if (total != null || ofWeights) {
      firstConvolutions(steps, read.expanded(), dFiltered, total);
    }
  }

  /** From the gradient of the last convolutions' results to that of the depthwise ones'. */
  private void projectGradient(
      List<Step> steps, Value dProjected, Value filtered, Value dFiltered) {
    Value means = value("depthwise means", Shape.of(2, bank.width()));
    List<Value> inputs =
        with(parameters(BankCandidate::project), dProjected, filtered, depthwiseNorm);
    steps.add(
        step(
            inputs,
            with(normGradients(afterDepthwise.gradient()), means),
            k -> k.projectSums(dProjected, filtered, afterDepthwise, means)));
    steps.add(
        step(
            with(inputs, means),
            List.of(dFiltered),
            k -> k.projectGradient(dProjected, filtered, afterDepthwise, means, dFiltered)));
  }

  /** The same with the gradient between them in memory. */
  private void lastConvolutions(
      List<Step> steps, Value dProjected, Value filtered, Value dFiltered) {
    boolean ofWeights = bank.any().gradient().ofWeights();
    Value dNormalised = image("d normalised", bank.width(), bank.mix().y());
    Value means = value("depthwise means", Shape.of(2, bank.width()));
    projectData(steps, dProjected, dNormalised, filtered, means);
    // Made again by the norm's gradient, so that the forward pass need not keep it.
    Value again = image("normalised again", bank.width(), bank.mix().y());
    steps.add(
        normApply(
            filtered, dNormalised, afterDepthwise, means, dFiltered, ofWeights ? again : null));
    if (ofWeights) {
      steps.add(
          step(List.of(dProjected, again), List.of(), k -> k.projectWeights(dProjected, again)));
    }
  }

  /** From the gradient of the depthwise convolutions' results to that of the layer's input. */
  private void firstConvolutions(List<Step> steps, Value expanded, Value dFiltered, Value total) {
    boolean folded = BankFold.serves(compiler.context(), bank);
    int channels = folded ? BankFold.wide(bank.width(), bank.x().shape().get(1)) : bank.width();
    Value dShuffled = image("d shuffled", channels, bank.x());
    Value means = value("expand means", Shape.of(2, bank.width()));
    steps.add(
        step(
            with(parameters(BankCandidate::depthwise), dFiltered, expanded, expandNorm),
            with(normGradients(afterExpand.gradient()), dShuffled, means),
            k ->
                k.depthwiseData(
                    dFiltered, dShuffled, expanded, afterExpand, means, gradientsAtOnce())));
    boolean adds = total != null && !bank.adding().isEmpty();
    Value base = adds ? image("d x", bank.x().shape().get(1), bank.x()) : total;
    if (folded) {
      expandFolded(steps, dShuffled, means, base);
    } else {
      expandGradient(steps, expanded, dShuffled, means, base);
    }
    if (bank.any().gradient().ofWeights()) {
      steps.add(
          step(
              List.of(),
              weightGradients(
                  g ->
                      Stream.of(
                          folded ? null : g.expandWeights(),
                          g.depthwiseWeights(),
                          g.projectWeights())),
              k -> k.gradients(folded)));
    }
    if (adds) {
      steps.add(
          step(
              List.of(base, bank.dy(), bank.mix().m()),
              List.of(total),
              k -> k.mix().share(base, total)));
    }
  }

  /** Whether one kernel makes both gradients of the depthwise convolutions. */
  private boolean gradientsAtOnce() {
    return bank.any().gradient().ofWeights()
        && bank.ranges().stream()
            .map(range -> BankKernels.sizes(compiler.context(), bank, range))
            .allMatch(sizes -> DepthwiseProducts.serveBoth(compiler.context(), sizes));
  }

  /** The gradients of the first convolutions; those in their input go to {@code base}. */
  private void expandGradient(
      List<Step> steps, Value expanded, Value dShuffled, Value means, Value base) {
    Value dExpanded = image("d expanded", bank.width(), bank.x());
    steps.add(normApply(expanded, dShuffled, afterExpand, means, dExpanded, null));
    if (bank.any().gradient().ofWeights()) {
      steps.add(step(List.of(dExpanded, bank.x()), List.of(), k -> k.expandWeights(dExpanded)));
    }
    if (base != null) {
      steps.add(
          step(
              with(parameters(BankCandidate::expand), dExpanded),
              List.of(base),
              k -> k.expandData(dExpanded, base)));
    }
  }

  /** The same without a pass for the norm before them. */
  private void expandFolded(List<Step> steps, Value wide, Value means, Value base) {
    // Of the wide images it writes what lies behind the gradient, and reads nothing.
    steps.add(
        step(
            with(parameters(BankCandidate::expand), bank.x(), expandNorm, means),
            List.of(),
            k -> k.fold(wide, expandNorm, means)));
    if (bank.any().gradient().ofWeights()) {
      steps.add(
          step(
              List.of(wide, bank.x(), expandNorm, means),
              weightGradients(g -> Stream.of(g.expandWeights())),
              k -> k.foldedWeights(wide, expandNorm, means)));
    }
    if (base != null) {
      steps.add(step(List.of(wide), List.of(base), k -> k.foldedData(wide, base)));
    }
  }

  /** The gradient in what the last convolutions read, and the sums of its norm's gradient. */
  private void projectData(
      List<Step> steps, Value dProjected, Value dNormalised, Value filtered, Value means) {
    List<Value> inputs = with(parameters(BankCandidate::project), dProjected);
    if (own.projectData()) {
      steps.add(
          step(
              with(inputs, filtered, depthwiseNorm),
              with(normGradients(afterDepthwise.gradient()), dNormalised, means),
              k -> k.projectData(dProjected, dNormalised, filtered, afterDepthwise, means)));
    } else {
      steps.add(step(inputs, List.of(dNormalised), k -> k.projectData(dProjected, dNormalised)));
      steps.add(normSums(filtered, dNormalised, afterDepthwise, means));
    }
  }

  private Step normSums(Value x, Value dy, BankNorm norm, Value means) {
    return step(
        List.of(x, dy, norm.numbers()),
        with(normGradients(norm.gradient()), means),
        k -> k.normSums(x, dy, norm, means));
  }

  private Step normApply(
      Value x, Value dy, BankNorm norm, Value means, Value dx, Value normalised) {
    return step(
        List.of(x, dy, norm.numbers(), means),
        normalised == null ? List.of(dx) : List.of(dx, normalised),
        k -> k.normApply(x, dy, norm, means, dx, normalised));
  }

  // What the kernels take

  private Step step(List<Value> inputs, List<Value> outputs, Function<BankKernels, Kernel> kernel) {
    return compiler.step(inputs, outputs, m -> kernel.apply(kernels(m)));
  }

  /** The first step to be prepared makes what all of them share. */
  private BankKernels kernels(Function<Value, MemorySegment> m) {
    if (kernels == null) {
      kernels = new BankKernels(compiler.context(), bank, own, m);
    }
    return kernels;
  }

  private List<Value> parameters(Function<BankCandidate, Op.Convolution> convolution) {
    return bank.candidates().stream().map(convolution).map(Op.Convolution::w).toList();
  }

  private static List<Value> with(List<Value> values, Value... more) {
    List<Value> all = new ArrayList<>(values);
    all.addAll(List.of(more));
    return all;
  }

  /** Those of all candidates that {@code some} says; a null among them is left out. */
  private List<Value> weightGradients(
      Function<BankCandidate.Gradient, Stream<Op.ConvolutionBackwardWeights>> some) {
    return bank.candidates().stream()
        .map(BankCandidate::gradient)
        .flatMap(some)
        .filter(Objects::nonNull)
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
}
