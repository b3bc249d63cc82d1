package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.cuda.CudaDepthwise.Slice;
import io.fbnet.engine.cuda.CudaNorm.Pixels;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CublasLtMatmul;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/** The kernels of a bank's steps, on fixed memory. */
final class BankKernels {
  private final CudaContext context;
  private final LayerBank bank;
  private final OwnProducts own;
  private final Function<Value, MemorySegment> memory;
  private final BankWeights weights;
  private final BankMix mix;
  private ProjectGradient projectGradient;

  BankKernels(
      CudaContext context, LayerBank bank, OwnProducts own, Function<Value, MemorySegment> memory) {
    this.context = context;
    this.bank = bank;
    this.own = own;
    this.memory = memory;
    weights = new BankWeights(context, bank, memory);
    mix = new BankMix(context, bank, memory);
  }

  BankMix mix() {
    return mix;
  }

  MemorySegment memory(Value v) {
    return memory.apply(v);
  }

  // The first convolutions

  /**
   * The products.
   *
   * @param norm whose statistics our kernel leaves; null where nobody wants them or it does not run
   */
  Kernel expand(Value result, BankNorm norm) {
    Operand x = operand(bank.x());
    Operand to = operand(result);
    if (!own.expand()) {
      return product(x, false, weights.expand(), true, to);
    }
    BankProduct.Factor all = new BankProduct.Factor(x, weights.expand(), to);
    return BankProduct.of(
        context, x, null, to, List.of(all), norm == null ? null : statistics(norm));
  }

  Kernel expandData(Value dExpanded, Value to) {
    return product(operand(dExpanded), false, weights.expand(), false, operand(to));
  }

  Kernel expandWeights(Value dExpanded) {
    int inputs = bank.x().shape().get(1);
    return ofWeights(
        operand(dExpanded),
        operand(bank.x()),
        product(weights.expandProduct(bank.width()), bank.width(), inputs));
  }

  private BankFold fold() {
    return new BankFold(context, operand(bank.x()), weights.expand());
  }

  /** What folds the gradient of a norm into the next two. */
  Kernel fold(Value wide, Value norm, Value means) {
    return fold().prepare(memory.apply(wide), memory.apply(norm), memory.apply(means));
  }

  /** As {@link #expandWeights}, with the norm's gradient folded into it. */
  Kernel foldedWeights(Value wide, Value norm, Value means) {
    int rows = wide.shape().get(1);
    int inputs = bank.x().shape().get(1);
    MemorySegment product = weights.expandProduct(rows);
    return CudaContext.sequence(
        ofWeights(operand(wide), operand(bank.x()), product(product, rows, inputs)),
        fold().weights(product, memory.apply(norm), memory.apply(means), weights.expandRows()));
  }

  /** The same for {@link #expandData}. */
  Kernel foldedData(Value wide, Value to) {
    return product(operand(wide), false, fold().factors(), false, operand(to));
  }

  // The depthwise convolutions

  /**
   * The convolutions.
   *
   * @param norm whose statistics they leave, null where nobody wants them
   */
  Kernel filter(Value expanded, Value expandNorm, Value to, BankNorm norm) {
    CudaNorm.Statistics statistics = norm == null ? null : statistics(norm);
    return ranges(
        range ->
            CudaDepthwise.forward(
                context,
                sizes(range),
                slice(expanded, range),
                norm(expandNorm, range),
                weights.depthwise(range),
                slice(to, range),
                statistics == null ? null : statistics.from(range.first())));
  }

  /**
   * The gradients in what the convolutions read, and the sums of the gradient of its norm.
   *
   * @param ofWeights whether those in the weights are made with them
   */
  Kernel depthwiseData(
      Value dFiltered, Value to, Value expanded, BankNorm norm, Value means, boolean ofWeights) {
    CudaNorm.GradientSums sums = sums(expanded, norm, means);
    return ranges(
        range -> {
          CudaDepthwise.Sizes sizes = sizes(range);
          Slice dy = slice(dFiltered, range);
          MemorySegment w = weights.depthwise(range);
          Slice dx = slice(to, range);
          CudaNorm.GradientSums own = sums.from(range.first(), context.imageBytes());
          return ofWeights
              ? CudaDepthwise.gradients(context, sizes, dy, w, dx, own, depthwiseProduct(range))
              : CudaDepthwise.backwardData(context, sizes, dy, w, dx, own);
        });
  }

  private MemorySegment depthwiseProduct(LayerBank.Range range) {
    return weights.depthwiseProduct().asSlice(weights.depthwisePlace(range));
  }

