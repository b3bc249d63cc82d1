package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.foreign.Dnnl;
import io.fbnet.foreign.DnnlPrimitive;
import io.fbnet.foreign.DnnlPrimitive.Argument;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A convolution: its primitives moved along the images chunk by chunk, with what brings weights
 * into their format before and gradients out of it after.
 */
final class ConvolutionPiece implements Piece {
  private static final float[] ONES = {1, 1};

  private record Binding(Argument argument, Images images) {}

  private final CpuContext context;
  private final Chunks chunks;
  private final ConvolutionPrimitives primitives;
  private final int ownThreads;
  private Binding[] bindings = {};
  private MemorySegment[] sums;
  private MemorySegment[] further;
  private Copy[] before = {};
  private Copy[] after = {};
  private Runnable[] packs = {};
  private Runnable[] afterwards = {};
  private boolean packed;

  /**
   * Bound to nothing.
   *
   * @param ownThreads how many of oneDNN's own threads a primitive of an undivided batch runs on
   */
  ConvolutionPiece(
      CpuContext context, Chunks chunks, ConvolutionPrimitives primitives, int ownThreads) {
    this.context = context;
    this.chunks = chunks;
    this.primitives = primitives;
    this.ownThreads = ownThreads;
  }

  ConvolutionPrimitives primitives() {
    return primitives;
  }

  /** Says where an argument lies. */
  ConvolutionPiece bind(Argument argument, Images images) {
    bindings = append(bindings, new Binding(argument, images));
    return this;
  }

  /**
   * Adds up gradients of weights: in the order of chunks, then of shares, into the first of {@code
   * sums}.
   *
   * @param sums of each share
   * @param further where a chunk after the first of a share writes its own
   */
  ConvolutionPiece bindSums(MemorySegment[] sums, MemorySegment[] further) {
    this.sums = sums;
    this.further = further;
    return this;
  }

  /** Adds a step that brings parameters into the primitives' format. */
  ConvolutionPiece pack(Runnable step) {
    packs = append(packs, step);
    return this;
  }

  /** Brings a chunk's images into the form in which they are convolved, or out of it. */
  interface Copy {
    void images(int from, int to, int thread);
  }

  /** Adds a copy that is made before a chunk is convolved. */
  ConvolutionPiece before(Copy copy) {
    before = append(before, copy);
    return this;
  }

  /** Adds a copy that is made when a chunk has been convolved. */
  ConvolutionPiece after(Copy copy) {
    after = append(after, copy);
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
    for (Copy copy : before) {
      copy.images(from, to, thread);
    }
    DnnlPrimitive primitive = primitives.of(thread, to - from);
    for (Binding b : bindings) {
      primitive.bind(b.argument(), b.images().place(thread), b.images().at(from, from));
    }
    boolean first = from == chunks.first(thread);
    if (sums != null) {
      primitive.bind(Argument.DIFF_WEIGHTS, first ? sums[thread] : further[thread]);
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
    for (Copy copy : after) {
      copy.images(from, to, thread);
    }
  }

  private void addTo(MemorySegment sum, MemorySegment more) {
    long vector = 4L * context.loops.lanes();
    long bytes = primitives.weightBytes;
    long whole = bytes / vector * vector;
    context.loops.weightedSum(new MemorySegment[] {sum, more}, new long[2], ONES, 0, sum, 0, whole);
    for (long o = whole; o < bytes; o += Float.BYTES) {
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
}
