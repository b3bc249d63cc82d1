package io.fbnet.nas.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.DeviceFailure;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.ranks.Ranks;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.foreign.Availability;
import io.fbnet.nas.ExitCode;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
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
    ArrayNode libraries = report.putArray("libraries");
    libraries.add(library(CpuBackend.availability()));
    CudaBackend.libraries().forEach(l -> libraries.add(library(l)));
    libraries.add(library(Ranks.library()));
    ArrayNode backends = report.putArray("backends");
    try (Backend reference = new ReferenceBackend()) {
      backends.addObject().put("name", "reference").put("device", reference.device());
      ((ObjectNode) backends.get(0)).put("works", true);
    }
    int count = threads == null ? Runtime.getRuntime().availableProcessors() : threads;
    String noCpu = CpuBackend.availability().found() ? "" : CpuBackend.availability().remedy();
    boolean cpu = check(backends.addObject(), "cpu", noCpu, () -> CpuBackend.open(count));
    List<String> notes = new ArrayList<>();
    ObjectNode gpu = backends.addObject();
    boolean cuda =
        check(
            gpu,
            "cuda",
            CudaBackend.obstacle(),
            () -> DeviceFlags.cuda(CudaOptions.DEFAULT, notes::add));
    if (!notes.isEmpty()) {
      gpu.put("note", String.join("; ", notes));
    }
    if (cuda && CudaBackend.isSoftware(gpu.path("device").asText())) {
      gpu.put("note", "this is the tests' software device, no GPU");
      cuda = false;
    }
    auto(report);
    add(report, Surroundings.here());
    if (json) {
      console.print(report);
    } else {
      console.print(text(report));
    }
    return cpu || cuda ? ExitCode.OK.code() : ExitCode.DEVICE_OR_MEMORY.code();
  }

  /** What {@code --device auto} takes, as {@link DeviceFlags} decides, of what was found. */
  static void auto(ObjectNode report) {
    JsonNode cpu = report.at("/backends/1");
    JsonNode gpu = report.at("/backends/2");
    String obstacle =
        gpu.has("device")
            ? DeviceFlags.unfit(
                gpu.path("device").asText(), () -> gpu.path("kernel_error").asDouble())
            : gpu.path("remedy").asText();
    ObjectNode auto = report.putObject("auto");
    if (obstacle.isEmpty()) {
      auto.put("device", "cuda").put("why", "a GPU that computes as the reference does");
    } else if (report.at("/libraries/0/found").asBoolean()) {
      auto.put("device", "cpu").put("why", "no GPU: " + obstacle);
    } else {
      auto.put("device", "reference")
          .put("why", "no GPU: " + obstacle + "; no CPU: " + cpu.path("remedy").asText());
    }
  }

  /** What is around the program; nothing that differs from one call to the next. */
  static void add(ObjectNode report, Surroundings here) {
    ArrayNode folders = report.putArray("folders");
    here.folders()
        .forEach(f -> folders.addObject().put("use", f.use()).put("path", f.path().toString()));
    report.put("names", here.encoding());
    if (here.memory().isPresent()) {
      report.put("memory_limit", here.memory().getAsLong());
    } else {
      report.putNull("memory_limit");
    }
    report.put("java_heap", here.heap());
    report.put("made", here.built().map(Instant::toString).orElse(""));
    here.warnings().forEach(report.putArray("warnings")::add);
  }

  private static ObjectNode library(Availability found) {
    ObjectNode library = JsonNodeFactory.instance.objectNode();
    library.put("name", found.library());
    library.put("found", found.found());
    library.put("version", found.version());
    ArrayNode tried = library.putArray("tried");
    found.tried().forEach(tried::add);
    library.put("remedy", found.remedy());
    return library;
  }

  /** Runs real kernels on a back end, unless something stands in its way. */
  private static boolean check(
      ObjectNode node, String name, String obstacle, Supplier<Backend> open) {
    node.put("name", name);
    if (!obstacle.isEmpty()) {
      node.put("works", false).put("remedy", obstacle);
      return false;
    }
    try (Backend backend = open.get()) {
      double error = DeviceCheck.error(backend);
      boolean works = DeviceCheck.passes(error);
      node.put("device", backend.device()).put("works", works).put("kernel_error", error);
      backend.fingerprint().forEach(node::put);
      return works;
    } catch (DeviceFailure | OutOfDeviceMemory e) {
      node.put("works", false).put("remedy", e.getMessage());
      return false;
    }
  }

  static String text(ObjectNode report) {
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "Java       %s, vector module %s%n",
            report.at("/java/version").asText(),
            report.at("/java/vector_module").asBoolean()
                ? "present"
                : "missing: " + report.at("/java/remedy").asText()));
    text.append(
        String.format(
            Locale.ROOT,
            "System     %s, %s, %d processors%n",
            report.path("system").asText(),
            report.path("processor").asText(),
            report.path("processors").asInt()));
    for (var library : report.path("libraries")) {
      text.append(
          String.format(
              Locale.ROOT,
              "Library    %s %s%n",
              library.path("name").asText(),
              library.path("found").asBoolean()
                  ? library.path("version").asText()
                  : "missing: " + library.path("remedy").asText()));
      library.path("tried").forEach(t -> text.append("           " + t.asText() + "\n"));
    }
    for (var backend : report.path("backends")) {
      text.append(
          String.format(
              Locale.ROOT,
              "Back end   %s: %s%n",
              backend.path("name").asText(),
              backend.path("works").asBoolean()
                  ? "works, " + backend.path("device").asText()
                  : "does not work. " + backend.path("remedy").asText()));
      if (backend.has("kernel_error")) {
        text.append(
            String.format(
                Locale.ROOT,
                "           convolutions and batch norm differ from the reference by at most"
                    + " %.2g%n",
                backend.path("kernel_error").asDouble()));
      }
      if (backend.has("note")) {
        text.append("           " + backend.path("note").asText() + "\n");
      }
    }
    text.append(
        String.format(
            Locale.ROOT,
            "Auto       %s (%s)%n",
            report.at("/auto/device").asText(),
            report.at("/auto/why").asText()));
    for (var folder : report.path("folders")) {
      text.append(
          String.format(
              Locale.ROOT,
              "Folder     of %s: %s%n",
              folder.path("use").asText(),
              folder.path("path").asText()));
    }
    JsonNode limit = report.path("memory_limit");
    text.append(
        String.format(
            Locale.ROOT,
            "Memory     %s, Java's heap up to %d MiB%n",
            limit.isNull() ? "no limit set" : "limited to " + (limit.asLong() >> 20) + " MiB",
            report.path("java_heap").asLong() >> 20));
    text.append(
        String.format(
            Locale.ROOT,
            "Names      %s; made %s%n",
            report.path("names").asText(),
            report.path("made").asText()));
    report.path("warnings").forEach(w -> text.append("Warning    " + w.asText() + "\n"));
    return text.toString();
  }
}
