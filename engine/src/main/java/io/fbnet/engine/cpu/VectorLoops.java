package io.fbnet.engine.cpu;

import static io.fbnet.engine.cpu.VectorMemory.LANES;
import static io.fbnet.engine.cpu.VectorMemory.SPECIES;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * The loops on the Vector API: a block of channels is one vector of the machine's preferred size.
 *
 * <p>Until Java has compiled them they run a thousand times slower, so they are written to be
 * compiled once and soon. A segment's bounds are checked when a loop begins; within it, vectors are
 * read as {@link VectorMemory} says. A loop with and one without ReLU are two methods: a branch not
 * taken at first would be compiled again, too. Loads take a long offset; with an int index they are
 * several times slower.
 */
final class VectorLoops implements Loops {
  private static final boolean BF16 = VectorMemory.isForBf16(MethodHandles.lookup());
  private static final int ELEMENT = BF16 ? Short.BYTES : Float.BYTES;
  private static final long STEP = (long) ELEMENT * LANES;
  private static final int WIDENING = Float.BYTES / ELEMENT;
  private static final long WIDE_STEP = (long) Float.BYTES * LANES;
  private static final long TILE = 1 << 13;
  private static final long DOT_PIECE = 4096L * ELEMENT;

  /** Whether a vector of this machine is a block of channels that oneDNN knows. */
  static boolean fits() {
    return LANES == 8 || LANES == 16;
  }

  /** {@return the loops over bf16} */
  static Loops bf16() {
    return (Loops) VectorMemory.anewForBf16(MethodHandles.lookup());
  }

  @Override
  public int lanes() {
    return LANES;
  }

  @Override
  public int elementBytes() {
    return ELEMENT;
  }

  @Override
  public String description() {
    return "vectors of " + LANES;
  }

  @Override
  public Activations activations() {
    return VectorActivations.of(BF16);
  }

  private static long address(MemorySegment s, long at, long bytes) {
    return VectorMemory.address(s, at, bytes, STEP);
  }

  private static FloatVector load(long address) {
    return BF16 ? VectorMemory.loadNarrow(address) : VectorMemory.loadWide(address);
  }

  private static void store(FloatVector v, long address) {
    if (BF16) {
      VectorMemory.storeNarrow(v, address);
    } else {
      VectorMemory.storeWide(v, address);
    }
  }

  private static FloatVector array(float[] a, int at) {
    return FloatVector.fromArray(SPECIES, a, at);
  }

  @Override
  public void moments(
      MemorySegment x, long at, int pixels, float[] shift, int channel, float[] acc) {
    long bytes = pixels * STEP;
    moments(address(x, at, bytes), bytes, shift, channel, acc);
  }

  private static void moments(long x, long bytes, float[] shift, int channel, float[] acc) {
    FloatVector k = array(shift, channel);
    FloatVector s0 = array(acc, 0);
    FloatVector q0 = array(acc, LANES);
    FloatVector s1 = FloatVector.zero(SPECIES);
    FloatVector q1 = s1;
    long pairs = bytes - bytes % (2 * STEP);
    for (long o = 0; o < pairs; o += 2 * STEP) {
      FloatVector a = load(x + o).sub(k);
      FloatVector b = load(x + o + STEP).sub(k);
      s0 = s0.add(a);
      q0 = a.fma(a, q0);
      s1 = s1.add(b);
      q1 = b.fma(b, q1);
    }
    for (long o = pairs; o < bytes; o += STEP) {
      FloatVector a = load(x + o).sub(k);
      s0 = s0.add(a);
      q0 = a.fma(a, q0);
    }
    s0.add(s1).intoArray(acc, 0);
    q0.add(q1).intoArray(acc, LANES);
  }

