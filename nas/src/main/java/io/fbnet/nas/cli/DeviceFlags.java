package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.DeviceFailure;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.CacheDirectory;
import java.nio.file.Path;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.DoubleSupplier;
import picocli.CommandLine.Option;

/** The device a verb computes on. */
final class DeviceFlags {
  /** Devices by name. */
  enum Device {
    AUTO,
    CPU,
    CUDA,
    REFERENCE
  }

  @Option(
      names = "--device",
      defaultValue = "auto",
      description =
          "auto, cpu, cuda (an NVIDIA GPU), or reference (plain Java in double precision, very"
              + " slow). auto takes a GPU that computes rightly, else the CPU, and says why.")
  Device device;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description =
          "CPU threads. Default: as many as processors; under mpirun a machine's processes share"
              + " them.")
  Integer threads;

  @Option(
      names = "--precision",
      defaultValue = "f32",
      description =
          "f32, tf32 (products on a GPU's tensor cores) or bf16 (images as bf16, sums in f32). A"
              + " CPU without instructions for bf16 keeps images so and multiplies f32.")
  Precision precision;

  @Option(
      names = "--deterministic",
      description =
          "Takes only algorithms of cuDNN and cuBLASLt that give equal bits in every run. The CPU"
              + " always does.")
  boolean deterministic;

  int threads() {
    return Ranges.threads(threads);
  }

  /** The same for one of several ranks: those of a machine share its processors. */
  int threads(Communicator ranks) {
    return threads == null ? Math.max(1, threads() / ranks.localSize()) : threads();
  }

  /**
   * Takes no more threads of a run's own than this one's part of the processors, where several
   * ranks of a machine each compute with as many.
   */
  void divideThreads(Communicator ranks, Console console) {
    int part = Math.max(1, Runtime.getRuntime().availableProcessors() / ranks.localSize());
    if (ranks.localSize() > 1 && threads != null && threads > part) {
      console.note(
          String.format(
              Locale.ROOT,
              "the run has %d threads; each of the %d processes here takes %d",
              threads,
              ranks.localSize(),
              part));
      threads = part;
    }
  }

  /** Opens the device and says which it is. */
  Backend open(Console console) {
    return open(console, Communicator.alone());
  }

  /** The same for one of several ranks, each on a device of its own where there are enough. */
  Backend open(Console console, Communicator ranks) {
    return switch (device) {
      case CUDA -> {
        String obstacle = CudaBackend.obstacle();
        if (!obstacle.isEmpty()) {
          throw new UserException(
              ExitCode.DEVICE_OR_MEMORY,
              String.format(Locale.ROOT, "--device cuda needs a GPU, but %s", obstacle));
        }
        Backend backend = cuda(options(), console::note, ranks);
        console.note("device: " + backend.device());
        yield backend;
      }
      case CPU -> {
        refuseTf32("--device cpu");
        yield cpu(console, "", ranks);
      }
      case REFERENCE -> {
        refuseTf32("--device reference");
        refuseBf16("--device reference");
        yield new ReferenceBackend(ranks);
      }
      case AUTO -> auto(console, ranks);
    };
  }

  private Backend auto(Console console, Communicator ranks) {
    String obstacle = CudaBackend.obstacle();
    if (obstacle.isEmpty()) {
      try {
        CudaBackend gpu = cuda(CudaOptions.DEFAULT, console::note, ranks);
        obstacle = unfit(gpu.device(), () -> DeviceCheck.error(gpu));
        if (obstacle.isEmpty()) {
          return chosen(gpu, console, ranks);
        }
        gpu.close();
      } catch (DeviceFailure | OutOfDeviceMemory e) {
        obstacle = e.getMessage();
      }
    }
    refuseTf32("the CPU, which serves because " + obstacle + ",");
    if (CpuBackend.availability().found()) {
      return cpu(console, " (no GPU: " + obstacle + ")", ranks);
    }
    refuseBf16("the reference back end, which serves because oneDNN was not found,");
    console.warn(
        String.format(
            Locale.ROOT,
            "oneDNN was not found (%s), so the reference back end serves, hundreds of times slower:"
                + " %s",
            String.join("; ", CpuBackend.availability().tried()),
            CpuBackend.availability().remedy()));
    return new ReferenceBackend(ranks);
  }

  /** The GPU that was checked, or the same with other options; it is never let go in between. */
  private Backend chosen(CudaBackend checked, Console console, Communicator ranks) {
    Backend backend = checked;
    if (!options().equals(CudaOptions.DEFAULT)) {
      backend = cuda(options(), console::note, ranks);
      checked.close();
    }
    console.note("device: " + backend.device());
    return backend;
  }

  private CudaOptions options() {
    return new CudaOptions(precision, deterministic, true, true);
  }

  /**
   * Why a GPU is not taken by itself; empty where it is.
   *
   * @param device what it calls itself
   * @param error by how much it differs from the reference
   */
  static String unfit(String device, DoubleSupplier error) {
    if (CudaBackend.isSoftware(device)) {
      return "the device found is the tests' software device";
    }
    double found = error.getAsDouble();
    return DeviceCheck.passes(found)
        ? ""
        : String.format(Locale.ROOT, "%s differs from the reference by %.2g", device, found);
  }

  private void refuseTf32(String device) {
    if (precision == Precision.TF32) {
      throw UserException.usage("--precision tf32 needs --device cuda: %s has none", device);
    }
  }

  private void refuseBf16(String device) {
    if (precision == Precision.BF16) {
      throw UserException.usage(
          "--precision bf16 needs --device cpu or cuda: %s computes in double", device);
    }
  }

  /** Opens the GPU, with a folder of the user's cache for kernels that are compiled here. */
  static CudaBackend cuda(CudaOptions options, Consumer<String> notes) {
    return cuda(options, notes, Communicator.alone());
  }

  private static CudaBackend cuda(CudaOptions options, Consumer<String> notes, Communicator ranks) {
    Path cache = CacheDirectory.ofUser(System.getenv()).resolve("kernels");
    return CudaBackend.open(options, cache, notes, ranks);
  }

  private Backend cpu(Console console, String why, Communicator ranks) {
    if (!CpuBackend.availability().found()) {
      throw new UserException(
          ExitCode.DEVICE_OR_MEMORY,
          String.format(
              Locale.ROOT,
              "--device cpu needs oneDNN, which was not found (%s): %s",
              String.join("; ", CpuBackend.availability().tried()),
              CpuBackend.availability().remedy()));
    }
    CpuBackend backend = CpuBackend.open(threads(), precision, ranks);
    console.note("device: " + backend.device() + why);
    if (precision == Precision.BF16 && !backend.multipliesBf16()) {
      console.note(
          "this processor has no instructions for bf16 (AVX-512 BF16): images are kept as bf16 and"
              + " multiplied as f32, in half the memory but more time");
    }
    return backend;
  }
}
