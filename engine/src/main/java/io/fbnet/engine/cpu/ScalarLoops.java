package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemorySegment;

/** The loops one number at a time: for JVMs started without the vector module. */
final class ScalarLoops implements Loops {
  private static final int PIECE = 4096;

  private final int lanes;
  private final boolean bf16;
  private final int element;

  ScalarLoops(int lanes, boolean bf16) {
    this.lanes = lanes;
    this.bf16 = bf16;
    element = bf16 ? Short.BYTES : Float.BYTES;
  }

  @Override
  public int lanes() {
    return lanes;
  }

  @Override
  public int elementBytes() {
    return element;
  }

  @Override
  public String description() {
    return "scalar";
  }

  @Override
  public Activations activations() {
    return new ScalarActivations(this);
  }

  float get(MemorySegment s, long at) {
    return bf16 ? Bf16.widen(s.get(JAVA_SHORT, at)) : s.get(JAVA_FLOAT, at);
  }

  void set(MemorySegment s, long at, float v) {
    if (bf16) {
      s.set(JAVA_SHORT, at, Bf16.round(v));
    } else {
      s.set(JAVA_FLOAT, at, v);
    }
  }

  @Override
  public void moments(
      MemorySegment x, long at, int pixels, float[] shift, int channel, float[] acc) {
    for (long p = 0; p < pixels; p++) {
      for (int i = 0; i < lanes; i++) {
        float v = get(x, at + (p * lanes + i) * element) - shift[channel + i];
        acc[i] += v;
        acc[lanes + i] += v * v;
      }
    }
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
    for (long p = 0; p < pixels; p++) {
      for (int i = 0; i < lanes; i++) {
        long o = (p * lanes + i) * element;
        int c = channel + i;
        float v = Math.fma(get(x, xAt + o) - mean[c], scale[c], beta[c]);
        set(y, yAt + o, relu ? Math.max(0, v) : v);
      }
    }
  }

  private float masked(
      float x, float dy, float[] mean, float[] scale, float[] beta, int c, boolean relu) {
    return relu && !(Math.fma(x - mean[c], scale[c], beta[c]) > 0) ? 0 : dy;
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
    for (long p = 0; p < pixels; p++) {
      for (int i = 0; i < lanes; i++) {
        long o = (p * lanes + i) * element;
        float v = get(x, xAt + o);
        float d = masked(v, get(dy, dyAt + o), mean, scale, beta, channel + i, relu);
        acc[i] += d;
        acc[lanes + i] = Math.fma(d, v - mean[channel + i], acc[lanes + i]);
      }
    }
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
    for (long p = 0; p < pixels; p++) {
      for (int i = 0; i < lanes; i++) {
        long o = (p * lanes + i) * element;
        int c = channel + i;
        float v = get(x, xAt + o);
        float d = masked(v, get(dy, dyAt + o), mean, scale, beta, c, relu);
        set(dx, dxAt + o, scale[c] * ((d - c0[c]) - (v - mean[c]) * c1[c]));
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
    for (long o = 0; o < bytes; o += element) {
      float s = 0;
      for (int k = 0; k < xs.length; k++) {
        s = Math.fma(weights[first + k], get(xs[k], ats[k] + o), s);
      }
      set(y, yAt + o, s);
    }
  }

  @Override
  public void scale(
      MemorySegment x, long xAt, float weight, MemorySegment y, long yAt, long bytes) {
    for (long o = 0; o < bytes; o += element) {
      set(y, yAt + o, weight * get(x, xAt + o));
    }
  }

  @Override
  public double dot(
      MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes, float[] scratch) {
    double total = 0;
    for (long piece = 0; piece < bytes; piece += (long) PIECE * element) {
      float s = 0;
      for (long o = piece; o < Math.min(bytes, piece + (long) PIECE * element); o += element) {
        s += get(x, xAt + o) * get(y, yAt + o);
      }
      total += s;
    }
    return total;
  }

  @Override
  public void pixelSum(MemorySegment x, long at, int pixels, float[] acc) {
    java.util.Arrays.fill(acc, 0, lanes, 0);
    for (long p = 0; p < pixels; p++) {
      for (int i = 0; i < lanes; i++) {
        acc[i] += get(x, at + (p * lanes + i) * element);
      }
    }
  }

  @Override
  public void read(MemorySegment x, long at, long bytes, float[] to, int index) {
    for (int i = 0; i < bytes / element; i++) {
      to[index + i] = get(x, at + (long) i * element);
    }
  }

  @Override
  public void widen(MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes) {
    for (long i = 0; i < bytes / element; i++) {
      y.set(JAVA_FLOAT, yAt + i * Float.BYTES, get(x, xAt + i * element));
    }
  }

  @Override
  public void narrow(MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes) {
    for (long i = 0; i < bytes / element; i++) {
      set(y, yAt + i * element, x.get(JAVA_FLOAT, xAt + i * Float.BYTES));
    }
  }

  @Override
  public void pixelFill(MemorySegment y, long at, int pixels, float[] value) {
    for (long p = 0; p < pixels; p++) {
      for (int i = 0; i < lanes; i++) {
        set(y, at + (p * lanes + i) * element, value[i]);
      }
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
    for (long o = at; o < at + bytes; o += element) {
      float w = get(value, o);
      float v = Math.fma(momentum, get(velocity, o), Math.fma(decay, w, get(gradient, o)));
      set(velocity, o, v);
      set(value, o, Math.fma(-rate, v, w));
    }
  }

  @Override
  public void blend(
      MemorySegment target, MemorySegment source, long at, long bytes, float keep, float share) {
    for (long o = at; o < at + bytes; o += element) {
      float x = share * get(source, o);
      set(target, o, keep == 0 ? x : Math.fma(keep, get(target, o), x));
    }
  }

  @Override
  public boolean finite(MemorySegment x, long at, long bytes) {
    for (long o = at; o < at + bytes; o += element) {
      if (!Float.isFinite(get(x, o))) {
        return false;
      }
    }
    return true;
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
      int first) {
    for (int tap = 0; tap < 25; tap++) {
      for (int h = 0; h < outHeight; h++) {
        for (int w = 0; w < outWidth; w++) {
          int from = ((h * stride + tap / 5) * paddedWidth + w * stride + tap % 5) * lanes;
          long o = at + (long) element * lanes * ((long) h * outWidth + w);
          for (int i = 0; i < lanes; i++) {
            acc[first + tap * lanes + i] += get(dy, o + (long) element * i) * padded[from + i];
          }
        }
      }
    }
  }
}