  Kernel depthwiseWeights(Value expanded, Value expandNorm, Value dFiltered) {
    return ranges(
        range ->
            CudaDepthwise.backwardWeights(
                context,
                sizes(range),
                slice(expanded, range),
                norm(expandNorm, range),
                slice(dFiltered, range),
                depthwiseProduct(range)));
  }

  private Kernel ranges(Function<LayerBank.Range, Kernel> kernel) {
    return CudaContext.sequence(bank.ranges().stream().map(kernel).toArray(Kernel[]::new));
  }

  // Norms

  Kernel statistics(Value x, BankNorm norm) {
    return CudaNorm.statistics(context, pixels(x), statistics(norm));
  }

  /** Where the statistics of a norm go. */
  private CudaNorm.Statistics statistics(BankNorm norm) {
    BankWeights.Places places = norm.places().apply(weights);
    CudaNorm.Numbers into = numbers(norm.numbers(), false);
    Op.BatchNorm any = norm.any();
    return new CudaNorm.Statistics(
        into.mean(),
        into.inverse(),
        places.running(),
        places.running(),
        any.momentum() == null ? null : memory.apply(any.momentum()),
        any.epsilon(),
        places.places(),
        places.gamma(),
        into.gamma());
  }

  Kernel normalise(Value filtered, Value depthwiseNorm, Value to) {
    return CudaNorm.apply(
        context,
        pixels(filtered),
        numbers(depthwiseNorm, bank.any().depthwiseNorm().relu()),
        memory.apply(to));
  }

  /** The sums of the gradient of a norm that read x. */
  Kernel normSums(Value x, Value dy, BankNorm norm, Value means) {
    return CudaNorm.gradientSums(
        context, pixels(x), memory.apply(dy), sums(x, norm, means), CudaNorm.Share.NONE);
  }

  /**
   * The gradient of a norm.
   *
   * @param normalised takes the normalised images once more, null where nobody wants them
   */
  Kernel normApply(Value x, Value dy, BankNorm norm, Value means, Value dx, Value normalised) {
    return CudaNorm.gradientApply(
        context,
        pixels(x),
        memory.apply(dy),
        sums(x, norm, means),
        CudaNorm.Share.NONE,
        memory.apply(dx),
        normalised == null ? null : memory.apply(normalised));
  }

  private CudaNorm.GradientSums sums(Value x, BankNorm norm, Value means) {
    Value dgamma = norm.gradient().apply(bank.any().gradient()).dgamma();
    MemorySegment to = dgamma == null ? null : memory.apply(dgamma);
    return new CudaNorm.GradientSums(
        memory.apply(x),
        x.shape().get(1),
        numbers(norm.numbers(), norm.any().relu()),
        memory.apply(means),
        new CudaNorm.Gradients(to, to, to == null ? null : norm.places().apply(weights).places()));
  }

  /**
   * Sums of the mixture's gradient.
   *
   * @param means takes those that the gradient in the images needs, null where nobody wants it
   */
  Kernel sums(Value projected, Value projectNorm, Value means) {
    boolean wanted = means != null && bank.any().gradient().ofWeights();
    return mix.sums(
        projected,
        memory.apply(projectNorm),
        means == null ? null : memory.apply(means),
        wanted ? memory.apply(bank.any().gradient().projectNorm().dgamma()) : null,
        wanted ? weights.projectNorm().places() : null);
  }

  /**
   * Copies of the gradients of all weights to where they belong.
   *
   * @param folded whether those of the first convolutions are there
   */
  Kernel gradients(boolean folded) {
    return weights.gradients(folded, projectGradient).kernel(context, Family.WEIGHTS_END);
  }

  // The last convolutions

  Kernel project(Value images, Value result) {
    Operand normalised = operand(images);
    Operand to = operand(result);
    return weights.dense
        ? product(normalised, false, weights.project(), true, to)
        : each(
            i ->
                product(
                    within(normalised, i), false, weights.projectMatrix(i), true, outputs(to, i)));
  }

  /** All of them by our kernel, which normalises what it reads and leaves statistics. */
  Kernel project(Value filtered, Value depthwiseNorm, Value result, BankNorm norm) {
    Operand from = operand(filtered);
    Operand to = operand(result);
    List<BankProduct.Factor> factors =
        factors(
            i -> new BankProduct.Factor(within(from, i), weights.projectMatrix(i), outputs(to, i)));
    CudaNorm.Numbers read = numbers(depthwiseNorm, bank.any().depthwiseNorm().relu());
    return BankProduct.of(context, from, read, to, factors, statistics(norm));
  }

