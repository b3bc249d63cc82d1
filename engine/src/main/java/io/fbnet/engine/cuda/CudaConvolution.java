package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CublasLtMatmul;
import io.fbnet.foreign.CudaArguments;
import io.fbnet.foreign.CudnnConvolution;
import io.fbnet.foreign.CudnnConvolution.Direction;
import io.fbnet.foreign.CudnnConvolution.Sizes;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Convolutions in three forms: 1x1 as a product of matrices, one a group; depthwise 3x3 and 5x5 by
 * {@link CudaDepthwise}; everything else by cuDNN, in f32.
 */
final class CudaConvolution {
  /** Groups up to which all products between groups are computed to the gradient and left aside. */
  private static final int MOST_DENSE_GROUPS = 8;

  private final CudaContext context;
  private final Value x;
  private final Value w;
  private final Value y;
  private final int stride;
  private final int groups;
  private final Op.BatchNormApply norm;
  private final Function<Value, MemorySegment> memory;
  private final MemorySegment xm;
  private final MemorySegment wm;
  private final MemorySegment ym;

  /**
   * The three values of a convolution or of one of its gradients, by their part in it.
   *
   * @param norm what x is made by while it is read, null where it lies in memory
   */
  private CudaConvolution(
      CudaContext context,
      Value x,
      Value w,
      Value y,
      int stride,
      int groups,
      Op.BatchNormApply norm,
      Function<Value, MemorySegment> memory) {
    this.context = context;
    this.norm = norm;
    this.memory = memory;
    this.x = x;
    this.w = w;
    this.y = y;
    this.stride = stride;
    this.groups = groups;
    xm = memory.apply(norm == null ? x : norm.x());
    wm = memory.apply(w);
    ym = memory.apply(y);
  }

  /**
   * Reserves the f32 forms of bf16 images that cuDNN will want, at their largest: grown step by
   * step they would take several times that.
   */
  static void reserve(CudaContext context, List<Op> ops) {
    if (!context.bf16) {
      return;
    }
    long x = 0;
    long y = 0;
    for (Op op : ops) {
      Op.Convolution c = op instanceof Op.Convolution some ? some : null;
      if (c != null && form(c.x(), c.w(), c.y(), c.stride(), c.groups()) == Form.CUDNN) {
        x = Math.max(x, c.x().shape().elements());
        y = Math.max(y, c.y().shape().elements());
      }
    }
    context.reserve("wide x", Float.BYTES * x);
    context.reserve("wide y", Float.BYTES * y);
  }

  private enum Form {
    POINTWISE,
    DEPTHWISE,
    CUDNN
  }

  private static Form form(Value x, Value w, Value y, int stride, int groups) {
    int kernel = w.shape().get(2);
    if (kernel == 1 && stride == 1) {
      return Form.POINTWISE;
    }
    boolean each = groups == x.shape().get(1) && groups == y.shape().get(1);
    boolean size = kernel == 3 || kernel == 5;
    return each && size && stride <= 2 ? Form.DEPTHWISE : Form.CUDNN;
  }

  /** Whether one of our kernels does it, which can normalise what it reads. */
  static boolean depthwise(Op.Convolution c) {
    return form(c.x(), c.w(), c.y(), c.stride(), c.groups()) == Form.DEPTHWISE;
  }

  /** The same of a gradient of weights. */
  static boolean depthwise(Op.ConvolutionBackwardWeights c) {
    return form(c.x(), c.dw(), c.dy(), c.stride(), c.groups()) == Form.DEPTHWISE;
  }

  /**
   * The convolution.
   *
   * @param norm as in the constructor; only where {@link #depthwise(Op.Convolution)}
   */
  static Kernel forward(
      CudaContext context,
      Op.Convolution c,
      Op.BatchNormApply norm,
      Function<Value, MemorySegment> m) {
    return new CudaConvolution(context, c.x(), c.w(), c.y(), c.stride(), c.groups(), norm, m)
        .forward();
  }

  static Kernel backwardData(
      CudaContext context, Op.ConvolutionBackwardData c, Function<Value, MemorySegment> m) {
    return new CudaConvolution(context, c.dx(), c.w(), c.dy(), c.stride(), c.groups(), null, m)
        .backwardData();
  }

  /**
   * The gradient of the weights.
   *
   * @param norm as in the constructor; only where {@link #depthwise(Op.ConvolutionBackwardWeights)}
   */
  static Kernel backwardWeights(
      CudaContext context,
      Op.ConvolutionBackwardWeights c,
      Op.BatchNormApply norm,
      Function<Value, MemorySegment> m) {
    return new CudaConvolution(context, c.x(), c.dw(), c.dy(), c.stride(), c.groups(), norm, m)
        .backwardWeights();
  }

  private int channels() {
    return x.shape().get(1);
  }

