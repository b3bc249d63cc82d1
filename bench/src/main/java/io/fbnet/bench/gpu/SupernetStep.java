package io.fbnet.bench.gpu;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.bench.StepSetting;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * Times the supernet's two steps, and describes them so that a peer can build the same ones.
 *
 * <p>Arguments: {@code --out FILE}, {@code --cases SPACE:BATCH,...}, {@code --precisions
 * f32,tf32,bf16}, {@code --steps w,theta}, {@code --seconds} of one figure, {@code --tiny}, {@code
 * --separate} for the w step with every operation by itself beside it, {@code --untimed N} to run N
 * steps and time nothing, so that a profiler sees these alone, {@code --plan} to compile, run
 * nothing and write a launch table for each case beside the report ({@link LaunchTable}); or {@code
 * --describe} alone, which prints the built-in spaces and needs no device; or {@code --parity
 * FOLDER}, see {@link Parity}.
 */
public final class SupernetStep {
  private static final String CASES = "cifar:32,fashion:64,imagenet:8,imagenet:32,imagenet:64";
  private static final int WARM_UP = 3;
  private static final int SAMPLES = 5;

  /** Fewest passes by the device's clock: enough for a median and a tenth on either side. */
  private static final int PASSES = 10;

  private final boolean tiny;
  private final boolean plan;
  private final boolean separate;
  private final int untimed;
  private final List<String> steps;
  private final double milliseconds;
  private final Report report;

  private SupernetStep(Options options) {
    tiny = options.has("tiny");
    plan = options.has("plan");
    separate = options.has("separate");
    untimed = options.integer("untimed", 0);
    steps = List.of(options.text("steps", "w,theta").split(",", -1));
    if (separate && !steps.contains("w")) {
      throw new IllegalArgumentException("--separate is of the w step, which --steps leaves out");
    }
    milliseconds = 1000 * Double.parseDouble(options.text("seconds", "1"));
    report = new Report(Path.of(options.text("out", "step.json")));
  }

  /** Runs every case, or describes. */
  public static void main(String[] arguments) {
    Options options =
        new Options(
            arguments,
            List.of(
                "out",
                "cases",
                "precisions",
                "steps",
                "seconds",
                "tiny",
                "separate",
                "untimed",
                "plan",
                "describe",
                "parity"));
    if (options.has("describe")) {
      ArrayNode all = JsonNodeFactory.instance.arrayNode();
      SearchSpace.builtIns()
          .forEach(name -> all.add(new StepSetting(SearchSpace.load(name), 1).json()));
      System.out.print(JsonText.of(JsonNodeFactory.instance.objectNode().set("settings", all)));
      return;
    }
    Gpu.require(options.has("tiny") || options.has("plan"));
    List<StepSetting> settings =
        StepSetting.parse(options.text("cases", options.has("tiny") ? "fashion:2" : CASES));
    if (options.has("parity")) {
      Parity.write(settings.getFirst(), Path.of(options.text("parity", "")));
      return;
    }
    List<Precision> precisions =
        Arrays.stream(options.text("precisions", "f32,tf32,bf16").split(",", -1))
            .map(name -> Precision.valueOf(name.toUpperCase(Locale.ROOT)))
            .toList();
    new SupernetStep(options).run(settings, precisions);
  }

  private void run(List<StepSetting> settings, List<Precision> precisions) {
    ArrayNode described = report.tree.putArray("settings");
    settings.stream()
        .map(StepSetting::space)
        .distinct()
        .forEach(space -> described.add(new StepSetting(space, 1).json()));
    ArrayNode cases = report.tree.putArray("cases");
    for (StepSetting setting : settings) {
      for (Precision precision : precisions) {
        try (CudaBackend backend = Gpu.open(precision)) {
          report.device(backend);
          measure(backend, setting, precision, cases);
        }
        if (separate) {
          int w = cases.size() - steps.size() + steps.indexOf("w");
          compare(setting, precision, (ObjectNode) cases.get(w));
        }
      }
    }
    report.tree.put("complete", true);
    report.write();
  }

