package io.fbnet.nas.report;

import com.google.errorprone.annotations.FormatMethod;
import io.fbnet.nas.latency.Fingerprint;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.latency.SpaceKey;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.search.SamplesFile.Sample;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.LayerSpec;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/** The HTML of a run's page, from top to bottom. */
final class Page {
  private final RunRecord run;

  Page(RunRecord run) {
    this.run = run;
  }

  String html() {
    Svg body = new Svg();
    header(body);
    missing(body);
    network(body);
    samples(body);
    theta(body);
    curves(body);
    conditions(body);
    return Html.page(title() + " - " + name(), body);
  }

  @FormatMethod
  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  private String title() {
    return "FBNet search: "
        + run.architecture
            .map(a -> a.space().name())
            .or(() -> run.table.map(t -> t.space().name()))
            .orElse(run.config.getOrDefault("space", "?"));
  }

  private String name() {
    Path name = run.files.root().toAbsolutePath().normalize().getFileName();
    return name == null ? "run" : name.toString();
  }

  private void header(Svg out) {
    out.open("header").words("h1", title());
    List<String> facts = new ArrayList<>();
    facts.add("run " + name());
    run.table.ifPresent(t -> facts.add("for " + t.device()));
    if (run.config.containsKey("data")) {
      facts.add("data " + run.config.get("data"));
    }
    facts.add(
        run.plannedEpochs().isPresent()
            ? String.format(
                Locale.ROOT, "%d of %d epochs", run.epochsDone(), run.plannedEpochs().getAsInt())
            : run.epochsDone() + " epochs");
    facts.add(format("%,d steps", run.steps()));
    out.words("p", String.join(" \u00b7 ", facts), "class", "facts");
    out.close("header").newline();
    out.open("dl", "class", "figures");
    Optional<Sample> best = best();
    best.ifPresent(b -> figure(out, "latency", format("%.4g", b.latencyMs()), "ms, by the table"));
    if (best.isEmpty()) {
      resultLatency()
          .ifPresent(ms -> figure(out, "latency", format("%.4g", ms), "ms, by the table"));
    }
    run.samples.ifPresent(
        s ->
            figure(
                out,
                "test accuracy",
                format("%.1f%%", 100 * s.testAccuracy()),
                format("%,d images, shared weights", s.testImages())));
    run.architecture.ifPresent(
        a -> {
          Description d = Description.of(a);
          figure(out, "multiply-adds", format("%.3g M", d.macs() / 1e6), "an image");
          figure(out, "parameters", format("%.3g M", d.parameters() / 1e6), "trainable");
        });
    Series entropy = run.series("epoch", "entropy_bits");
    if (!entropy.isEmpty()) {
      figure(out, "entropy of theta", format("%.2f", entropy.last()), "bits a layer");
    }
    out.close("dl").newline();
  }

  private static void figure(Svg out, String name, String value, String unit) {
    out.open("div").words("dt", name).open("dd").words("b", value);
    out.words("span", unit).close("dd").close("div");
  }

  private Optional<Sample> best() {
    return run.samples.flatMap(s -> s.samples().stream().filter(Sample::best).findFirst());
  }

  private OptionalDouble resultLatency() {
    if (run.table.isEmpty() || run.architecture.isEmpty() || !fits(run.architecture.get())) {
      return OptionalDouble.empty();
    }
    return OptionalDouble.of(run.table.get().latencyOf(run.architecture.get().choice()));
  }

  /** Whether the run's table has this architecture's layers and blocks. */
  private boolean fits(Architecture architecture) {
    return run.table.isPresent()
        && run.table.get().space().widths().size() == architecture.space().layerCount()
        && run.table.get().space().blocks().equals(architecture.space().blockNames());
  }

  private void missing(Svg out) {
    if (!run.missing().isEmpty()) {
      out.open("ul", "class", "missing");
      run.missing().forEach(sentence -> out.words("li", sentence));
      out.close("ul").newline();
    }
  }

  private static void section(Svg out, String title, String note) {
    String id = title.toLowerCase(Locale.ROOT).replace(' ', '-');
    out.open("section", "id", id).words("h2", title);
    if (!note.isEmpty()) {
      out.words("p", note, "class", "note");
    }
  }

  private void network(Svg out) {
    if (run.architecture.isEmpty()) {
      return;
    }
    Architecture a = run.architecture.get();
    Optional<LatencyTable> table = run.table.filter(t -> fits(a));
    String share;
    if (table.isEmpty()) {
      share = "No table of this run fits it, so there are no shares of the latency.";
    } else if (table.get().relative()) {
      share =
          "The table is relative: its entries are differences to skip in the same layer, so skip"
              + " has no share of the latency to draw, and no other block has a time of its own.";
    } else {
      share = "Shares of the latency are the table's entries; fixed is stem, head and classifier.";
    }
    section(
        out,
        "The network found",
        "A box is a block: as high as its expansion e, coloured by its kernel, g its groups; dashed"
            + " is skip. "
            + share);
    out.open("div", "class", "scroll");
    out.markup(new NetworkDrawing(a, table).draw()).close("div");
    details(out, a, table);
    out.close("section").newline();
  }

