package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.program.Devices;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;

/** Arrays on the device, for tests of kernels on memory of their own. */
final class DeviceArrays {
  /** A bf16 that is no number, and no other NaN has these bits. */
  static final short BESIDE = 0x7FD5;

  private final CudaBackend backend;
  private final Arena arena;

  DeviceArrays(CudaBackend backend, Arena arena) {
    this.backend = backend;
    this.arena = arena;
  }

  /** Runs a test of kernels in bf16 on a device of its own. */
  static void inBf16(BiConsumer<CudaContext, DeviceArrays> test) {
    try (CudaBackend backend = Devices.cuda(new CudaOptions(Precision.BF16, true, true, true));
        Arena arena = Arena.ofConfined()) {
      CudaContext context = new CudaContext(backend, List.of(), Map.of());
      test.accept(context, new DeviceArrays(backend, arena));
      context.close();
    }
  }

  /** To nearest, ties to even. */
  static short bf16(double v) {
    int bits = Float.floatToRawIntBits((float) v);
    return Double.isNaN(v) ? BESIDE : (short) ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }

  static double number(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  MemorySegment images(short[] v) {
    MemorySegment memory = backend.allocate(2L * v.length);
    write(memory, v);
    return memory;
  }

  /** Of an even number of elements, so that they are whole words. */
  void write(MemorySegment memory, short[] v) {
    backend.copyIn(arena.allocateFrom(JAVA_SHORT, v), memory, v.length / 2);
  }

  short[] read(MemorySegment memory, int n) {
    MemorySegment host = arena.allocate(2L * n, 64);
    backend.copyOut(memory, host, n / 2);
    return host.toArray(JAVA_SHORT);
  }

  MemorySegment floats(float[] v) {
    MemorySegment memory = backend.allocate(4L * v.length);
    copy(v, memory);
    return memory;
  }

  void copy(float[] v, MemorySegment memory) {
    backend.copyIn(arena.allocateFrom(JAVA_FLOAT, v), memory, v.length);
  }

  float[] floats(MemorySegment memory, int n) {
    MemorySegment host = arena.allocate(4L * n, 64);
    backend.copyOut(memory, host, n);
    return host.toArray(JAVA_FLOAT);
  }

  MemorySegment ints(int[] v) {
    MemorySegment memory = backend.allocate(4L * v.length);
    backend.copyIn(arena.allocateFrom(JAVA_INT, v), memory, v.length);
    return memory;
  }
}
