package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import picocli.CommandLine.Option;

/** The device a verb computes on. */
final class DeviceFlags {
  /** Devices by name. */
  enum Device {
    AUTO,
    CPU,
    REFERENCE
  }

  @Option(
      names = "--device",
      defaultValue = "auto",
      description =
          "auto, cpu, or reference (plain Java in double precision, very slow). auto takes the"
              + " CPU where oneDNN is found, else reference, and says so.")
  Device device;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "CPU threads. Default: as many as processors.")
  Integer threads;

  int threads() {
    if (threads != null && threads < 1) {
      throw UserException.usage("--threads must be at least 1, but is %d", threads);
    }
    return threads == null ? Runtime.getRuntime().availableProcessors() : threads;
  }

  /** Opens the device and says which it is. */
  Backend open(Console console) {
    boolean cpu = CpuBackend.availability().found();
    if (device == Device.REFERENCE || device == Device.AUTO && !cpu) {
      if (device == Device.AUTO) {
        console.warn(
            "oneDNN was not found (%s), so the reference back end serves, hundreds of times slower: %s"
                .formatted(
                    String.join("; ", CpuBackend.availability().tried()),
                    CpuBackend.availability().remedy()));
      }
      return new ReferenceBackend();
    }
    if (!cpu) {
      throw new UserException(
          ExitCode.DEVICE_OR_MEMORY,
          "--device cpu needs oneDNN, which was not found (%s): %s"
              .formatted(
                  String.join("; ", CpuBackend.availability().tried()),
                  CpuBackend.availability().remedy()));
    }
    CpuBackend backend = CpuBackend.open(threads());
    console.note("device: " + backend.device());
    return backend;
  }
}