  private int outputs() {
    return y.shape().get(1);
  }

  private int kernel() {
    return w.shape().get(2);
  }

  private boolean pointwise() {
    return form(x, w, y, stride, groups) == Form.POINTWISE;
  }

  private boolean depthwise() {
    return form(x, w, y, stride, groups) == Form.DEPTHWISE;
  }

  private Kernel forward() {
    if (pointwise()) {
      return CudaProduct.of(
          context,
          Family.POINTWISE,
          images(x, xm),
          false,
          filter(weights(), imageType()),
          true,
          images(y, ym),
          groups);
    }
    return depthwise()
        ? CudaDepthwise.forward(context, sizes(), slice(xm), normalised(), wm, slice(ym), null)
        : cudnn(Direction.FORWARD);
  }

  private Kernel backwardData() {
    if (pointwise()) {
      return CudaProduct.of(
          context,
          Family.POINTWISE,
          images(y, ym),
          false,
          filter(weights(), imageType()),
          false,
          images(x, xm),
          groups);
    }
    return depthwise()
        ? CudaDepthwise.backwardData(context, sizes(), slice(ym), wm, slice(xm), null)
        : cudnn(Direction.BACKWARD_DATA);
  }

  private Kernel backwardWeights() {
    if (pointwise()) {
      if (GroupedWeights.serves(context, channels(), outputs(), groups)) {
        return GroupedWeights.of(context, xm, ym, wm, pixels(x), channels(), outputs(), groups);
      }
      if (groups > 1 && groups <= MOST_DENSE_GROUPS) {
        return denseWeights();
      }
      Operand dw = filter(wm, CublasLtMatmul.Type.F32);
      Family family = groups == 1 ? Family.POINTWISE_WEIGHTS : Family.GROUPED_WEIGHTS;
      return CudaProduct.of(context, family, images(y, ym), true, images(x, xm), false, dw, groups);
    }
    return depthwise()
        ? CudaDepthwise.backwardWeights(context, sizes(), slice(xm), normalised(), slice(ym), wm)
        : cudnn(Direction.BACKWARD_FILTER);
  }

  // Products

  private CublasLtMatmul.Type imageType() {
    return context.bf16 ? CublasLtMatmul.Type.BF16 : CublasLtMatmul.Type.F32;
  }

  /** Pixels by channels; a group is a slice of the channels. */
  private Operand images(Value v, MemorySegment memory) {
    int c = v.shape().get(1);
    return new Operand(memory, imageType(), pixels(v), c / groups, c, c / groups);
  }

  private static long pixels(Value v) {
    return (long) v.shape().get(0) * v.shape().get(2) * v.shape().get(3);
  }

  /** All channels of all groups. */
  private Operand whole(Value v, MemorySegment memory) {
    int c = v.shape().get(1);
    return new Operand(memory, imageType(), pixels(v), c, c, 0);
  }

  /**
   * For f32 and for more channels than {@link GroupedWeights} takes: all of dy^T x, of which only
   * the groups' blocks on the diagonal are kept. A product of a few dozen rows and columns over
   * many thousand pixels is bound by reading them, and cuBLASLt cuts its sum; of a batch, one a
   * group, it never does, and a block or two would do everything.
   */
  private Kernel denseWeights() {
    int outputs = outputs();
    int channels = channels();
    MemorySegment all = context.scratch("weights", (long) Float.BYTES * outputs * channels);
    Operand d = new Operand(all, CublasLtMatmul.Type.F32, outputs, channels, channels, 0);
    CudaRuns runs = new CudaRuns();
    int rows = outputs / groups;
    int columns = channels / groups;
    for (int o = 0; o < outputs; o++) {
      long place = (long) o * channels + (long) (o / rows) * columns;
      runs.add(
          all.asSlice(Float.BYTES * place),
          wm.asSlice((long) Float.BYTES * o * columns),
          columns,
          false);
    }
    return CudaContext.sequence(
        CudaProduct.of(
            context, Family.POINTWISE_WEIGHTS, whole(y, ym), true, whole(x, xm), false, d, 1),
        runs.kernel(context, Family.WEIGHTS_END));
  }

  private MemorySegment weights() {
    return context.bf16 ? context.packed().narrow(wm, w.shape().elements()) : wm;
  }

  /** Outputs by channels of a group. */
  private Operand filter(MemorySegment weights, CublasLtMatmul.Type type) {
    long rows = outputs() / groups;
    long columns = channels() / groups;
    return new Operand(weights, type, rows, columns, columns, rows * columns);
  }

  // Depthwise

  private CudaDepthwise.Sizes sizes() {
    return new CudaDepthwise.Sizes(
        x.shape().get(0),
        x.shape().get(2),
        x.shape().get(3),
        y.shape().get(2),
        y.shape().get(3),
        kernel(),
        stride,
        context.bf16);
  }