  private void details(Svg out, Architecture a, Optional<LatencyTable> table) {
    boolean absolute = table.isPresent() && !table.get().relative();
    out.open("details").words("summary", "Layers in numbers").open("div", "class", "scroll");
    out.open("table").open("tr");
    for (String head :
        List.of("layer", "block", "input", "output", "multiply-adds", "parameters")) {
      out.words("th", head);
    }
    if (absolute) {
      out.words("th", "ms");
    }
    out.close("tr");
    int[] choice = a.choice();
    List<Description.Layer> layers = Description.of(a).layers();
    for (int i = 0; i < layers.size(); i++) {
      Description.Layer layer = layers.get(i);
      out.open("tr").words("td", layer.name()).words("td", layer.block());
      out.words("td", layer.input().toString()).words("td", layer.output().toString());
      out.words("td", format("%,d", layer.macs()), "class", "n");
      out.words("td", format("%,d", layer.parameters()), "class", "n");
      if (absolute) {
        boolean searched = i > 0 && i <= choice.length;
        String ms = searched ? format("%.4f", table.get().ms(i - 1, choice[i - 1])) : "fixed";
        out.words("td", ms, "class", "n");
      }
      out.close("tr");
    }
    out.close("table");
    if (absolute) {
      out.words("p", format("fixed: %.4f ms", table.get().fixed()), "class", "note");
    }
    out.close("div").close("details");
  }

  private void samples(Svg out) {
    if (run.samples.isEmpty()) {
      return;
    }
    SamplesFile file = run.samples.get();
    boolean uniform = file.samples().stream().anyMatch(Sample::uniform);
    section(
        out,
        "Scored architectures",
        "Each with the supernet's weights, on the images that trained theta. "
            + (uniform
                ? "Uniform draws are of all networks within the budget."
                : "fbnet sample RUN --uniform adds uniform draws for comparison."));
    out.open("div", "class", "beside")
        .markup(SamplePlot.figure(file, run.target(), run.targetName()));
    out.markup(SamplePlot.frontTable(file)).close("div");
    out.open("details").words("summary", "Scores in numbers").open("div", "class", "scroll");
    out.open("table").open("tr");
    for (String head : List.of("drawn from", "ms", "accuracy", "loss", "blocks")) {
      out.words("th", head);
    }
    out.close("tr");
    for (Sample sample : file.samples()) {
      out.open("tr", "class", sample.best() ? "best" : null);
      out.words("td", sample.drawn() + (sample.best() ? " \u2605" : ""));
      out.words("td", format("%.4f", sample.latencyMs()), "class", "n");
      out.words("td", format("%.4f", sample.accuracy()), "class", "n");
      out.words("td", format("%.4f", sample.loss()), "class", "n");
      out.words("td", SamplePlot.blocks(sample)).close("tr");
    }
    out.close("table").close("div").close("details").close("section").newline();
  }

  private List<Integer> stages(int layers) {
    if (run.architecture.isPresent()) {
      return run.architecture.get().space().layers().stream().map(LayerSpec::stage).toList();
    }
    List<Integer> stages = new ArrayList<>();
    if (run.table.isPresent() && run.table.get().space().widths().size() == layers) {
      SpaceKey space = run.table.get().space();
      int stage = 0;
      for (int l = 0; l < layers; l++) {
        boolean begins =
            l > 0
                && (space.strides().get(l) > 1
                    || !space.widths().get(l).equals(space.widths().get(l - 1)));
        stage += begins ? 1 : 0;
        stages.add(stage);
      }
    }
    return stages;
  }

  private void theta(Svg out) {
    if (run.epochs.isEmpty()) {
      return;
    }
    double[][] last = run.epochs.getLast().probabilities();
    List<String> blocks = run.blockNames(last[0].length);
    int[] chosen =
        run.architecture
            .filter(a -> a.space().blockNames().equals(blocks))
            .map(Architecture::choice)
            .orElse(new int[0]);
    HeatMap map = new HeatMap(run.epochs, blocks, stages(last.length), chosen);
    section(
        out,
        "Theta",
        "The probability of each block in each layer, softmax(theta), in percent"
            + (chosen.length > 0 ? "; ringed are the blocks taken." : "."));
    out.open("div", "class", "bar-line");
    out.open("span", "class", "epoch").text("after epoch ");
    out.words("output", Integer.toString(run.epochs.getLast().number()), "id", "epoch");
    out.close("span");
    if (map.sliderEpochs() > 1) {
      // Without scripts it would do nothing; the script shows it.
      out.leaf(
          "input",
          "type",
          "range",
          "id",
          "slider",
          "hidden",
          "",
          "min",
          0,
          "max",
          map.sliderEpochs() - 1,
          "value",
          map.sliderEpochs() - 1,
          "aria-label",
          "epoch");
    }
    out.markup(HeatMap.scale()).close("div");
    out.open("div", "class", "scroll").markup(map.last()).close("div");
    if (run.epochs.size() > 1) {
      out.markup(map.panels());
    }
    out.close("section").newline();
  }

