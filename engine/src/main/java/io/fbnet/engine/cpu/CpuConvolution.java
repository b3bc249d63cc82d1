package io.fbnet.engine.cpu;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.Dnnl;
import io.fbnet.foreign.DnnlDescriptor;
import io.fbnet.foreign.DnnlPrimitive;
import io.fbnet.foreign.DnnlPrimitive.Argument;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

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
 * <p>The batch is divided among the team's threads, each running a one-thread primitive on its
 * images: waking a pool of OpenMP threads inside every call costs more than a small kernel. Partial
 * weight gradients are added in the order of the shares.
 */
final class CpuConvolution {
  /** Multiply-adds that one thread does in less time than another may take to wake up. */
  private static final long WORTH_WAKING = 1 << 24;

  private final CpuContext context;
  private final Dnnl dnnl;
  private final Shape w;
  private final int stride;
  private final int groups;
  private final Shape x;
  private final Shape y;
  private final boolean plainX;
  private final Form form;

  private enum Form {
    DENSE,
    DEPTHWISE,
    GROUPED,
    DENSE_FOR_GROUPED
  }

  private CpuConvolution(CpuContext context, Value x, Shape w, Shape y, int stride, int groups) {
    this.context = context;
    dnnl = context.dnnl;
    this.x = x.shape();
    this.w = w;
    this.y = y;
    this.stride = stride;
    this.groups = groups;
    plainX = context.plain(x);
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

  static Kernel forward(CpuContext context, Op.Convolution c, Function<Value, MemorySegment> m) {
    CpuConvolution convolution =
        new CpuConvolution(context, c.x(), c.w().shape(), c.y().shape(), c.stride(), c.groups());
    return convolution.forward(m.apply(c.x()), m.apply(c.w()), m.apply(c.y()));
  }

  static Kernel backwardData(
      CpuContext context, Op.ConvolutionBackwardData c, Function<Value, MemorySegment> m) {
    CpuConvolution convolution =
        new CpuConvolution(context, c.dx(), c.w().shape(), c.dy().shape(), c.stride(), c.groups());
    return convolution.backwardData(m.apply(c.dy()), m.apply(c.w()), m.apply(c.dx()));
  }

  static Kernel backwardWeights(
      CpuContext context, Op.ConvolutionBackwardWeights c, Function<Value, MemorySegment> m) {
    CpuConvolution convolution =
        new CpuConvolution(context, c.x(), c.dw().shape(), c.dy().shape(), c.stride(), c.groups());
    if (convolution.form == Form.DEPTHWISE && c.dw().shape().get(2) == 5) {
      return new DepthwiseWeights(
          context, c.x(), c.dy(), c.stride(), m.apply(c.x()), m.apply(c.dy()), m.apply(c.dw()));
    }
    return convolution.backwardWeights(m.apply(c.x()), m.apply(c.dy()), m.apply(c.dw()));
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
    int channels = form == Form.DEPTHWISE ? ImageLayout.of(s, lanes).paddedChannels() : s.get(1);
    return dnnl.descriptor(Dnnl.Type.F32, tag, images, channels, s.get(2), s.get(3));
  }

  /** The weights' logical dimensions in this form: rank 5 where grouped. */
  private long[] weightDimensions() {
    int k = w.get(2);
    return switch (form) {
      case DENSE, DENSE_FOR_GROUPED -> new long[] {y.get(1), x.get(1), k, k};
      case GROUPED -> new long[] {groups, y.get(1) / groups, w.get(1), k, k};
      case DEPTHWISE ->
          new long[] {ImageLayout.of(x, context.loops.lanes()).paddedChannels(), 1, 1, k, k};
    };
  }

  private DnnlDescriptor weights(boolean plain) {
    long[] dims = weightDimensions();
    Dnnl.Tag tag = plain ? (dims.length == 5 ? Dnnl.Tag.ABCDE : Dnnl.Tag.ABCD) : Dnnl.Tag.ANY;
    return dnnl.descriptor(Dnnl.Type.F32, tag, dims);
  }

  private String describe(String what) {
    return what + " " + x + " -> " + y + " k" + w.get(2) + " s" + stride + " g" + groups;
  }

  /** Makes the primitive of one share. */
  private interface Maker {
    DnnlPrimitive make(int images, DnnlDescriptor weights);
  }

  /**
   * One primitive a share, all with the weight format that the first one wants. A batch smaller
   * than the team is one share that oneDNN itself divides.
   */
  private List<DnnlPrimitive> shares(String what, Argument weightArgument, Maker maker) {
    List<DnnlPrimitive> primitives = new ArrayList<>();
    boolean divided = divided();
    int count = divided ? context.team.threads() : 1;
    Dnnl.useThreads(divided ? 1 : ownThreads());
    try (DnnlDescriptor any = weights(false)) {
      primitives.add(maker.make(imagesOf(0), any));
      try (DnnlDescriptor chosen = primitives.getFirst().format(weightArgument)) {
        for (int s = 1; s < count; s++) {
          primitives.add(maker.make(imagesOf(s), chosen));
        }
      }
    } finally {
      Dnnl.useThreads(1);
    }
    for (int s = 0; s < count; s++) {
      context.withScratch(primitives.get(s), s);
    }
    context.noteImplementation(describe(what), primitives.getFirst().implementation(), true);
    return primitives;
  }

  /** How many of oneDNN's own threads an undivided convolution is worth waking. */
  private int ownThreads() {
    int k = w.get(2);
    long products = y.elements() * (x.get(1) / groups) * k * k;
    return products < WORTH_WAKING ? 1 : context.team.threads();
  }

  private boolean divided() {
    return x.get(0) >= context.team.threads();
  }

  private int firstImage(int share) {
    return divided() ? ThreadTeam.from(x.get(0), share, context.team.threads()) : 0;
  }

  private int imagesOf(int share) {
    return divided() ? firstImage(share + 1) - firstImage(share) : x.get(0);
  }

  /** The images of a share within a value's memory. */
  private MemorySegment slice(MemorySegment all, int share) {
    long image = all.byteSize() / x.get(0);
    return all.asSlice(image * firstImage(share), image * imagesOf(share));
  }

  /** Runs the shares side by side, or the only one on all of oneDNN's own threads. */
  private Runnable execution(List<DnnlPrimitive> shares) {
    if (divided()) {
      ThreadTeam.Task task = share -> shares.get(share).execute(share);
      return () -> context.team.run(task);
    }
    DnnlPrimitive only = shares.getFirst();
    int threads = ownThreads();
    return () -> {
      Dnnl.useThreads(threads);
      only.execute();
      Dnnl.useThreads(1);
    };
  }

  private Chain chain(List<DnnlPrimitive> shares) {
    Chain chain = new Chain(context.fixedParameters());
    shares.forEach(chain::own);
    return chain;
  }

  private Kernel forward(MemorySegment xm, MemorySegment wm, MemorySegment ym) {
    List<DnnlPrimitive> shares =
        shares(
            "convolution",
            Argument.WEIGHTS,
            (images, weights) -> {
              try (DnnlDescriptor xd = image(x, images, plainX);
                  DnnlDescriptor yd = image(y, images, false)) {
                return dnnl.convolutionForward(xd, weights, yd, window());
              }
            });
    Chain chain = chain(shares);
    MemorySegment packed = packWeights(chain, shares.getFirst(), wm);
    for (int s = 0; s < shares.size(); s++) {
      shares
          .get(s)
          .bind(Argument.SRC, slice(xm, s))
          .bind(Argument.WEIGHTS, packed)
          .bind(Argument.DST, slice(ym, s));
    }
    return chain.then(execution(shares));
  }

  private Kernel backwardData(MemorySegment dym, MemorySegment wm, MemorySegment dxm) {
    List<DnnlPrimitive> shares =
        shares(
            "data gradient",
            Argument.WEIGHTS,
            (images, weights) -> {
              try (DnnlDescriptor xd = image(x, images, false);
                  DnnlDescriptor yd = image(y, images, false)) {
                return dnnl.convolutionBackwardData(xd, weights, yd, window());
              }
            });
    Chain chain = chain(shares);
    MemorySegment packed = packWeights(chain, shares.getFirst(), wm);
    for (int s = 0; s < shares.size(); s++) {
      shares
          .get(s)
          .bind(Argument.DIFF_DST, slice(dym, s))
          .bind(Argument.WEIGHTS, packed)
          .bind(Argument.DIFF_SRC, slice(dxm, s));
    }
    return chain.then(execution(shares));
  }

  private Kernel backwardWeights(MemorySegment xm, MemorySegment dym, MemorySegment dwm) {
    List<DnnlPrimitive> shares =
        shares(
            "weight gradient",
            Argument.DIFF_WEIGHTS,
            (images, weights) -> {
              try (DnnlDescriptor xd = image(x, images, plainX);
                  DnnlDescriptor yd = image(y, images, false)) {
                return dnnl.convolutionBackwardWeights(xd, weights, yd, window());
              }
            });
    Chain chain = chain(shares);
    try (DnnlDescriptor wanted = shares.getFirst().format(Argument.DIFF_WEIGHTS);
        DnnlDescriptor plain = weights(true)) {
      boolean direct = wanted.sameAs(plain) && form != Form.DENSE_FOR_GROUPED && !padded();
      MemorySegment[] partial = new MemorySegment[shares.size()];
      for (int s = 0; s < partial.length; s++) {
        partial[s] =
            direct && s == 0 ? dwm : context.scratch("packed weights " + s, wanted.bytes());
        shares
            .get(s)
            .bind(Argument.SRC, slice(xm, s))
            .bind(Argument.DIFF_DST, slice(dym, s))
            .bind(Argument.DIFF_WEIGHTS, partial[s]);
      }
      chain.then(execution(shares));
      if (partial.length > 1) {
        chain.then(CpuMix.addShares(context, partial, wanted.bytes()));
      }
      if (!direct) {
        unpackWeights(chain, wanted, plain, partial[0], dwm);
      }
      return chain;
    }
  }

  /** Whether the primitive's weights have more groups than the parameter. */
  private boolean padded() {
    return form == Form.DEPTHWISE && weightDimensions()[0] != w.get(0);
  }

  private long parameterBytes() {
    return w.elements() * Float.BYTES;
  }

  private MemorySegment packWeights(Chain chain, DnnlPrimitive p, MemorySegment wm) {
    try (DnnlDescriptor wanted = p.format(Argument.WEIGHTS);
        DnnlDescriptor plain = weights(true)) {
      MemorySegment source = wm;
      if (form == Form.DENSE_FOR_GROUPED) {
        MemorySegment dense = context.own(plain.bytes());
        chain.pack(() -> eachDiagonalRun((from, to, bytes) -> copy(wm, from, dense, to, bytes)));
        source = dense;
      } else if (padded()) {
        MemorySegment wide = context.own(plain.bytes());
        chain.pack(() -> copy(wm, 0, wide, 0, parameterBytes()));
        source = wide;
      }
      if (wanted.sameAs(plain)) {
        return source;
      }
      MemorySegment packed =
          context.fixedParameters()
              ? context.own(wanted.bytes())
              : context.scratch("packed weights 0", wanted.bytes());
      DnnlPrimitive reorder = context.withScratch(dnnl.reorder(plain, wanted), 0);
      reorder.bind(Argument.SRC, source).bind(Argument.DST, packed);
      chain.own(reorder).pack(reorder::execute);
      return packed;
    }
  }

  private void unpackWeights(
      Chain chain,
      DnnlDescriptor from,
      DnnlDescriptor plain,
      MemorySegment packed,
      MemorySegment dwm) {
    boolean exact = form != Form.DENSE_FOR_GROUPED && !padded();
    MemorySegment target = exact ? dwm : context.scratch("plain weights", plain.bytes());
    if (from.sameAs(plain)) {
      target = packed;
    } else {
      DnnlPrimitive reorder = context.withScratch(dnnl.reorder(from, plain), 0);
      reorder.bind(Argument.SRC, packed).bind(Argument.DST, target);
      chain.own(reorder).then(reorder::execute);
    }
    MemorySegment result = target;
    if (form == Form.DENSE_FOR_GROUPED) {
      chain.then(() -> eachDiagonalRun((at, wide, bytes) -> copy(result, wide, dwm, at, bytes)));
    } else if (!exact) {
      chain.then(() -> copy(result, 0, dwm, 0, parameterBytes()));
    }
  }

  private interface Run {
    void copy(long grouped, long dense, long bytes);
  }

  /** The runs of a block-diagonal dense weight that hold the grouped weight, in bytes. */
  private void eachDiagonalRun(Run run) {
    long taps = (long) w.get(2) * w.get(3);
    long inputs = w.get(1);
    long perGroup = w.get(0) / groups;
    long bytes = inputs * taps * Float.BYTES;
    for (long o = 0; o < w.get(0); o++) {
      long column = o / perGroup * inputs;
      run.copy(o * bytes, (o * x.get(1) + column) * taps * Float.BYTES, bytes);
    }
  }

  private static void copy(MemorySegment from, long f, MemorySegment to, long t, long bytes) {
    MemorySegment.copy(from, f, to, t, bytes);
  }
}
