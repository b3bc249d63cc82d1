package io.fbnet.engine.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The loops on the Vector API: a block of channels is one vector of the machine's preferred size.
 * Loads from segments take a long offset; with an int index they are several times slower.
 */
final class VectorLoops implements Loops {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int LANES = SPECIES.length();
  private static final long STEP = 4L * LANES;
  private static final ByteOrder ORDER = ByteOrder.nativeOrder();

  /** Whether a vector of this machine is a block of channels that oneDNN knows. */
  static boolean fits() {
    return LANES == 8 || LANES == 16;
  }

  @Override
  public int lanes() {
    return LANES;
  }

  @Override
  public String description() {
    return "vectors of " + LANES;
  }

  private static FloatVector load(MemorySegment s, long at) {
    return FloatVector.fromMemorySegment(SPECIES, s, at, ORDER);
  }

  private static FloatVector array(float[] a, int at) {
    return FloatVector.fromArray(SPECIES, a, at);
  }

  @Override
  public void moments(
      MemorySegment x, long at, int pixels, float[] shift, int channel, float[] acc) {
    FloatVector k = array(shift, channel);
    FloatVector s0 = array(acc, 0);
    FloatVector q0 = array(acc, LANES);
    FloatVector s1 = FloatVector.zero(SPECIES);
    FloatVector q1 = s1;
    long o = at;
    long end = at + pixels * STEP;
    for (; o + STEP < end; o += 2 * STEP) {
      FloatVector a = load(x, o).sub(k);
      FloatVector b = load(x, o + STEP).sub(k);
      s0 = s0.add(a);
      q0 = a.fma(a, q0);
      s1 = s1.add(b);
      q1 = b.fma(b, q1);
    }
    if (o < end) {
      FloatVector a = load(x, o).sub(k);
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
    FloatVector m = array(mean, channel);
    FloatVector s = array(scale, channel);
    FloatVector b = array(beta, channel);
    long bytes = pixels * STEP;
    if (relu) {
      for (long o = 0; o < bytes; o += STEP) {
        load(x, xAt + o).sub(m).fma(s, b).max(0f).intoMemorySegment(y, yAt + o, ORDER);
      }
    } else {
      for (long o = 0; o < bytes; o += STEP) {
        load(x, xAt + o).sub(m).fma(s, b).intoMemorySegment(y, yAt + o, ORDER);
      }
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
    FloatVector m = array(mean, channel);
    FloatVector s = array(scale, channel);
    FloatVector b = array(beta, channel);
    FloatVector s0 = array(acc, 0);
    FloatVector q0 = array(acc, LANES);
    FloatVector zero = FloatVector.zero(SPECIES);
    long bytes = pixels * STEP;
    if (relu) {
      for (long o = 0; o < bytes; o += STEP) {
        FloatVector centred = load(x, xAt + o).sub(m);
        VectorMask<Float> on = centred.fma(s, b).compare(VectorOperators.GT, 0f);
        FloatVector d = zero.blend(load(dy, dyAt + o), on);
        s0 = s0.add(d);
        q0 = d.fma(centred, q0);
      }
    } else {
      for (long o = 0; o < bytes; o += STEP) {
        FloatVector d = load(dy, dyAt + o);
        s0 = s0.add(d);
        q0 = d.fma(load(x, xAt + o).sub(m), q0);
      }
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
    FloatVector m = array(mean, channel);
    FloatVector s = array(scale, channel);
    FloatVector b = array(beta, channel);
    FloatVector k0 = array(c0, channel);
    FloatVector k1 = array(c1, channel);
    FloatVector zero = FloatVector.zero(SPECIES);
    long bytes = pixels * STEP;
    if (relu) {
      for (long o = 0; o < bytes; o += STEP) {
        FloatVector centred = load(x, xAt + o).sub(m);
        VectorMask<Float> on = centred.fma(s, b).compare(VectorOperators.GT, 0f);
        FloatVector d = zero.blend(load(dy, dyAt + o), on);
        d.sub(k0).sub(centred.mul(k1)).mul(s).intoMemorySegment(dx, dxAt + o, ORDER);
      }
    } else {
      for (long o = 0; o < bytes; o += STEP) {
        FloatVector centred = load(x, xAt + o).sub(m);
        load(dy, dyAt + o)
            .sub(k0)
            .sub(centred.mul(k1))
            .mul(s)
            .intoMemorySegment(dx, dxAt + o, ORDER);
      }
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
    long o = 0;
    // Four accumulators hide the latency of the fused multiply-adds over the candidates.
    for (; o + 4 * STEP <= bytes; o += 4 * STEP) {
      FloatVector s0 = FloatVector.zero(SPECIES);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      for (int k = 0; k < xs.length; k++) {
        MemorySegment x = xs[k];
        long at = ats[k] + o;
        FloatVector m = FloatVector.broadcast(SPECIES, weights[first + k]);
        s0 = load(x, at).fma(m, s0);
        s1 = load(x, at + STEP).fma(m, s1);
        s2 = load(x, at + 2 * STEP).fma(m, s2);
        s3 = load(x, at + 3 * STEP).fma(m, s3);
      }
      s0.intoMemorySegment(y, yAt + o, ORDER);
      s1.intoMemorySegment(y, yAt + o + STEP, ORDER);
      s2.intoMemorySegment(y, yAt + o + 2 * STEP, ORDER);
      s3.intoMemorySegment(y, yAt + o + 3 * STEP, ORDER);
    }
    for (; o < bytes; o += STEP) {
      FloatVector s = FloatVector.zero(SPECIES);
      for (int k = 0; k < xs.length; k++) {
        s = load(xs[k], ats[k] + o).fma(FloatVector.broadcast(SPECIES, weights[first + k]), s);
      }
      s.intoMemorySegment(y, yAt + o, ORDER);
    }
  }

  @Override
  public void scale(
      MemorySegment x, long xAt, float weight, MemorySegment y, long yAt, long bytes) {
    for (long o = 0; o < bytes; o += STEP) {
      load(x, xAt + o).mul(weight).intoMemorySegment(y, yAt + o, ORDER);
    }
  }

  @Override
  public double dot(
      MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes, float[] scratch) {
    double total = 0;
    for (long piece = 0; piece < bytes; piece += 4096 * 4L) {
      long last = Math.min(bytes, piece + 4096 * 4L);
      FloatVector s0 = FloatVector.zero(SPECIES);
      FloatVector s1 = s0;
      long o = piece;
      for (; o + STEP < last; o += 2 * STEP) {
        s0 = load(x, xAt + o).fma(load(y, yAt + o), s0);
        s1 = load(x, xAt + o + STEP).fma(load(y, yAt + o + STEP), s1);
      }
      if (o < last) {
        s0 = load(x, xAt + o).fma(load(y, yAt + o), s0);
      }
      // Not reduceLanes: the order in which it adds differs between interpreted and compiled code.
      s0.add(s1).intoArray(scratch, 0);
      for (int i = 0; i < LANES; i++) {
        total += scratch[i];
      }
    }
    return total;
  }

  @Override
  public void pixelSum(MemorySegment x, long at, int pixels, float[] acc) {
    FloatVector s = FloatVector.zero(SPECIES);
    for (long o = at; o < at + pixels * STEP; o += STEP) {
      s = s.add(load(x, o));
    }
    s.intoArray(acc, 0);
  }

  @Override
  public void pixelFill(MemorySegment y, long at, int pixels, float[] value) {
    FloatVector v = array(value, 0);
    for (long o = at; o < at + pixels * STEP; o += STEP) {
      v.intoMemorySegment(y, o, ORDER);
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
    FloatVector mu = FloatVector.broadcast(SPECIES, momentum);
    FloatVector lambda = FloatVector.broadcast(SPECIES, decay);
    FloatVector minusRate = FloatVector.broadcast(SPECIES, -rate);
    for (long o = at; o < at + bytes; o += STEP) {
      FloatVector w = load(value, o);
      FloatVector v = mu.fma(load(velocity, o), lambda.fma(w, load(gradient, o)));
      v.intoMemorySegment(velocity, o, ORDER);
      minusRate.fma(v, w).intoMemorySegment(value, o, ORDER);
    }
  }

  @Override
  public void blend(
      MemorySegment target, MemorySegment source, long at, long bytes, float keep, float share) {
    FloatVector kept = FloatVector.broadcast(SPECIES, keep);
    FloatVector added = FloatVector.broadcast(SPECIES, share);
    for (long o = at; o < at + bytes; o += STEP) {
      FloatVector x = added.mul(load(source, o));
      (keep == 0 ? x : kept.fma(load(target, o), x)).intoMemorySegment(target, o, ORDER);
    }
  }

  @Override
  public boolean finite(MemorySegment x, long at, long bytes) {
    // x * 0 is 0 for finite x and NaN otherwise, and NaN stays in a sum.
    FloatVector zero = FloatVector.zero(SPECIES);
    FloatVector s = zero;
    for (long o = at; o < at + bytes; o += STEP) {
      s = load(x, o).fma(zero, s);
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
    // One row of taps at a time: five accumulators and one gradient vector stay in registers.
    for (int row = 0; row < 5; row++) {
      int first = start + row * 5 * LANES;
      FloatVector a0 = array(acc, first);
      FloatVector a1 = array(acc, first + LANES);
      FloatVector a2 = array(acc, first + 2 * LANES);
      FloatVector a3 = array(acc, first + 3 * LANES);
      FloatVector a4 = array(acc, first + 4 * LANES);
      for (int h = 0; h < outHeight; h++) {
        int p = (h * stride + row) * paddedWidth * LANES;
        long o = at + h * (outWidth * STEP);
        for (int w = 0; w < outWidth; w++) {
          FloatVector d = load(dy, o + w * STEP);
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
}
