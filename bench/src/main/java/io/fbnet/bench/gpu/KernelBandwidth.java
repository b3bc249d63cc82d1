package io.fbnet.bench.gpu;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * How fast each kernel moves bytes, against a copy within the device in the same process; and how
 * fast products compute, against a large square one. The device's clock, inside a replayed graph.
 *
 * <p>Arguments: {@code --out FILE}, {@code --megabytes} that one pass moves, {@code --passes},
 * {@code --skip N} to leave out the first N kernels, which an earlier run has timed, and {@code
 * --tiny} for a device that only shows that everything runs.
 */
public final class KernelBandwidth {
  private final boolean tiny;
  private final long target;
  private final int passes;
  private final Report report;
  private int toSkip;

  private KernelBandwidth(Options options) {
    tiny = options.has("tiny");
    target = tiny ? 1 << 14 : (long) options.integer("megabytes", 384) << 20;
    passes = tiny ? 10 : options.integer("passes", 50);
    toSkip = options.integer("skip", 0);
    report = new Report(Path.of(options.text("out", "bandwidth.json")));
  }

  /** Runs every case. */
  public static void main(String[] arguments) {
    Options options = new Options(arguments, List.of("out", "megabytes", "passes", "skip", "tiny"));
    Gpu.require(options.has("tiny"));
    new KernelBandwidth(options).run();
  }

  private void run() {
    report.tree.put("bytes a pass", target);
    ArrayNode rows = report.tree.putArray("kernels");
    double copy = 0;
    for (Precision precision : List.of(Precision.BF16, Precision.F32, Precision.TF32)) {
      try (CudaBackend backend = Gpu.open(precision)) {
        if (copy == 0) {
          report.device(backend);
          copy = copySpeed(backend);
        }
        int elementBytes = precision == Precision.BF16 ? 2 : 4;
        // Only products differ between f32 and TF32.
        if (precision != Precision.TF32) {
          for (KernelCase c : remaining(MemoryCases.all(target, elementBytes, tiny))) {
            rows.add(row(backend, c, precision, copy, 0));
            report.write();
          }
        }
        List<KernelCase> products = remaining(ProductCases.all(tiny));
        if (!products.isEmpty()) {
          ObjectNode square = row(backend, ProductCases.square(tiny), precision, copy, 0);
          report.tree.withArray("squares").add(square);
          double ceiling = square.path("teraflops").asDouble();
          for (KernelCase c : products) {
            rows.add(row(backend, c, precision, copy, ceiling));
            report.write();
          }
        }
      }
    }
    report.tree.put("complete", true);
    report.write();
  }

  /** Those of the cases that no earlier run has timed. */
  private List<KernelCase> remaining(List<KernelCase> cases) {
    int skipped = Math.min(toSkip, cases.size());
    toSkip -= skipped;
    return cases.subList(skipped, cases.size());
  }

  /** Gigabytes a second of a copy, those read and those written. */
  private double copySpeed(CudaBackend backend) {
    long bytes = target;
    Samples samples = CopySpeed.measure(backend, bytes);
    double speed = 2 * bytes / samples.median() / 1e6;
    report
        .tree
        .putObject("copy")
        .put("bytes moved", 2 * bytes)
        .put("gigabytes_per_second", Round.digits(speed))
        .set("milliseconds", samples.json());
    report.write();
    return speed;
  }

  /**
   * One line of the report. The floor is the larger of two times: that of the bytes at the copy's
   * speed, and that of the arithmetic at the square product's.
   */
  private ObjectNode row(
      CudaBackend backend, KernelCase c, Precision precision, double copy, double ceiling) {
    ObjectNode row = JsonNodeFactory.instance.objectNode();
    row.put("kernel", c.name());
    row.put("type", precision.name().toLowerCase(Locale.ROOT));
    row.put("images", c.shape());
    long bytes = c.bytes(precision == Precision.BF16 ? 2 : 4);
    row.put("bytes", bytes);
    try (KernelFixture fixture = new KernelFixture(backend, c.graph())) {
      fixture.program.time(Math.max(1, passes / 10));
      Samples samples = Samples.of(fixture.program.time(passes));
      double milliseconds = samples.median();
      row.set("milliseconds", samples.json());
      double speed = bytes / milliseconds / 1e6;
      row.put("gigabytes_per_second", Round.digits(speed));
      double floor = bytes / copy / 1e6;
      if (c.operations() == 0) {
        row.put("share_of_copy", Round.digits(speed / copy));
      } else {
        row.put("teraflops", Round.digits(c.operations() / milliseconds / 1e9));
        floor = ceiling == 0 ? 0 : Math.max(floor, c.operations() / ceiling / 1e9);
      }
      if (floor > 0) {
        row.put("share_of_floor", Round.digits(floor / milliseconds));
      }
      List<String> slow = fixture.program.slowKernels();
      if (!slow.isEmpty()) {
        slow.forEach(row.putArray("slow")::add);
      }
    } catch (OutOfDeviceMemory e) {
      row.put("skipped", e.getMessage());
    }
    System.out.println(
        String.format(
            Locale.ROOT,
            "%-52s %-5s %10.4f ms %8.0f GB/s %6.3f of floor",
            c.name(),
            precision,
            row.path("milliseconds").path("median").asDouble(),
            row.path("gigabytes_per_second").asDouble(),
            row.path("share_of_floor").asDouble()));
    return row;
  }
}