  private List<BankProduct.Factor> factors(IntFunction<BankProduct.Factor> factor) {
    return IntStream.range(0, bank.candidates().size()).mapToObj(factor).toList();
  }

  Kernel projectData(Value dProjected, Value dNormalised) {
    Operand gradient = operand(dProjected);
    Operand to = operand(dNormalised);
    return weights.dense
        ? product(gradient, false, weights.project(), false, to)
        : each(
            i ->
                product(
                    outputs(gradient, i), false, weights.projectMatrix(i), false, within(to, i)));
  }

  /** All of them by our kernel, which leaves the sums of the norm's gradient. */
  Kernel projectData(
      Value dProjected, Value dNormalised, Value filtered, BankNorm norm, Value means) {
    return projectData(dProjected, dNormalised, sums(filtered, norm, means), true);
  }

  private Kernel projectData(
      Value dProjected, Value images, CudaNorm.GradientSums sums, boolean stored) {
    Operand gradient = operand(dProjected);
    Operand to = operand(images);
    return BankProduct.gradient(context, gradient, to, projectFactors(gradient, to), sums, stored);
  }

  private List<BankProduct.Factor> projectFactors(Operand gradient, Operand to) {
    return factors(
        i -> new BankProduct.Factor(outputs(gradient, i), weights.projectMatrix(i), within(to, i)));
  }

  /** The sums of the norm's gradient alone. */
  Kernel projectSums(Value dProjected, Value filtered, BankNorm norm, Value means) {
    return projectData(dProjected, filtered, sums(filtered, norm, means), false);
  }

  /** The gradient in what the norm before them read, and in their weights where it is wanted. */
  Kernel projectGradient(
      Value dProjected, Value filtered, BankNorm norm, Value means, Value dFiltered) {
    Operand gradient = operand(dProjected);
    Operand to = operand(dFiltered);
    projectGradient =
        new ProjectGradient(context, gradient, operand(filtered), to, projectFactors(gradient, to));
    return projectGradient.kernel(
        numbers(norm.numbers(), norm.any().relu()),
        memory.apply(means),
        bank.any().gradient().ofWeights());
  }

  Kernel projectWeights(Value dProjected, Value images) {
    Operand gradient = operand(dProjected);
    Operand normalised = operand(images);
    return weights.dense
        ? ofWeights(
            gradient,
            normalised,
            product(weights.projectProduct(), bank.allOutputs(), bank.width()))
        : each(
            i ->
                ofWeights(outputs(gradient, i), within(normalised, i), weights.projectGradient(i)));
  }

  private Kernel ofWeights(Operand dy, Operand x, Operand to) {
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

  // What they take

  private Operand operand(Value v) {
    int c = v.shape().get(1);
    CublasLtMatmul.Type type = context.bf16 ? CublasLtMatmul.Type.BF16 : CublasLtMatmul.Type.F32;
    return new Operand(memory.apply(v), type, v.shape().elements() / c, c, c, 0);
  }

  private Pixels pixels(Value v) {
    return Pixels.of(v, memory.apply(v));
  }

  private CudaNorm.Numbers numbers(Value numbers, boolean relu) {
    MemorySegment all = memory.apply(numbers);
    long each = (long) Float.BYTES * numbers.shape().get(1);
    return new CudaNorm.Numbers(
        all, all.asSlice(each), all.asSlice(2L * each), all.asSlice(3L * each), relu);
  }

  private CudaDepthwise.Norm norm(Value expandNorm, LayerBank.Range range) {
    CudaNorm.Numbers all = numbers(expandNorm, bank.any().expandNorm().relu());
    long from = (long) Float.BYTES * range.first();
    return new CudaDepthwise.Norm(
        all.mean().asSlice(from),
        all.inverse().asSlice(from),
        all.gamma().asSlice(from),
        all.beta().asSlice(from),
        all.relu());
  }

  private Slice slice(Value images, LayerBank.Range range) {
    return new Slice(
        memory.apply(images).asSlice((long) range.first() * context.imageBytes()),
        range.channels(),
        images.shape().get(1));
  }

  private CudaDepthwise.Sizes sizes(LayerBank.Range range) {
    return sizes(context, bank, range);
  }

  /** Of the depthwise convolutions over some channels. */
  static CudaDepthwise.Sizes sizes(CudaContext context, LayerBank bank, LayerBank.Range range) {
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
