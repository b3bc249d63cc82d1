package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.foreign.Dnnl;
import io.fbnet.foreign.DnnlPrimitive;
import io.fbnet.foreign.DnnlPrimitive.Argument;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A convolution's primitives, one for each size of chunk and share, moved along the images chunk by
 * chunk, with what brings weights into their format before and gradients out of it after.
 */
final class ConvolutionPiece implements Piece {
  private static final float[] ONES = {1, 1};

  private record Moving(Argument argument, Images images) {}

  private final CpuContext context;
  private final Chunks chunks;
  private final int ownThreads;
  // [share][images of a chunk]
  private final DnnlPrimitive[][] primitives;
  private final List<DnnlPrimitive> owned = new ArrayList<>();
  private Moving[] moving = {};
  private MemorySegment[] sums;
  private MemorySegment[] further;
  private long sumBytes;
  private Before before = (from, to, thread) -> {};
  private Runnable[] packs = {};
  private Runnable[] afterwards = {};
  private boolean packed;

  /**
   * Without primitives.
   *
   * @param ownThreads how many of oneDNN's own threads a primitive of an undivided batch runs on
   */
  ConvolutionPiece(CpuContext context, Chunks chunks, int ownThreads) {
    this.context = context;
    this.chunks = chunks;
    this.ownThreads = ownThreads;
    primitives = new DnnlPrimitive[chunks.shares()][chunks.batch() + 1];
  }

  void add(int share, int size, DnnlPrimitive primitive) {
    primitives[share][size] = primitive;
    own(primitive);
  }

  /** The primitive that was added first. */
  DnnlPrimitive first() {
    return owned.getFirst();
  }

  /** Closes a primitive with the piece. */
  ConvolutionPiece own(DnnlPrimitive primitive) {
    owned.add(primitive);
    return this;
  }

  /** Lets an argument follow the images. */
  ConvolutionPiece bind(Argument argument, Images images) {
    eachPrimitive(
        (share, primitive) -> {
          int first = chunks.first(share);
          primitive.bind(argument, images.place(share).asSlice(images.at(first, first)));
        });
    moving = append(moving, new Moving(argument, images));
    return this;
  }

  private interface Use {
    void of(int share, DnnlPrimitive primitive);
  }

  private void eachPrimitive(Use use) {
    for (int share = 0; share < primitives.length; share++) {
      for (DnnlPrimitive primitive : primitives[share]) {
        if (primitive != null) {
          use.of(share, primitive);
        }
      }
    }
  }

  /** Gives all primitives one and the same memory. */
  ConvolutionPiece bindAll(Argument argument, MemorySegment memory) {
    eachPrimitive((share, primitive) -> primitive.bind(argument, memory));
    return this;
  }

  /**
   * Adds up gradients of weights: in the order of chunks, then of shares, into the first of {@code
   * sums}.
   *
   * @param sums of each share
   * @param further where a chunk after the first of a share writes its own
   */
  ConvolutionPiece bindSums(MemorySegment[] sums, MemorySegment[] further, long bytes) {
    this.sums = sums;
    this.further = further;
    sumBytes = bytes;
    eachPrimitive((share, primitive) -> primitive.bind(Argument.DIFF_WEIGHTS, sums[share]));
    return this;
  }

  /** Adds a step that brings parameters into the primitives' format. */
  ConvolutionPiece pack(Runnable step) {
    packs = append(packs, step);
    return this;
  }

  /** What is done to a chunk's images before they are convolved. */
  interface Before {
    void images(int from, int to, int thread);
  }

  ConvolutionPiece before(Before step) {
    before = step;
    return this;
  }

  /** Adds a step that follows all images. */
  ConvolutionPiece then(Runnable step) {
    afterwards = append(afterwards, step);
    return this;
  }

  private static <T> T[] append(T[] to, T step) {
    T[] longer = Arrays.copyOf(to, to.length + 1);
    longer[to.length] = step;
    return longer;
  }

  @Override
  public void begin() {
    if (!packed) {
      for (Runnable pack : packs) {
        pack.run();
      }
      packed = context.fixedParameters();
    }
  }

  @Override
  public void images(int from, int to, int thread) {
    before.images(from, to, thread);
    DnnlPrimitive primitive = primitives[thread][to - from];
    for (Moving m : moving) {
      primitive.move(m.argument(), m.images().place(thread), m.images().at(from, from));
    }
    boolean first = from == chunks.first(thread);
    if (sums != null) {
      primitive.move(Argument.DIFF_WEIGHTS, first ? sums[thread] : further[thread], 0);
    }
    if (ownThreads == 1) {
      primitive.execute(thread);
    } else {
      Dnnl.useThreads(ownThreads);
      primitive.execute();
      Dnnl.useThreads(1);
    }
    if (sums != null && !first) {
      addTo(sums[thread], further[thread]);
    }
  }

  private void addTo(MemorySegment sum, MemorySegment more) {
    long vector = 4L * context.loops.lanes();
    long whole = sumBytes / vector * vector;
    context.loops.weightedSum(new MemorySegment[] {sum, more}, new long[2], ONES, 0, sum, 0, whole);
    for (long o = whole; o < sumBytes; o += Float.BYTES) {
      sum.set(JAVA_FLOAT, o, sum.get(JAVA_FLOAT, o) + more.get(JAVA_FLOAT, o));
    }
  }

  @Override
  public void finish() {
    if (sums != null) {
      for (int share = 1; share < sums.length; share++) {
        addTo(sums[0], sums[share]);
      }
    }
    for (Runnable step : afterwards) {
      step.run();
    }
  }

  @Override
  public void close() {
    owned.forEach(DnnlPrimitive::close);
  }
}
