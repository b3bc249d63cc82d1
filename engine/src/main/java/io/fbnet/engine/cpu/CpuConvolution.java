package io.fbnet.engine.cpu;

import io.fbnet.engine.cpu.ConvolutionPrimitives.Kind;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.Dnnl;
import io.fbnet.foreign.DnnlDescriptor;
import io.fbnet.foreign.DnnlPrimitive.Argument;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Convolutions by oneDNN. Parameters stay in row-major order; each kernel copies them to the format
 * that its primitive wants, in scratch memory, before it runs (or back, for a gradient). Three
 * forms:
 *
 * <ul>
 *   <li>depthwise: channels and groups are padded to whole blocks, for oneDNN's fast kernels take
 *       nothing else;
 *   <li>grouped with groups that are no whole blocks: run as one dense convolution with zeros
 *       outside the diagonal, which is faster than oneDNN's grouped form there;
 *   <li>dense, or grouped by whole blocks: as they are.
 * </ul>
 *
 * <p>The batch is divided among the team's threads, each running one-thread primitives on chunks of
 * its images: waking a pool of OpenMP threads inside every call costs more than a small kernel.
 * Partial weight gradients are added in the order of chunks and shares.
 */
final class CpuConvolution {
  /** Multiply-adds that one thread does in less time than another may take to wake up. */
  private static final long WORTH_WAKING = 1 << 24;

  /** The gradient of weights has a kernel for row-major images of so many channels only on AVX2. */
  private static final int AVX2_CHANNELS = 3;

  private static final int AVX2_LANES = 8;

  private final PieceMaker maker;
  private final CpuContext context;
  private final Chunks chunks;
  private final Dnnl dnnl;
  private final Shape w;
  private final int stride;
  private final int groups;
  private final Shape x;
  private final Shape y;
  private final boolean plainX;
  private final Form form;

  /** What the primitives read and write: bf16 where images are kept so and all of them are. */
  private final Dnnl.Type type;

  /** Channels that the primitive takes its row-major images to have. */
  private int wide;

  private enum Form {
    DENSE,
    DEPTHWISE,
    GROUPED,
    DENSE_FOR_GROUPED
  }

  private CpuConvolution(PieceMaker maker, Value x, Shape w, Shape y, int stride, int groups) {
    this.maker = maker;
    context = maker.context();
    chunks = maker.chunks();
    dnnl = context.dnnl;
    this.x = x.shape();
    this.w = w;
    this.y = y;
    this.stride = stride;
    this.groups = groups;
    plainX = context.plain(x);
    type = context.backend.multipliesBf16() && !plainX ? Dnnl.Type.BF16 : Dnnl.Type.F32;
    wide = this.x.get(1);
    form = form();
  }

  private Form form() {
    int c = x.get(1);
    int o = y.get(1);
    int lanes = context.loops.lanes();
    if (groups == 1) {
      return Form.DENSE;
    }
    if (groups == c && o == c) {
      return Form.DEPTHWISE;
    }
    boolean wholeBlocks = c / groups % lanes == 0 && o / groups % lanes == 0;
    return wholeBlocks ? Form.GROUPED : Form.DENSE_FOR_GROUPED;
  }

  static Piece forward(PieceMaker maker, Op.Convolution c, int number) {
    return new CpuConvolution(maker, c.x(), c.w().shape(), c.y().shape(), c.stride(), c.groups())
        .forward(c, number);
  }

  static Piece backwardData(PieceMaker maker, Op.ConvolutionBackwardData c, int number) {
    return new CpuConvolution(maker, c.dx(), c.w().shape(), c.dy().shape(), c.stride(), c.groups())
        .backwardData(c, number);
  }

  static Piece backwardWeights(PieceMaker maker, Op.ConvolutionBackwardWeights c, int number) {
    CpuConvolution convolution =
        new CpuConvolution(maker, c.x(), c.dw().shape(), c.dy().shape(), c.stride(), c.groups());
    return convolution.form == Form.DEPTHWISE && c.dw().shape().get(2) == 5
        ? new DepthwiseWeights(maker, c)
        : convolution.backwardWeights(c, number);
  }

