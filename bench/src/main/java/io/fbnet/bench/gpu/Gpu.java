package io.fbnet.bench.gpu;

import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import java.nio.file.Path;

/** Opens the GPU, or ends the process and says why it cannot. */
final class Gpu {
  /** The exit code of a part that cannot run here; the reason is its last line. */
  static final int SKIPPED = 77;

  private Gpu() {}

  /**
   * Ends the process as skipped where there is no GPU.
   *
   * @param untimed whether the tests' software device serves too, as nothing is timed
   */
  static void require(boolean untimed) {
    String obstacle = CudaBackend.obstacle();
    if (!obstacle.isEmpty()) {
      skip(obstacle);
    }
    try (CudaBackend backend = open(Precision.F32)) {
      if (!untimed && CudaBackend.isSoftware(backend.device())) {
        skip("the device is the tests' software device, which --tiny alone may time");
      }
    }
  }

  private static void skip(String reason) {
    System.out.println("skipped: " + reason);
    System.exit(SKIPPED);
  }

  static CudaBackend open(Precision precision) {
    return open(CudaOptions.DEFAULT.with(precision));
  }

  static CudaBackend open(CudaOptions options) {
    Path cache = Path.of(System.getProperty("java.io.tmpdir"), "fbnet-gpu-check-kernels");
    return CudaBackend.open(options, cache, System.err::println);
  }
}