  @Override
  public void normalise(
      MemorySegment x,
      long xAt,
      MemorySegment y,
      long yAt,
      int pixels,
      float[] mean,
      float[] scale,
      float[] beta,
      int channel,
      boolean relu) {
    long bytes = pixels * STEP;
    long from = address(x, xAt, bytes);
    long to = address(y, yAt, bytes);
    if (relu) {
      normaliseRelu(from, to, bytes, mean, scale, beta, channel);
    } else {
      normalise(from, to, bytes, mean, scale, beta, channel);
    }
  }

  private static void normaliseRelu(
      long x, long y, long bytes, float[] mean, float[] scale, float[] beta, int channel) {
    FloatVector m = array(mean, channel);
    FloatVector s = array(scale, channel);
    FloatVector b = array(beta, channel);
    FloatVector zero = FloatVector.zero(SPECIES);
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector v = load(x + o).sub(m).fma(s, b);
      // What max does in five instructions: NaN is not less than zero, and stays.
      store(v.blend(zero, v.compare(VectorOperators.LT, zero)), y + o);
    }
  }

  private static void normalise(
      long x, long y, long bytes, float[] mean, float[] scale, float[] beta, int channel) {
    FloatVector m = array(mean, channel);
    FloatVector s = array(scale, channel);
    FloatVector b = array(beta, channel);
    for (long o = 0; o < bytes; o += STEP) {
      store(load(x + o).sub(m).fma(s, b), y + o);
    }
  }

  @Override
  public void backwardMoments(
      MemorySegment x,
      long xAt,
      MemorySegment dy,
      long dyAt,
      int pixels,
      float[] mean,
      float[] scale,
      float[] beta,
      int channel,
      boolean relu,
      float[] acc) {
    long bytes = pixels * STEP;
    long xs = address(x, xAt, bytes);
    long dys = address(dy, dyAt, bytes);
    if (relu) {
      backwardMomentsRelu(xs, dys, bytes, mean, scale, beta, channel, acc);
    } else {
      backwardMoments(xs, dys, bytes, mean, channel, acc);
    }
  }

  private static void backwardMomentsRelu(
      long x,
      long dy,
      long bytes,
      float[] mean,
      float[] scale,
      float[] beta,
      int channel,
      float[] acc) {
    FloatVector m = array(mean, channel);
    FloatVector s = array(scale, channel);
    FloatVector b = array(beta, channel);
    FloatVector s0 = array(acc, 0);
    FloatVector q0 = array(acc, LANES);
    FloatVector zero = FloatVector.zero(SPECIES);
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector centred = load(x + o).sub(m);
      FloatVector d = zero.blend(load(dy + o), centred.fma(s, b).compare(VectorOperators.GT, zero));
      s0 = s0.add(d);
      q0 = d.fma(centred, q0);
    }
    s0.intoArray(acc, 0);
    q0.intoArray(acc, LANES);
  }

  private static void backwardMoments(
      long x, long dy, long bytes, float[] mean, int channel, float[] acc) {
    FloatVector m = array(mean, channel);
    FloatVector s0 = array(acc, 0);
    FloatVector q0 = array(acc, LANES);
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector d = load(dy + o);
      s0 = s0.add(d);
      q0 = d.fma(load(x + o).sub(m), q0);
    }
    s0.intoArray(acc, 0);
    q0.intoArray(acc, LANES);
  }

  @Override
  public void backwardNormalise(
      MemorySegment x,
      long xAt,
      MemorySegment dy,
      long dyAt,
      MemorySegment dx,
      long dxAt,
      int pixels,
      float[] mean,
      float[] scale,
      float[] beta,
      float[] c0,
      float[] c1,
      int channel,
      boolean relu) {
    long bytes = pixels * STEP;
    long xs = address(x, xAt, bytes);
    long dys = address(dy, dyAt, bytes);
    long dxs = address(dx, dxAt, bytes);
    if (relu) {
      backwardNormaliseRelu(xs, dys, dxs, bytes, mean, scale, beta, c0, c1, channel);
    } else {
      backwardNormalise(xs, dys, dxs, bytes, mean, scale, c0, c1, channel);
    }
  }

  private static void backwardNormaliseRelu(
      long x,
      long dy,
      long dx,
      long bytes,
      float[] mean,
      float[] scale,
      float[] beta,
      float[] c0,
      float[] c1,
      int channel) {
    FloatVector m = array(mean, channel);
    FloatVector s = array(scale, channel);
    FloatVector b = array(beta, channel);
    FloatVector k0 = array(c0, channel);
    FloatVector k1 = array(c1, channel);
    FloatVector zero = FloatVector.zero(SPECIES);
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector centred = load(x + o).sub(m);
      FloatVector d = zero.blend(load(dy + o), centred.fma(s, b).compare(VectorOperators.GT, zero));
      store(d.sub(k0).sub(centred.mul(k1)).mul(s), dx + o);
    }
  }

  private static void backwardNormalise(
      long x,
      long dy,
      long dx,
      long bytes,
      float[] mean,
      float[] scale,
      float[] c0,
      float[] c1,
      int channel) {
    FloatVector m = array(mean, channel);
    FloatVector s = array(scale, channel);
    FloatVector k0 = array(c0, channel);
    FloatVector k1 = array(c1, channel);
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector centred = load(x + o).sub(m);
      store(load(dy + o).sub(k0).sub(centred.mul(k1)).mul(s), dx + o);
    }
  }

  @Override
  public void weightedSum(
      MemorySegment[] xs,
      long[] ats,
      float[] weights,
      int first,
      MemorySegment y,
      long yAt,
      long bytes) {
    for (int k = 0; k < xs.length; k++) {
      ats[k] = address(xs[k], ats[k], bytes);
    }
    long to = address(y, yAt, bytes);
    // Memory gives more where it is read a few kilobytes on end from a few places, not by the line
    // from all candidates in turn; meanwhile y stays in the first-level cache.
    for (long o = 0; o < bytes; o += TILE) {
      long tile = Math.min(TILE, bytes - o);
      int k = 0;
      for (; k + 3 <= xs.length; k += 3) {
        addThree(ats, weights, first, k, o, to + o, tile);
      }
      for (; k < xs.length; k++) {
        add(ats[k] + o, weights[first + k], k == 0, to + o, tile);
      }
    }
  }

  private static void addThree(
      long[] xs, float[] weights, int first, int k, long at, long y, long bytes) {
    long x0 = xs[k] + at;
    long x1 = xs[k + 1] + at;
    long x2 = xs[k + 2] + at;
    FloatVector m0 = FloatVector.broadcast(SPECIES, weights[first + k]);
    FloatVector m1 = FloatVector.broadcast(SPECIES, weights[first + k + 1]);
    FloatVector m2 = FloatVector.broadcast(SPECIES, weights[first + k + 2]);
    if (k == 0) {
      FloatVector zero = FloatVector.zero(SPECIES);
      for (long o = 0; o < bytes; o += STEP) {
        FloatVector s = load(x0 + o).fma(m0, zero);
        store(load(x2 + o).fma(m2, load(x1 + o).fma(m1, s)), y + o);
      }
    } else {
      for (long o = 0; o < bytes; o += STEP) {
        FloatVector s = load(x0 + o).fma(m0, load(y + o));
        store(load(x2 + o).fma(m2, load(x1 + o).fma(m1, s)), y + o);
      }
    }
  }

  private static void add(long x, float weight, boolean first, long y, long bytes) {
    FloatVector m = FloatVector.broadcast(SPECIES, weight);
    if (first) {
      FloatVector zero = FloatVector.zero(SPECIES);
      for (long o = 0; o < bytes; o += STEP) {
        store(load(x + o).fma(m, zero), y + o);
      }
    } else {
      for (long o = 0; o < bytes; o += STEP) {
        store(load(x + o).fma(m, load(y + o)), y + o);
      }
    }
  }

  @Override
  public void scale(
      MemorySegment x, long xAt, float weight, MemorySegment y, long yAt, long bytes) {
    scale(address(x, xAt, bytes), weight, address(y, yAt, bytes), bytes);
  }

  private static void scale(long x, float weight, long y, long bytes) {
    FloatVector w = FloatVector.broadcast(SPECIES, weight);
    for (long o = 0; o < bytes; o += STEP) {
      store(load(x + o).mul(w), y + o);
    }
  }

  @Override
  public double dot(
      MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes, float[] scratch) {
    long xs = address(x, xAt, bytes);
    long ys = address(y, yAt, bytes);
    double total = 0;
    for (long piece = 0; piece < bytes; piece += DOT_PIECE) {
      dot(xs + piece, ys + piece, Math.min(bytes - piece, DOT_PIECE), scratch);
      for (int i = 0; i < LANES; i++) {
        total += scratch[i];
      }
    }
    return total;
  }

  /** Lane by lane: the order in which reduceLanes adds differs once it is compiled. */
  private static void dot(long x, long y, long bytes, float[] lanes) {
    FloatVector s0 = FloatVector.zero(SPECIES);
    FloatVector s1 = s0;
    long pairs = bytes - bytes % (2 * STEP);
    for (long o = 0; o < pairs; o += 2 * STEP) {
      s0 = load(x + o).fma(load(y + o), s0);
      s1 = load(x + o + STEP).fma(load(y + o + STEP), s1);
    }
    for (long o = pairs; o < bytes; o += STEP) {
      s0 = load(x + o).fma(load(y + o), s0);
    }
    s0.add(s1).intoArray(lanes, 0);
  }

  @Override
  public void pixelSum(MemorySegment x, long at, int pixels, float[] acc) {
    long bytes = pixels * STEP;
    pixelSum(address(x, at, bytes), bytes, acc);
  }

  private static void pixelSum(long x, long bytes, float[] acc) {
    FloatVector s = FloatVector.zero(SPECIES);
    for (long o = 0; o < bytes; o += STEP) {
      s = s.add(load(x + o));
    }
    s.intoArray(acc, 0);
  }

  @Override
  public void read(MemorySegment x, long at, long bytes, float[] to, int index) {
    read(address(x, at, bytes), bytes, to, index);
  }

  private static void read(long x, long bytes, float[] to, int index) {
    int i = index;
    for (long o = 0; o < bytes; o += STEP) {
      load(x + o).intoArray(to, i);
      i += LANES;
    }
  }

  @Override
  public void widen(MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes) {
    long wide = bytes * WIDENING;
    widen(address(x, xAt, bytes), address(y, yAt, wide), wide);
  }

  private static void widen(long x, long y, long wide) {
    for (long o = 0; o < wide; o += WIDE_STEP) {
      VectorMemory.storeWide(load(x + o / WIDENING), y + o);
    }
  }

  @Override
  public void narrow(MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes) {
    long wide = bytes * WIDENING;
    narrow(address(x, xAt, wide), address(y, yAt, bytes), wide);
  }

  private static void narrow(long x, long y, long wide) {
    for (long o = 0; o < wide; o += WIDE_STEP) {
      store(VectorMemory.loadWide(x + o), y + o / WIDENING);
    }
  }

  @Override
  public void pixelFill(MemorySegment y, long at, int pixels, float[] value) {
    long bytes = pixels * STEP;
    pixelFill(address(y, at, bytes), bytes, value);
  }

  private static void pixelFill(long y, long bytes, float[] value) {
    FloatVector v = array(value, 0);
    for (long o = 0; o < bytes; o += STEP) {
      store(v, y + o);
    }
  }

  @Override
  public void sgd(
      MemorySegment value,
      MemorySegment gradient,
      MemorySegment velocity,
      long at,
      long bytes,
      float rate,
      float momentum,
      float decay) {
    sgd(
        address(value, at, bytes),
        address(gradient, at, bytes),
        address(velocity, at, bytes),
        bytes,
        rate,
        momentum,
        decay);
  }

  private static void sgd(
      long value,
      long gradient,
      long velocity,
      long bytes,
      float rate,
      float momentum,
      float decay) {
    FloatVector mu = FloatVector.broadcast(SPECIES, momentum);
    FloatVector lambda = FloatVector.broadcast(SPECIES, decay);
    FloatVector minusRate = FloatVector.broadcast(SPECIES, -rate);
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector w = load(value + o);
      FloatVector v = mu.fma(load(velocity + o), lambda.fma(w, load(gradient + o)));
      store(v, velocity + o);
      store(minusRate.fma(v, w), value + o);
    }
  }

  @Override
  public void blend(
      MemorySegment target, MemorySegment source, long at, long bytes, float keep, float share) {
    blend(address(target, at, bytes), address(source, at, bytes), bytes, keep, share);
  }

  private static void blend(long target, long source, long bytes, float keep, float share) {
    FloatVector kept = FloatVector.broadcast(SPECIES, keep);
    FloatVector added = FloatVector.broadcast(SPECIES, share);
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector x = added.mul(load(source + o));
      store(keep == 0 ? x : kept.fma(load(target + o), x), target + o);
    }
  }

  @Override
  public boolean finite(MemorySegment x, long at, long bytes) {
    return finite(address(x, at, bytes), bytes);
  }

  private static boolean finite(long x, long bytes) {
    // x * 0 is 0 for finite x and NaN otherwise, and NaN stays in a sum.
    FloatVector zero = FloatVector.zero(SPECIES);
    FloatVector s = zero;
    for (long o = 0; o < bytes; o += STEP) {
      s = load(x + o).fma(zero, s);
    }
    return s.reduceLanes(VectorOperators.ADD) == 0;
  }

  @Override
  public void depthwise5Weights(
      float[] padded,
      int paddedWidth,
      MemorySegment dy,
      long at,
      int outHeight,
      int outWidth,
      int stride,
      float[] acc,
      int start) {
    long dys = address(dy, at, STEP * outHeight * outWidth);
    for (int row = 0; row < 5; row++) {
      int top = row * paddedWidth * LANES;
      int first = start + row * 5 * LANES;
      tapRow(padded, top, paddedWidth, dys, outHeight, outWidth, stride, acc, first);
    }
  }

  /** One row of taps: five accumulators and one gradient vector stay in registers. */
  private static void tapRow(
      float[] padded,
      int top,
      int paddedWidth,
      long dy,
      int outHeight,
      int outWidth,
      int stride,
      float[] acc,
      int first) {
    FloatVector a0 = array(acc, first);
    FloatVector a1 = array(acc, first + LANES);
    FloatVector a2 = array(acc, first + 2 * LANES);
    FloatVector a3 = array(acc, first + 3 * LANES);
    FloatVector a4 = array(acc, first + 4 * LANES);
    for (int h = 0; h < outHeight; h++) {
      int p = top + h * stride * paddedWidth * LANES;
      long o = dy + h * (outWidth * STEP);
      for (int w = 0; w < outWidth; w++) {
        FloatVector d = load(o + w * STEP);
        a0 = d.fma(array(padded, p), a0);
        a1 = d.fma(array(padded, p + LANES), a1);
        a2 = d.fma(array(padded, p + 2 * LANES), a2);
        a3 = d.fma(array(padded, p + 3 * LANES), a3);
        a4 = d.fma(array(padded, p + 4 * LANES), a4);
        p += stride * LANES;
      }
    }
    a0.intoArray(acc, first);
    a1.intoArray(acc, first + LANES);
    a2.intoArray(acc, first + 2 * LANES);
    a3.intoArray(acc, first + 3 * LANES);
    a4.intoArray(acc, first + 4 * LANES);
  }
}
