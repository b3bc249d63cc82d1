package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.fbnet.engine.cuda.CudaDepthwise.Slice;
import io.fbnet.engine.cuda.CudaDepthwiseTest.Case;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;

/** Images and numbers of a depthwise case, on the host and on the device. */
final class DepthwiseArrays {
  /** What lies beside a slice: no number, and no other NaN has these bits in f32 or in bf16. */
  static final int BESIDE = 0x7FD57FD5;

  private final Case c;
  private final CudaBackend backend;
  private final Arena arena;
  private final Random random;

  DepthwiseArrays(Case c, CudaBackend backend, Arena arena, long seed) {
    this.c = c;
    this.backend = backend;
    this.arena = arena;
    random = new Random(seed);
  }

  MemorySegment ints(int[] v) {
    MemorySegment memory = backend.allocate(4L * v.length);
    backend.copyIn(arena.allocateFrom(JAVA_INT, v), memory, v.length);
    return memory;
  }

  void copy(float[] v, MemorySegment memory) {
    backend.copyIn(arena.allocateFrom(JAVA_FLOAT, v), memory, v.length);
  }

  Slice sliceX(MemorySegment images) {
    return slice(images, c.c().from(), c.c().width());
  }

  Slice sliceY(MemorySegment images) {
    return slice(images, c.c().fromY(), c.c().widthY());
  }

  Slice slice(MemorySegment images, int from, int width) {
    return new Slice(images.asSlice((long) from * (c.bf16() ? 2 : 4)), c.c().channels(), width);
  }

  /** Numbers that both types hold exactly; neither zeros nor of one sign. */
  double[] images(long pixels) {
    double[] v = new double[Math.toIntExact(pixels * c.c().channels())];
    for (int i = 0; i < v.length; i++) {
      v[i] = narrow(0.1 + random.nextGaussian());
    }
    return v;
  }

  static float narrow(double v) {
    return Float.intBitsToFloat(Float.floatToRawIntBits((float) v) & 0xFFFF0000);
  }

  double gaussian() {
    return random.nextGaussian();
  }

  float[] vector(int n) {
    float[] v = new float[n];
    for (int i = 0; i < n; i++) {
      v[i] = (float) random.nextGaussian();
    }
    return v;
  }

  MemorySegment upload(float[] v) {
    MemorySegment memory = backend.allocate(4L * v.length);
    backend.copyIn(arena.allocateFrom(JAVA_FLOAT, v), memory, v.length);
    return memory;
  }

  long words(long elements) {
    return c.bf16() ? (elements + 1) / 2 : elements;
  }

  void fill(MemorySegment memory, long words) {
    MemorySegment host = arena.allocate(4 * words, 64);
    for (long i = 0; i < words; i++) {
      host.setAtIndex(JAVA_INT, i, BESIDE);
    }
    backend.copyIn(host, memory, words);
  }

  MemorySegment download(MemorySegment memory, long words) {
    MemorySegment host = arena.allocate(4 * words, 64);
    backend.copyOut(memory, host, words);
    return host;
  }

  /** Images of {@code width} channels, of which those of the slice are given. */
  MemorySegment upload(double[] v, int width, int from) {
    long elements = (long) v.length / c.c().channels() * width;
    MemorySegment memory = backend.allocate(4 * words(elements));
    fill(memory, words(elements));
    MemorySegment host = download(memory, words(elements));
    for (int i = 0; i < v.length; i++) {
      long at = (long) (i / c.c().channels()) * width + from + i % c.c().channels();
      int bits = Float.floatToRawIntBits((float) v[i]);
      if (c.bf16()) {
        host.setAtIndex(JAVA_SHORT, at, (short) (bits >> 16));
      } else {
        host.setAtIndex(JAVA_INT, at, bits);
      }
    }
    backend.copyIn(host, memory, words(elements));
    return memory;
  }

  void clear(MemorySegment images, long at) {
    if (c.bf16()) {
      images.setAtIndex(JAVA_SHORT, at, (short) 0);
    } else {
      images.setAtIndex(JAVA_INT, at, 0);
    }
  }

  double stored(MemorySegment images, long at) {
    return Float.intBitsToFloat(
        c.bf16() ? images.getAtIndex(JAVA_SHORT, at) << 16 : images.getAtIndex(JAVA_INT, at));
  }
}
