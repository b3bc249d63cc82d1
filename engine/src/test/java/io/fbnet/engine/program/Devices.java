package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.engine.reference.ReferenceBackend;
import java.nio.file.Path;
import java.util.List;

/**
 * The back ends that tests run on, by name. "cuda" is the GPU where there is one, else the software
 * device; a name ending in "lazy" or "descending" exists on the software device alone. Bits are
 * equal from run to run where the name says "deterministic".
 */
public final class Devices {
  /** Back ends that compute in f32. */
  public static final List<String> F32 =
      List.of(
          "cpu, 2 threads",
          "cpu, 1 thread",
          "cpu, scalar",
          "cuda",
          "cuda, lazy",
          "cuda, descending");

  /** All back ends that compute with less than f32's precision. */
  public static final List<String> NARROW =
      List.of("cpu bf16", "cpu scalar bf16", "cuda tf32", "cuda bf16");

  private Devices() {}

  /** Opens a back end, or skips the test and says why. */
  public static Backend open(String name) {
    if (name.equals("reference")) {
      return new ReferenceBackend();
    }
    if (name.startsWith("cpu")) {
      assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
      return switch (name) {
        case "cpu", "cpu, 2 threads" -> CpuBackend.open(2);
        case "cpu, 1 thread" -> CpuBackend.open(1);
        case "cpu, 3 threads" -> CpuBackend.open(3);
        case "cpu, 4 threads" -> CpuBackend.open(4);
        case "cpu, scalar" -> CpuBackend.openScalar(2, Precision.F32);
        case "cpu bf16" -> CpuBackend.open(2, Precision.BF16);
        case "cpu scalar bf16" -> CpuBackend.openScalar(2, Precision.BF16);
        default -> throw new IllegalArgumentException(name);
      };
    }
    Precision precision =
        name.contains("bf16")
            ? Precision.BF16
            : name.contains("tf32") ? Precision.TF32 : Precision.F32;
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
      SoftwareCuda.lazy(name.endsWith("lazy"));
      SoftwareCuda.descending(name.endsWith("descending"));
    } else {
      assumeTrue(
          !name.endsWith("lazy") && !name.endsWith("descending"), "only on the software device");
    }
    return cuda(new CudaOptions(precision, name.contains("deterministic"), true, true));
  }

  /** Opens the CUDA back end, or skips the test and says why. */
  public static CudaBackend cuda(CudaOptions options) {
    String obstacle = CudaBackend.obstacle();
    assumeTrue(obstacle.isEmpty(), obstacle);
    Path cache = Path.of(System.getProperty("java.io.tmpdir"), "fbnet-test-kernels");
    return CudaBackend.open(options, cache, note -> {});
  }
}
