package io.fbnet.bench.gpu;

import io.fbnet.engine.backend.Backend;
import io.fbnet.foreign.CudaEvent;
import io.fbnet.foreign.CudaStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A plain copy within the device's memory: the speed that kernels are compared with. */
final class CopySpeed {
  private static final int COPIES = 10;
  private static final int SAMPLES = 20;

  private CopySpeed() {}

  /** Milliseconds of copying {@code bytes} from one buffer to another. */
  static Samples measure(Backend backend, long bytes) {
    MemorySegment from = backend.allocate(bytes);
    MemorySegment to = backend.allocate(bytes);
    try (Arena arena = Arena.ofConfined()) {
      backend.copyIn(Noise.host(arena, bytes / Float.BYTES, 1), from, bytes / Float.BYTES);
    }
    double[] samples = new double[SAMPLES];
    try (CudaStream stream = CudaStream.create();
        CudaEvent start = CudaEvent.create(true);
        CudaEvent end = CudaEvent.create(true)) {
      for (int i = -2; i < SAMPLES; i++) {
        stream.record(start);
        for (int copy = 0; copy < COPIES; copy++) {
          stream.copyOnDevice(to, from, bytes);
        }
        stream.record(end);
        stream.synchronise();
        if (i >= 0) {
          samples[i] = end.millisecondsSince(start) / COPIES;
        }
      }
    } finally {
      backend.release(from);
      backend.release(to);
    }
    return Samples.of(samples);
  }
}