  private void measure(
      CudaBackend backend, StepSetting setting, Precision precision, ArrayNode cases) {
    StepFixture fixture = null;
    try {
      for (String step : steps) {
        ObjectNode row = cases.addObject();
        row.put("space", setting.space().name());
        row.put("batch", setting.batch());
        row.put("precision", precision.name().toLowerCase(Locale.ROOT));
        row.put("step", step);
        row.put("name", StepPlan.name(setting, precision, step.equals("theta")));
        try {
          if (fixture == null) {
            fixture = new StepFixture(backend, setting);
          }
          time(fixture, step.equals("theta"), row);
        } catch (OutOfDeviceMemory e) {
          row.put("skipped", e.getMessage());
        }
        System.out.println(row);
        report.write();
      }
    } finally {
      if (fixture != null) {
        fixture.close();
      }
    }
  }

  private void time(StepFixture fixture, boolean theta, ObjectNode row) {
    long start = System.nanoTime();
    fixture.compile(theta, StepSetting.TAU);
    row.put("compile_ms", Math.round((System.nanoTime() - start) / 1e6));
    describe(fixture, row);
    if (plan) {
      String name = "launches-" + row.path("name").asText() + ".tsv";
      LaunchTable table = LaunchTable.of(fixture.program.launches());
      row.put("launches", name);
      row.put("launch_bytes", table.bytes());
      report.beside(name, table.text());
      return;
    }
    if (untimed > 0) {
      fixture.wall(untimed);
      row.put("steps_run", untimed);
      return;
    }
    double once = fixture.wall(tiny ? 1 : WARM_UP);
    once = tiny ? once : fixture.wall(1);
    int steps = (int) Math.max(1, Math.min(200, milliseconds / SAMPLES / once));
    double[] wall = new double[tiny ? 1 : SAMPLES];
    for (int i = 0; i < wall.length; i++) {
      wall[i] = fixture.wall(tiny ? 1 : steps);
    }
    row.set("wall_ms", Samples.of(wall).json());
    row.put("loss", fixture.program.scalar("loss"));
    row.put("finite", fixture.program.scalar("finite") == 1);
    if (!tiny) {
      timeOnDevice(fixture, once, row);
    }
    row.put("operations", fixture.program.graph().ops().size());
    row.put("naive_bytes", fixture.program.naiveBytes());
    row.put("workspace_bytes", fixture.program.workspaceBytes());
    row.put("parameter_bytes", fixture.store.bytes());
  }

  /** By the device's own clock, as often as fills the seconds of a figure. */
  private void timeOnDevice(StepFixture fixture, double once, ObjectNode row) {
    int passes = (int) Math.max(PASSES, Math.min(200, milliseconds / once));
    row.set("device_ms", Samples.of(fixture.program.time(passes)).json());
  }

  private static void describe(StepFixture fixture, ObjectNode row) {
    row.put("calls", fixture.program.calls());
    row.put("moved_bytes", fixture.program.movedBytes());
    row.put("planned_bytes", fixture.program.plannedBytes());
  }

  /** What the w step takes with every operation by itself. */
  private void compare(StepSetting setting, Precision precision, ObjectNode row) {
    try (CudaBackend backend = Gpu.open(CudaOptions.DEFAULT.with(precision).separate());
        StepFixture fixture = new StepFixture(backend, setting)) {
      ObjectNode separate = row.putObject("separate");
      fixture.compile(false, StepSetting.TAU);
      describe(fixture, separate);
      if (!plan && !tiny) {
        fixture.wall(WARM_UP);
        timeOnDevice(fixture, fixture.wall(1), separate);
      }
    } catch (OutOfDeviceMemory e) {
      row.putObject("separate").put("skipped", e.getMessage());
    }
    System.out.println(row);
    report.write();
  }
}
