package io.fbnet.bench.gpu;

import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import java.nio.file.Path;
import java.util.List;

/** Says what the device and its libraries are, or why there is none. Takes {@code --out FILE}. */
public final class DeviceProbe {
  private DeviceProbe() {}

  /** Opens the device once. */
  public static void main(String[] arguments) {
    Options options = new Options(arguments, List.of("out"));
    Gpu.require(true);
    Report report = new Report(Path.of(options.text("out", "device.json")));
    try (CudaBackend backend = Gpu.open(Precision.F32)) {
      report.device(backend);
      System.out.println(backend.device());
    }
    report.tree.put("complete", true);
    report.write();
  }
}