  private Dnnl.Window window() {
    int k = w.get(2);
    int low = k / 2;
    // The padding after the end follows from the size of the result, so that it is ceil(size / s).
    int high = (y.get(2) - 1) * stride + k - x.get(2) - low;
    int highWidth = (y.get(3) - 1) * stride + k - x.get(3) - low;
    return new Dnnl.Window(stride, low, high, highWidth);
  }

  private DnnlDescriptor image(Shape s, int images, boolean plain) {
    int lanes = context.loops.lanes();
    Dnnl.Tag tag = plain ? Dnnl.Tag.ABCD : lanes == 16 ? Dnnl.Tag.CHANNELS_16 : Dnnl.Tag.CHANNELS_8;
    int channels = form == Form.DEPTHWISE ? padded(s) : plain ? wide : s.get(1);
    return dnnl.descriptor(type, tag, images, channels, s.get(2), s.get(3));
  }

  /** The weights' logical dimensions in this form: rank 5 where grouped. */
  private long[] weightDimensions() {
    int k = w.get(2);
    return switch (form) {
      case DENSE, DENSE_FOR_GROUPED -> new long[] {y.get(1), wide, k, k};
      case GROUPED -> new long[] {groups, y.get(1) / groups, w.get(1), k, k};
      case DEPTHWISE -> new long[] {padded(x), 1, 1, k, k};
    };
  }

  private int padded(Shape images) {
    return ImageLayout.of(images, context.imageLoops).paddedChannels();
  }

  /** The weights as parameters are. */
  private DnnlDescriptor plainWeights() {
    long[] dims = weightDimensions();
    Dnnl.Tag tag = dims.length == 5 ? Dnnl.Tag.ABCDE : Dnnl.Tag.ABCD;
    return dnnl.descriptor(Dnnl.Type.F32, tag, dims);
  }

  private DnnlDescriptor anyWeights(Dnnl.Type type) {
    return dnnl.descriptor(type, Dnnl.Tag.ANY, weightDimensions());
  }

  /** A batch smaller than the team is one share that oneDNN itself divides. */
  private ConvolutionPiece piece(Kind kind, ConvolutionPrimitives.Maker make) {
    List<Set<Integer>> sizes = IntStream.range(0, chunks.shares()).mapToObj(chunks::sizes).toList();
    int threads = chunks.divided() ? 1 : ownThreads();
    ConvolutionPrimitives primitives =
        context.primitives(
            new ConvolutionPrimitives.Key(kind, x, w, y, stride, groups, plainX, wide, sizes),
            key -> primitives(key, threads, make));
    return new ConvolutionPiece(context, chunks, primitives, threads);
  }

  private ConvolutionPrimitives primitives(
      ConvolutionPrimitives.Key key, int threads, ConvolutionPrimitives.Maker make) {
    Dnnl.useThreads(threads);
    // Gradients of weights are f32 always: they are added up.
    boolean gradient = key.kind() == Kind.WEIGHT_GRADIENT;
    try (DnnlDescriptor any = anyWeights(gradient ? Dnnl.Type.F32 : type);
        DnnlDescriptor plain = plainWeights()) {
      return new ConvolutionPrimitives(context, key, any, plain, make);
    } finally {
      Dnnl.useThreads(1);
    }
  }

  /** How many of oneDNN's own threads an undivided convolution is worth waking. */
  private int ownThreads() {
    int k = w.get(2);
    long products = y.elements() * (x.get(1) / groups) * k * k;
    return products < WORTH_WAKING ? 1 : context.team.threads();
  }

  private Piece forward(Op.Convolution c, int number) {
    ConvolutionPiece piece =
        piece(
            Kind.CONVOLUTION,
            (images, weights) -> {
              try (DnnlDescriptor xd = image(x, images, plainX);
                  DnnlDescriptor yd = image(y, images, false)) {
                return dnnl.convolutionForward(xd, weights, yd, window());
              }
            });
    MemorySegment packed = packWeights(piece, number, maker.memory().apply(c.w()));
    return piece
        .bind(Argument.SRC, taken(piece, Argument.SRC, c.x()))
        .bind(Argument.WEIGHTS, Images.common(packed))
        .bind(Argument.DST, taken(piece, Argument.DST, c.y()));
  }