  private CudaDepthwise.Slice slice(MemorySegment images) {
    return new CudaDepthwise.Slice(images, channels());
  }

  private CudaDepthwise.Norm normalised() {
    return norm == null
        ? null
        : new CudaDepthwise.Norm(
            memory.apply(norm.mean()),
            memory.apply(norm.inverseDeviation()),
            memory.apply(norm.gamma()),
            memory.apply(norm.beta()),
            norm.relu());
  }

  /** Two a multiply-add; the same in all three directions. */
  private long flops() {
    return 2 * y.shape().elements() * (channels() / groups) * kernel() * kernel();
  }

  // cuDNN

  private Kernel cudnn(Direction direction) {
    Sizes sizes =
        new Sizes(
            x.shape().get(0),
            channels(),
            x.shape().get(2),
            x.shape().get(3),
            outputs(),
            y.shape().get(2),
            y.shape().get(3),
            kernel(),
            stride,
            groups);
    CudnnConvolution convolution = context.backend.plan(direction, sizes);
    MemorySegment workspace = context.scratch("workspace", convolution.workspaceBytes());
    MemorySegment filter = context.scratch("filter", 4L * w.shape().elements());
    MemorySegment wide = wide("wide x", x, xm);
    MemorySegment wideY = wide("wide y", y, ym);
    Kernel run =
        context.counted(
            launch(direction),
            switch (direction) {
              case FORWARD -> () -> convolution.run(wide, filter, wideY, workspace);
              case BACKWARD_DATA -> () -> convolution.run(filter, wideY, wide, workspace);
              case BACKWARD_FILTER -> () -> convolution.run(wide, wideY, filter, workspace);
            });
    return switch (direction) {
      case FORWARD ->
          CudaContext.sequence(
              repack("filter_to_channels_last", wm, filter),
              widen(x, xm, wide),
              run,
              narrow(y, wideY, ym));
      case BACKWARD_DATA ->
          CudaContext.sequence(
              repack("filter_to_channels_last", wm, filter),
              widen(y, ym, wideY),
              run,
              narrow(x, wide, xm));
      case BACKWARD_FILTER ->
          CudaContext.sequence(
              widen(x, xm, wide),
              widen(y, ym, wideY),
              run,
              repack("filter_from_channels_last", filter, wm));
    };
  }

  private Launch launch(Direction direction) {
    Stream<Integer> sizes =
        Stream.of(
            x.shape().get(0),
            channels(),
            x.shape().get(2),
            x.shape().get(3),
            outputs(),
            y.shape().get(2),
            y.shape().get(3),
            kernel(),
            stride,
            groups);
    long xBytes = Float.BYTES * x.shape().elements();
    long yBytes = Float.BYTES * y.shape().elements();
    long wBytes = Float.BYTES * w.shape().elements();
    long written =
        switch (direction) {
          case FORWARD -> yBytes;
          case BACKWARD_DATA -> xBytes;
          case BACKWARD_FILTER -> wBytes;
        };
    return context
        .work(Family.CONVOLUTION)
        .reads(xBytes + yBytes + wBytes - written)
        .writes(written)
        .flops(flops())
        .library(
            "convolution " + direction.name().toLowerCase(Locale.ROOT),
            sizes.map(Integer::longValue).toList());
  }

  private Kernel repack(String name, MemorySegment from, MemorySegment to) {
    CudaArguments arguments =
        new CudaArguments()
            .pointer(from)
            .pointer(to)
            .i32(w.shape().get(0))
            .i32(w.shape().get(1))
            .i32(kernel() * kernel());
    Work work = context.work(Family.MIX).reads(w).writes(w);
    return context.elements(work, "layout", name, w.shape().elements(), arguments);
  }

  /** Where the f32 form of images lies: themselves, or scratch where they are bf16. */
  private MemorySegment wide(String slot, Value v, MemorySegment memory) {
    return context.bf16 ? context.scratch(slot, 4L * v.shape().elements()) : memory;
  }

  private Kernel widen(Value v, MemorySegment from, MemorySegment to) {
    return context.bf16 ? cast("cast_from_bf16", v, from, to) : null;
  }

  private Kernel narrow(Value v, MemorySegment from, MemorySegment to) {
    return context.bf16 ? cast("cast_to_bf16", v, from, to) : null;
  }

  private Kernel cast(String name, Value v, MemorySegment from, MemorySegment to) {
    long n = v.shape().elements();
    long read = (name.equals("cast_to_bf16") ? Float.BYTES : Short.BYTES) * n;
    return context.elements(
        context.work(Family.MIX).reads(read).writes(6 * n - read),
        "layout",
        name,
        n / 4 + 1,
        new CudaArguments().pointer(from).pointer(to).i64(n));
  }
}
