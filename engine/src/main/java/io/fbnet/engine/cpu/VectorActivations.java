package io.fbnet.engine.cpu;

import static io.fbnet.engine.cpu.VectorMemory.LANES;
import static io.fbnet.engine.cpu.VectorMemory.SPECIES;

import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** The loops on the Vector API, one method a function: see {@link VectorLoops}. */
final class VectorActivations implements Activations {
  private static final boolean BF16 = VectorMemory.isForBf16(MethodHandles.lookup());
  private static final long STEP = (long) (BF16 ? Short.BYTES : Float.BYTES) * LANES;

  /** e^x = 2^n e^r, n the nearest whole number to x / ln 2. */
  private static final float BY_LN_2 = 1.442695f;

  /** ln 2 in two parts, the first with so few bits that n times it is exact. */
  private static final float LN_2_HIGH = 0x1.63p-1f;

  private static final float LN_2_LOW = -2.1219444e-4f;

  /** Added to a number below 2^22 it leaves the nearest whole one in the lowest bits. */
  private static final float ROUNDING = 0x1.8p23f;

  /** Beyond, e^-x is so large or small that a sigmoid in f32 is 0 or 1. */
  private static final float FAR = 87;

  private static final int EXPONENT_SHIFT = 23;

  /** Loaded with the class, once for all back ends. */
  private static final class Narrow {
    static final Activations LOOPS =
        (Activations) VectorMemory.anewForBf16(MethodHandles.lookup().in(VectorActivations.class));
  }

  /** The loops over f32 or over bf16. */
  static Activations of(boolean bf16) {
    return bf16 ? Narrow.LOOPS : new VectorActivations();
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

  @Override
  public void forward(
      Op.Function f, MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes) {
    long from = address(x, xAt, bytes);
    long to = address(y, yAt, bytes);
    switch (f) {
      case RELU -> relu(from, to, bytes);
      case SWISH -> swish(from, to, bytes);
      case HARD_SWISH -> hardSwish(from, to, bytes);
      default -> throw new IllegalArgumentException(f + " is no activation");
    }
  }

  private static void relu(long x, long y, long bytes) {
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector v = load(x + o);
      // NaN is not less than zero, and stays.
      store(v.blend(0f, v.compare(VectorOperators.LT, 0f)), y + o);
    }
  }

  private static void swish(long x, long y, long bytes) {
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector v = load(x + o);
      store(v.mul(sigmoid(v)), y + o);
    }
  }

  private static void hardSwish(long x, long y, long bytes) {
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector v = load(x + o);
      store(v.mul(hardSigmoid(v)), y + o);
    }
  }

  @Override
  public void backward(
      Op.Function f,
      MemorySegment x,
      long xAt,
      MemorySegment dy,
      long dyAt,
      MemorySegment dx,
      long dxAt,
      long bytes) {
    long xs = address(x, xAt, bytes);
    long dys = address(dy, dyAt, bytes);
    long dxs = address(dx, dxAt, bytes);
    switch (f) {
      case RELU -> reluBackward(xs, dys, dxs, bytes);
      case SWISH -> swishBackward(xs, dys, dxs, bytes);
      case HARD_SWISH -> hardSwishBackward(xs, dys, dxs, bytes);
      default -> throw new IllegalArgumentException(f + " is no activation");
    }
  }

  private static void reluBackward(long x, long dy, long dx, long bytes) {
    FloatVector zero = FloatVector.zero(SPECIES);
    for (long o = 0; o < bytes; o += STEP) {
      store(zero.blend(load(dy + o), load(x + o).compare(VectorOperators.GT, 0f)), dx + o);
    }
  }

  private static void swishBackward(long x, long dy, long dx, long bytes) {
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector v = load(x + o);
      FloatVector s = sigmoid(v);
      // s (1 + x (1 - s)) = s + x s (1 - s)
      FloatVector slope = v.mul(s).fma(FloatVector.broadcast(SPECIES, 1f).sub(s), s);
      store(slope.mul(load(dy + o)), dx + o);
    }
  }

  private static void hardSwishBackward(long x, long dy, long dx, long bytes) {
    for (long o = 0; o < bytes; o += STEP) {
      FloatVector v = load(x + o);
      FloatVector inner = v.mul(1 / 3f).add(0.5f);
      FloatVector slope =
          inner
              .blend(0f, v.compare(VectorOperators.LE, -3f))
              .blend(1f, v.compare(VectorOperators.GE, 3f));
      store(slope.mul(load(dy + o)), dx + o);
    }
  }

  /** 1 / (1 + e^-x), by Cephes' polynomial for e^r: good to two units of the last place. */
  private static FloatVector sigmoid(FloatVector x) {
    // Not min and max, which take five instructions: a NaN is neither more nor less, and stays.
    FloatVector z = x.neg();
    z = z.blend(FAR, z.compare(VectorOperators.GT, FAR));
    z = z.blend(-FAR, z.compare(VectorOperators.LT, -FAR));
    FloatVector shifted = z.mul(BY_LN_2).add(ROUNDING);
    FloatVector n = shifted.sub(ROUNDING);
    FloatVector r = n.mul(-LN_2_HIGH).add(z);
    r = n.fma(FloatVector.broadcast(SPECIES, -LN_2_LOW), r);
    FloatVector p = r.mul(1.9875691e-4f).add(1.3981999e-3f);
    p = p.mul(r).add(8.333452e-3f);
    p = p.mul(r).add(4.1665796e-2f);
    p = p.mul(r).add(0.16666666f);
    p = p.mul(r).add(0.5f);
    FloatVector e = p.fma(r.mul(r), r).add(1f);
    IntVector power = shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, EXPONENT_SHIFT);
    // The whole number has moved into the exponent: adding it multiplies by 2^n.
    FloatVector exp = e.reinterpretAsInts().add(power).reinterpretAsFloats();
    FloatVector one = FloatVector.broadcast(SPECIES, 1f);
    return one.div(exp.add(1f)).blend(x, x.compare(VectorOperators.NE, x));
  }

  private static FloatVector hardSigmoid(FloatVector x) {
    FloatVector v = x.mul(1 / 6f).add(0.5f);
    v = v.blend(0f, v.compare(VectorOperators.LT, 0f));
    return v.blend(1f, v.compare(VectorOperators.GT, 1f));
  }

  @Override
  public void scale(
      MemorySegment x, long xAt, MemorySegment y, long yAt, int pixels, float[] factors) {
    long bytes = pixels * STEP;
    scale(address(x, xAt, bytes), address(y, yAt, bytes), bytes, factors);
  }

  private static void scale(long x, long y, long bytes, float[] factors) {
    FloatVector f = FloatVector.fromArray(SPECIES, factors, 0);
    for (long o = 0; o < bytes; o += STEP) {
      store(load(x + o).mul(f), y + o);
    }
  }

  @Override
  public void dot(MemorySegment x, long xAt, MemorySegment y, long yAt, int pixels, float[] sums) {
    long bytes = pixels * STEP;
    dot(address(x, xAt, bytes), address(y, yAt, bytes), bytes, sums);
  }

  private static void dot(long x, long y, long bytes, float[] sums) {
    FloatVector s = FloatVector.zero(SPECIES);
    for (long o = 0; o < bytes; o += STEP) {
      s = load(x + o).fma(load(y + o), s);
    }
    s.intoArray(sums, 0);
  }
}