  private Piece backwardData(Op.ConvolutionBackwardData c, int number) {
    ConvolutionPiece piece =
        piece(
            Kind.DATA_GRADIENT,
            (images, weights) -> {
              try (DnnlDescriptor xd = image(x, images, false);
                  DnnlDescriptor yd = image(y, images, false)) {
                return dnnl.convolutionBackwardData(xd, weights, yd, window());
              }
            });
    MemorySegment packed = packWeights(piece, number, maker.memory().apply(c.w()));
    return piece
        .bind(Argument.DIFF_DST, taken(piece, Argument.DIFF_DST, c.dy()))
        .bind(Argument.WEIGHTS, Images.common(packed))
        .bind(Argument.DIFF_SRC, taken(piece, Argument.DIFF_SRC, c.dx()));
  }

  private Piece backwardWeights(Op.ConvolutionBackwardWeights c, int number) {
    boolean widened = plainX && context.loops.lanes() == AVX2_LANES && wide < AVX2_CHANNELS;
    wide = widened ? AVX2_CHANNELS : wide;
    ConvolutionPiece piece =
        piece(
            Kind.WEIGHT_GRADIENT,
            (images, weights) -> {
              try (DnnlDescriptor xd = image(x, images, plainX);
                  DnnlDescriptor forward = anyWeights(type);
                  DnnlDescriptor yd = image(y, images, false)) {
                return dnnl.convolutionBackwardWeights(xd, forward, weights, yd, window());
              }
            });
    MemorySegment dw = maker.memory().apply(c.dw());
    ConvolutionPrimitives primitives = piece.primitives();
    boolean direct = primitives.takesPlain() && exact();
    MemorySegment[] sums = new MemorySegment[chunks.shares()];
    MemorySegment[] further = new MemorySegment[sums.length];
    for (int share = 0; share < sums.length; share++) {
      sums[share] =
          direct && share == 0
              ? dw
              : context.scratch("gradient " + number + " " + share, primitives.weightBytes);
      further[share] =
          chunks.count(share) == 1
              ? sums[share]
              : context.scratch("gradient of a chunk " + share, primitives.weightBytes);
    }
    Images xs = taken(piece, Argument.SRC, c.x());
    piece
        .bind(Argument.SRC, widened ? widened(piece, xs) : xs)
        .bind(Argument.DIFF_DST, taken(piece, Argument.DIFF_DST, c.dy()))
        .bindSums(sums, further);
    if (!direct) {
      unpackWeights(piece, sums[0], dw);
    }
    return piece;
  }

  /** Whether the primitives take an image in another type than it is kept in. */
  private boolean converted(Value v) {
    return context.backend.keepsBf16() && type == Dnnl.Type.F32 && !context.plain(v);
  }

  /**
   * Images as the primitives take them: where these take f32 for bf16, a chunk is widened before it
   * is read, or rounded after it was written.
   */
  private Images taken(ConvolutionPiece piece, Argument argument, Value v) {
    Images kept = maker.images().apply(v);
    if (!converted(v)) {
      return kept;
    }
    Images wide = wide(argument, kept);
    Loops loops = context.imageLoops;
    if (argument == Argument.DST || argument == Argument.DIFF_SRC) {
      piece.after(
          (from, to, t) ->
              loops.narrow(
                  wide.place(t), 0, kept.place(t), kept.at(from, from), (to - from) * kept.bytes));
    } else {
      piece.before(
          (from, to, t) ->
              loops.widen(
                  kept.place(t), kept.at(from, from), wide.place(t), 0, (to - from) * kept.bytes));
    }
    return wide;
  }

