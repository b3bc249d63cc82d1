package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.MemorySegment;

/** The loops one number at a time: for JVMs started without the vector module. */
final class ScalarLoops implements Loops {
  private static final int PIECE = 4096;

  private final int lanes;

  ScalarLoops(int lanes) {
    this.lanes = lanes;
  }

  @Override
  public int lanes() {
    return lanes;
  }

  @Override
  public String description() {
    return "scalar";
  }

  private static float get(MemorySegment s, long at) {
    return s.get(JAVA_FLOAT, at);
  }

  private static void set(MemorySegment s, long at, float v) {
    s.set(JAVA_FLOAT, at, v);
  }

  @Override
  public void moments(
      MemorySegment x, long at, int pixels, float[] shift, int channel, float[] acc) {
    for (long p = 0; p < pixels; p++) {
      for (int i = 0; i < lanes; i++) {
        float v = get(x, at + (p * lanes + i) * 4) - shift[channel + i];
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
        long o = (p * lanes + i) * 4;
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
        long o = (p * lanes + i) * 4;
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
        long o = (p * lanes + i) * 4;
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
    for (long o = 0; o < bytes; o += 4) {
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
    for (long o = 0; o < bytes; o += 4) {
      set(y, yAt + o, weight * get(x, xAt + o));
    }
  }

  @Override
  public double dot(
      MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes, float[] scratch) {
    double total = 0;
    for (long piece = 0; piece < bytes; piece += PIECE * 4L) {
      float s = 0;
      for (long o = piece; o < Math.min(bytes, piece + PIECE * 4L); o += 4) {
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
        acc[i] += get(x, at + (p * lanes + i) * 4);
      }
    }
  }

  @Override
  public void pixelFill(MemorySegment y, long at, int pixels, float[] value) {
    for (long p = 0; p < pixels; p++) {
      for (int i = 0; i < lanes; i++) {
        set(y, at + (p * lanes + i) * 4, value[i]);
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
    for (long o = at; o < at + bytes; o += 4) {
      float w = get(value, o);
      float v = Math.fma(momentum, get(velocity, o), Math.fma(decay, w, get(gradient, o)));
      set(velocity, o, v);
      set(value, o, Math.fma(-rate, v, w));
    }
  }

  @Override
  public void blend(
      MemorySegment target, MemorySegment source, long at, long bytes, float keep, float share) {
    for (long o = at; o < at + bytes; o += 4) {
      float x = share * get(source, o);
      set(target, o, keep == 0 ? x : Math.fma(keep, get(target, o), x));
    }
  }

  @Override
  public boolean finite(MemorySegment x, long at, long bytes) {
    for (long o = at; o < at + bytes; o += 4) {
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
          long o = at + 4L * lanes * ((long) h * outWidth + w);
          for (int i = 0; i < lanes; i++) {
            acc[first + tap * lanes + i] += get(dy, o + 4L * i) * padded[from + i];
          }
        }
      }
    }
  }
}