  private LinePlot steps(String title, String unit, String name) {
    LinePlot plot = new LinePlot(title, unit);
    plot.line("w steps", "w", run.series("w", name));
    plot.line("theta steps", "t", run.series("theta", name));
    return plot;
  }

  private void curves(Svg out) {
    LinePlot latency = steps("Latency", "ms", "latency_ms");
    latency.dotted("expected", "e", run.series("epoch", "expected_ms"));
    run.target().ifPresent(ms -> latency.target(run.targetName(), ms));
    LinePlot rate =
        new LinePlot("Learning rate of w", "").line("rate", "w", run.series("w", "rate"));
    LinePlot tau = steps("Temperature", "", "tau");
    LinePlot lambda = steps("Weight of the target, lambda", "", "lambda");
    lambda.dotted("epoch", "e", run.series("epoch", "lambda"));
    LinePlot macs = new LinePlot("Expected multiply-adds", "M");
    macs.dotted("expected", "e", run.series("epoch", "expected_macs").times(1e-6));
    LinePlot entropy = new LinePlot("Entropy of theta", "bits a layer");
    entropy.dotted("mean over layers", "e", run.series("epoch", "entropy_bits"));
    List<LinePlot> plots =
        List.of(
            steps("Loss", "", "loss"),
            steps("Accuracy of the mixture", "", "accuracy").atMost(1),
            latency,
            entropy,
            steps("Cross-entropy", "", "ce"),
            tau,
            rate,
            lambda,
            macs);
    if (plots.stream().allMatch(LinePlot::isEmpty)) {
      return;
    }
    section(
        out,
        "Training",
        "Lines are means of neighbouring steps, bands reach from their least to their most; latency"
            + " is the mixture's in a step, and the expectation under theta after an epoch.");
    out.open("div", "class", "plots");
    Series theta = run.series("theta", "loss");
    for (LinePlot plot : plots) {
      if (!plot.isEmpty()) {
        if (!theta.isEmpty()) {
          plot.event("theta starts", theta.firstStep());
        }
        out.markup(plot.until(run.steps()).figure());
      }
    }
    out.close("div").close("section").newline();
  }

  private void conditions(Svg out) {
    section(out, "Conditions", "");
    out.open("div", "class", "columns");
    if (run.table.isPresent()) {
      LatencyTable table = run.table.get();
      Fingerprint made = table.fingerprint();
      out.open("div").words("h3", "Latency table").open("dl", "class", "pairs");
      pair(out, "device", table.device());
      pair(out, "processor", made.processor());
      pair(out, "threads", made.threads() == 0 ? "" : Integer.toString(made.threads()));
      pair(out, "precision", made.precision());
      pair(out, "batch", Integer.toString(made.batch()));
      for (Map.Entry<String, String> library : made.libraries().entrySet()) {
        pair(out, library.getKey(), library.getValue());
      }
      pair(out, "date", made.date());
      pair(out, "validated", table.validated());
      pair(out, "origin", table.origin());
      pair(out, "entries", table.relative() ? "relative to skip" : "absolute");
      pair(out, "fixed", format("%.4f ms", table.fixed()));
      pair(out, "fastest", format("%.4f ms", table.latencyOf(table.fastest())));
      pair(out, "space", space(table.space()));
      out.close("dl").close("div");
    }
    out.open("div").words("h3", "Configuration").open("dl", "class", "pairs");
    run.config.forEach((key, value) -> pair(out, key, value));
    out.close("dl").close("div").close("div");
    out.words(
        "p",
        "By fbnet report. Needs no network; the numbers are in config.yaml, latency.json,"
            + " metrics.jsonl and samples.json.",
        "class",
        "note");
    out.close("section").newline();
  }

  private static String space(SpaceKey space) {
    return String.format(
        Locale.ROOT,
        "%s, input %dx%dx%d, %d layers, %d blocks",
        space.name(),
        space.input().channels(),
        space.input().height(),
        space.input().width(),
        space.widths().size(),
        space.blocks().size());
  }

  private static void pair(Svg out, String key, String value) {
    if (!value.isEmpty()) {
      out.words("dt", key).words("dd", value);
    }
  }
}