  /** Room for a chunk of images in f32, which kernels share. */
  private Images wide(Argument argument, Images kept) {
    long bytes = kept.bytes / Short.BYTES * Float.BYTES;
    MemorySegment[] places = new MemorySegment[chunks.shares()];
    for (int share = 0; share < places.length; share++) {
      places[share] = context.scratch("f32 " + argument + share, chunks.size(share) * bytes);
    }
    return Images.local(places, bytes);
  }

  /** The images with channels of zeros added, copied chunk by chunk. */
  private Images widened(ConvolutionPiece piece, Images xs) {
    long bytes = xs.bytes / x.get(1) * wide;
    MemorySegment[] places = new MemorySegment[chunks.shares()];
    for (int share = 0; share < places.length; share++) {
      places[share] = context.own(chunks.size(share) * bytes);
    }
    piece.before(
        (from, to, thread) -> {
          for (int n = from; n < to; n++) {
            copy(xs.place(thread), xs.at(n, from), places[thread], (n - from) * bytes, xs.bytes);
          }
        });
    return Images.local(places, bytes);
  }

  /** Whether the primitive's weights are the parameter's, but for their order. */
  private boolean exact() {
    return form != Form.DENSE_FOR_GROUPED && wide == x.get(1) && !padded();
  }

  /** Whether the primitive's weights have more groups than the parameter. */
  private boolean padded() {
    return form == Form.DEPTHWISE && weightDimensions()[0] != w.get(0);
  }

  private long parameterBytes() {
    return w.elements() * Float.BYTES;
  }

  private MemorySegment packWeights(ConvolutionPiece piece, int number, MemorySegment wm) {
    ConvolutionPrimitives primitives = piece.primitives();
    MemorySegment source = wm;
    if (form == Form.DENSE_FOR_GROUPED) {
      MemorySegment dense = context.own(primitives.plainBytes);
      piece.pack(() -> eachDiagonalRun((from, to, bytes) -> copy(wm, from, dense, to, bytes)));
      source = dense;
    } else if (padded()) {
      MemorySegment wide = context.own(primitives.plainBytes);
      piece.pack(() -> copy(wm, 0, wide, 0, parameterBytes()));
      source = wide;
    }
    if (primitives.takesPlain()) {
      return source;
    }
    MemorySegment packed =
        context.fixedParameters()
            ? context.own(primitives.weightBytes)
            : context.scratch("packed weights " + number, primitives.weightBytes);
    MemorySegment from = source;
    piece.pack(() -> primitives.reorder(from, packed));
    return packed;
  }

  private void unpackWeights(ConvolutionPiece piece, MemorySegment packed, MemorySegment dwm) {
    ConvolutionPrimitives primitives = piece.primitives();
    MemorySegment result;
    if (primitives.takesPlain()) {
      result = packed;
    } else {
      result = exact() ? dwm : context.scratch("plain weights", primitives.plainBytes);
      piece.then(() -> primitives.reorder(packed, result));
    }
    if (form == Form.DENSE_FOR_GROUPED || wide != x.get(1)) {
      piece.then(() -> eachDiagonalRun((at, dense, bytes) -> copy(result, dense, dwm, at, bytes)));
    } else if (!exact()) {
      piece.then(() -> copy(result, 0, dwm, 0, parameterBytes()));
    }
  }

  private interface Run {
    void copy(long grouped, long dense, long bytes);
  }

  /** The runs of a block-diagonal or widened dense weight that hold the weight, in bytes. */
  private void eachDiagonalRun(Run run) {
    long taps = (long) w.get(2) * w.get(3);
    long inputs = w.get(1);
    long perGroup = w.get(0) / groups;
    long bytes = inputs * taps * Float.BYTES;
    for (long o = 0; o < w.get(0); o++) {
      long column = o / perGroup * inputs;
      run.copy(o * bytes, (o * wide + column) * taps * Float.BYTES, bytes);
    }
  }

  private static void copy(MemorySegment from, long f, MemorySegment to, long t, long bytes) {
    MemorySegment.copy(from, f, to, t, bytes);
  }
}
