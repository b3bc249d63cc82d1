package io.fbnet.nas.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.foreign.Availability;
import io.fbnet.nas.ExitCode;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code fbnet doctor}: what this machine has, what it lacks, and whether it computes rightly. */
@Command(
    name = "doctor",
    description =
        "Shows Java, back ends and libraries, what is missing and how to get it, and runs a real"
            + " kernel. Exit code 4 if only the slow reference back end works.")
final class DoctorCommand implements Callable<Integer> {
  private static final double TOLERANCE = 1e-4;

  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Option(names = "--json", description = "Prints JSON.")
  private boolean json;

  @Option(names = "--threads", paramLabel = "N", description = "CPU threads.")
  private Integer threads;

  @Override
  public Integer call() {
    Console console = new Console(spec);
    ObjectNode report = JsonNodeFactory.instance.objectNode();
    ObjectNode java = report.putObject("java");
    java.put("version", Runtime.version().toString());
    java.put("vector_module", CpuBackend.vectorModule());
    java.put(
        "remedy",
        CpuBackend.vectorModule() ? "" : "start Java with --add-modules=jdk.incubator.vector");
    report.put("system", System.getProperty("os.name") + " " + System.getProperty("os.arch"));
    report.put("processor", CpuBackend.processor());
    report.put("processors", Runtime.getRuntime().availableProcessors());
    Availability oneDnn = CpuBackend.availability();
    ArrayNode libraries = report.putArray("libraries");
    ObjectNode library = libraries.addObject();
    library.put("name", oneDnn.library());
    library.put("found", oneDnn.found());
    library.put("version", oneDnn.version());
    ArrayNode tried = library.putArray("tried");
    oneDnn.tried().forEach(tried::add);
    library.put("remedy", oneDnn.remedy());
    ArrayNode backends = report.putArray("backends");
    float[] expected;
    try (Backend reference = new ReferenceBackend()) {
      expected = kernel(reference);
      ObjectNode node = backends.addObject();
      node.put("name", "reference").put("device", reference.device()).put("works", true);
    }
    boolean works = false;
    ObjectNode cpu = backends.addObject();
    cpu.put("name", "cpu");
    if (oneDnn.found()) {
      int count = threads == null ? Runtime.getRuntime().availableProcessors() : threads;
      try (Backend backend = CpuBackend.open(count)) {
        double error = error(expected, kernel(backend));
        works = error < TOLERANCE;
        cpu.put("device", backend.device()).put("works", works).put("kernel_error", error);
        backend.fingerprint().forEach(cpu::put);
      }
    } else {
      cpu.put("works", false).put("remedy", oneDnn.remedy());
    }
    if (json) {
      console.print(report);
    } else {
      console.print(text(report));
    }
    return works ? ExitCode.OK.code() : ExitCode.DEVICE_OR_MEMORY.code();
  }

  /** A convolution, batch norm and ReLU on odd sizes. */
  private static float[] kernel(Backend backend) {
    GraphBuilder b = new GraphBuilder();
    var x = b.input("x", Type.F32, 2, 5, 7, 9);
    var w = b.parameter("weights", "w", true, new Initial.Normal(0.5), 20, 5, 3, 3);
    var gamma = b.parameter("weights", "gamma", false, new Initial.Constant(1.5f), 20);
    var beta = b.parameter("weights", "beta", false, new Initial.Constant(0.25f), 20);
    var mean = b.parameter("statistics", "mean", false, new Initial.Constant(0), 20);
    var variance = b.parameter("statistics", "variance", false, new Initial.Constant(1), 20);
    var y = b.convolution(x, w, 2, 1);
    b.output("y", b.batchNorm(y, gamma, beta, mean, variance, null, 1e-5f, true));
    var graph = b.build();
    try (ParameterStore store = new ParameterStore(backend, graph.parameters());
        Arena arena = Arena.ofConfined()) {
      store.initialise(7);
      try (Program program = Program.compile(backend, graph, store)) {
        MemorySegment host = arena.allocate(2 * 5 * 7 * 9 * 4L, 64);
        for (int i = 0; i < 2 * 5 * 7 * 9; i++) {
          host.setAtIndex(JAVA_FLOAT, i, (float) Math.sin(i * 0.7));
        }
        program.write("x", host);
        program.run();
        return program.read("y");
      }
    }
  }

  private static double error(float[] expected, float[] actual) {
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i] - actual[i]));
    }
    return largest;
  }

  private static String text(ObjectNode report) {
    StringBuilder text = new StringBuilder();
    text.append(
        "Java       %s, vector module %s%n"
            .formatted(
                report.at("/java/version").asText(),
                report.at("/java/vector_module").asBoolean()
                    ? "present"
                    : "missing: " + report.at("/java/remedy").asText()));
    text.append(
        "System     %s, %s, %d processors%n"
            .formatted(
                report.path("system").asText(),
                report.path("processor").asText(),
                report.path("processors").asInt()));
    for (var library : report.path("libraries")) {
      text.append(
          "Library    %s %s%n"
              .formatted(
                  library.path("name").asText(),
                  library.path("found").asBoolean()
                      ? library.path("version").asText()
                      : "missing: " + library.path("remedy").asText()));
      library.path("tried").forEach(t -> text.append("           " + t.asText() + "\n"));
    }
    for (var backend : report.path("backends")) {
      text.append(
          "Back end   %s: %s%n"
              .formatted(
                  backend.path("name").asText(),
                  backend.path("works").asBoolean()
                      ? "works, " + backend.path("device").asText()
                      : "does not work. " + backend.path("remedy").asText()));
      if (backend.has("kernel_error")) {
        text.append(
            "           convolution and batch norm differ from the reference by at most %.2g%n"
                .formatted(backend.path("kernel_error").asDouble()));
      }
    }
    return text.toString();
  }
}
