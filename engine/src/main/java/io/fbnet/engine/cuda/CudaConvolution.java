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
 * our kernels; everything else by cuDNN, in f32.
 */
final class CudaConvolution {
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
      CudaContext.Narrow narrow = weights();
      return CudaContext.sequence(
          narrow.cast(),
          CudaProduct.of(
              context,
              Family.POINTWISE,
              images(x, xm),
              false,
              filter(narrow),
              true,
              images(y, ym),
              groups));
    }
    return depthwise()
        ? depthwise(forwardFamily(), normalised("forward"), y, xm, wm, ym)
        : cudnn(Direction.FORWARD);
  }

  private Kernel backwardData() {
    if (pointwise()) {
      CudaContext.Narrow narrow = weights();
      return CudaContext.sequence(
          narrow.cast(),
          CudaProduct.of(
              context,
              Family.POINTWISE,
              images(y, ym),
              false,
              filter(narrow),
              false,
              images(x, xm),
              groups));
    }
    return depthwise()
        ? depthwise(Family.DEPTHWISE_DATA, "backward_data", x, ym, wm, xm)
        : cudnn(Direction.BACKWARD_DATA);
  }

  private Kernel backwardWeights() {
    if (pointwise()) {
      Operand dw = filter(new CudaContext.Narrow(wm, null), CublasLtMatmul.Type.F32);
      Family family = groups == 1 ? Family.POINTWISE_WEIGHTS : Family.GROUPED_WEIGHTS;
      return CudaProduct.of(context, family, images(y, ym), true, images(x, xm), false, dw, groups);
    }
    return depthwise() ? depthwiseWeights() : cudnn(Direction.BACKWARD_FILTER);
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

  private CudaContext.Narrow weights() {
    return context.bf16
        ? context.narrow(wm, w.shape().elements())
        : new CudaContext.Narrow(wm, null);
  }

  private Operand filter(CudaContext.Narrow narrow) {
    return filter(narrow, imageType());
  }

  /** Outputs by channels of a group. */
  private Operand filter(CudaContext.Narrow narrow, CublasLtMatmul.Type type) {
    long rows = outputs() / groups;
    long columns = channels() / groups;
    return new Operand(narrow.copy(), type, rows, columns, columns, rows * columns);
  }

  // Depthwise

  private String depthwiseName(String what) {
    return context.typed("depthwise_k" + kernel() + "s" + stride + "_" + what, y);
  }

  private String normalised(String what) {
    return norm == null ? what : what + "_normalised";
  }

  /** The sizes, and behind them what the images are normalised by. */
  private CudaArguments sizes(CudaArguments arguments) {
    arguments
        .i32(x.shape().get(0))
        .i32(x.shape().get(2))
        .i32(x.shape().get(3))
        .i32(channels())
        .i32(y.shape().get(2))
        .i32(y.shape().get(3));
    if (norm != null) {
      arguments
          .pointer(memory.apply(norm.mean()))
          .pointer(memory.apply(norm.inverseDeviation()))
          .pointer(memory.apply(norm.gamma()))
          .pointer(memory.apply(norm.beta()))
          .i32(norm.relu() ? 1 : 0);
    }
    return arguments;
  }

  private Family forwardFamily() {
    return norm == null ? Family.DEPTHWISE_FORWARD : Family.DEPTHWISE_NORMALISED;
  }

  /** What a kernel reads for a norm, if there is one. */
  private Work normalises(Work work) {
    return norm == null
        ? work
        : work.reads(norm.mean(), norm.inverseDeviation(), norm.gamma(), norm.beta());
  }

  /** Two a multiply-add; the same in all three directions. */
  private long flops() {
    return 2 * y.shape().elements() * (channels() / groups) * kernel() * kernel();
  }

  private Kernel depthwise(
      Family family,
      String what,
      Value result,
      MemorySegment a,
      MemorySegment b,
      MemorySegment to) {
    CudaArguments arguments = sizes(new CudaArguments().pointer(a).pointer(b).pointer(to));
    // Two blocks fit a multiprocessor at once; each takes a band of rows that adapts to the grid.
    long blocks = (result.shape().elements() / 4 + CudaContext.BLOCK - 1) / CudaContext.BLOCK;
    Value images = result.equals(y) ? x : y;
    // The weights come first; the rows of taps wait for each other.
    Work work =
        normalises(context.work(family).reads(images, w).writes(result))
            .flops(flops())
            .rounds(1 + kernel());
    return context.blockwise(work, "depthwise", depthwiseName(what), blocks, 2, arguments);
  }

  private Kernel depthwiseWeights() {
    int taps = kernel() * kernel();
    int parts = context.parts(pixels(y), 512, CudaContext.tiles(channels()));
    long partialBytes = 4L * parts * taps * channels();
    MemorySegment partial = context.scratch("partial", partialBytes);
    Kernel sums =
        context.partialSums(
            normalises(context.work(Family.DEPTHWISE_WEIGHTS))
                .reads(x, y)
                .writes(partialBytes)
                .flops(flops())
                .rounds(roundsOfWeights(parts)),
            "depthwise",
            depthwiseName(normalised("backward_weights")),
            parts,
            channels(),
            sizes(new CudaArguments().pointer(xm).pointer(ym).pointer(partial)));
    Kernel finish =
        context.addedParts(
            context
                .work(Family.DEPTHWISE_WEIGHTS_END)
                .reads(partialBytes)
                .writes(w)
                .rounds(CudaContext.roundsOfEnd(parts)),
            "depthwise",
            "depthwise_backward_weights_finish",
            w.shape().elements(),
            new CudaArguments().pointer(partial).pointer(wm).i32(parts).i32(channels()).i32(taps));
    return CudaContext.sequence(sums, finish);
  }

  /** A thread goes along whole rows of x, once a tap row; its loads of x wait for each other. */
  private long roundsOfWeights(int parts) {
    long threads = CudaContext.rowsOfTile(channels(), channels() % 2 == 0 ? 2 : 1);
    long rows = (long) y.shape().get(0) * y.shape().get(2);
    return (rows + parts * threads - 1) / (parts * threads) * x.shape().get(3) * kernel();
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
