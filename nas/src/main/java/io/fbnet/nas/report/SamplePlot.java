package io.fbnet.nas.report;

import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.search.SamplesFile.Sample;
import io.fbnet.nas.space.Block;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.stream.Collectors;

/** Accuracy against latency of the scored architectures, with those that no other beats. */
final class SamplePlot {
  private static final int WIDTH = 760;
  private static final int HEIGHT = 340;
  private static final double LEFT = 62;
  private static final double RIGHT = WIDTH - 16;
  private static final double TOP = 14;
  private static final double BOTTOM = HEIGHT - 40;

  private SamplePlot() {}

  /**
   * Those to which no other is at least as fast and as accurate, and better in one; by latency.
   * Equal ones stand once.
   */
  static List<Sample> front(List<Sample> samples) {
    List<Sample> sorted = new ArrayList<>(samples);
    sorted.sort(
        Comparator.comparingDouble(Sample::latencyMs)
            .thenComparing(Comparator.comparingDouble(Sample::accuracy).reversed())
            .thenComparing(s -> !s.best()));
    List<Sample> front = new ArrayList<>();
    double reached = Double.NEGATIVE_INFINITY;
    for (Sample sample : sorted) {
      if (sample.accuracy() > reached) {
        front.add(sample);
        reached = sample.accuracy();
      }
    }
    return front;
  }

  private static boolean isOn(List<Sample> front, Sample sample) {
    return front.stream()
        .anyMatch(f -> f.latencyMs() == sample.latencyMs() && f.accuracy() == sample.accuracy());
  }

  static String blocks(Sample sample) {
    return sample.blocks().stream().map(Block::name).collect(Collectors.joining(" "));
  }

  static Svg figure(SamplesFile file, OptionalDouble target, String name) {
    List<Sample> samples = file.samples();
    boolean uniform = samples.stream().anyMatch(Sample::uniform);
    Svg out = new Svg().open("figure", "class", "plot large");
    out.open("figcaption").words("b", "Accuracy against latency").open("span", "class", "legend");
    String from =
        samples.stream()
            .map(Sample::drawn)
            .filter(d -> !d.equals(SamplesFile.UNIFORM))
            .findFirst()
            .orElse(SamplesFile.THETA);
    key(
        out,
        "point drawn",
        (from.equals(SamplesFile.THETA) ? "drawn from " : "proposed by ") + from);
    if (uniform) {
      key(out, "point uniform", "drawn uniformly");
    }
    key(out, "front", "Pareto front");
    key(out, "star", "taken");
    if (target.isPresent()) {
      key(out, "target", name);
    }
    out.close("span").close("figcaption");
    draw(out, samples, target);
    return out.close("figure").newline();
  }

  private static void key(Svg out, String style, String name) {
    out.open("span");
    if (style.equals("star")) {
      out.open("svg", "viewBox", "-8 -8 16 16", "class", "key-star", "aria-hidden", "true");
      out.leaf("path", "class", "star", "d", star(0, 0, 7)).close("svg");
    } else {
      out.open("i", "class", "key " + style).close("i");
    }
    out.text(name).close("span");
  }

  /** The front in numbers. */
  static Svg frontTable(SamplesFile file) {
    Svg out = new Svg().open("div", "class", "front").words("h3", "Pareto front");
    out.open("table").open("tr");
    out.words("th", "ms").words("th", "accuracy").words("th", "drawn from").close("tr");
    for (Sample sample : front(file.samples())) {
      out.open("tr", "class", sample.best() ? "best" : null);
      out.words("td", String.format(Locale.ROOT, "%.4f", sample.latencyMs()), "class", "n");
      out.words("td", String.format(Locale.ROOT, "%.4f", sample.accuracy()), "class", "n");
      out.words("td", sample.drawn() + (sample.best() ? " \u2605" : ""));
      out.close("tr");
    }
    return out.close("table").close("div").newline();
  }

  private static void draw(Svg out, List<Sample> samples, OptionalDouble target) {
    double slowest = samples.stream().mapToDouble(Sample::latencyMs).max().orElse(1);
    double fastest = samples.stream().mapToDouble(Sample::latencyMs).min().orElse(0);
    if (target.isPresent()) {
      slowest = Math.max(slowest, target.getAsDouble());
      fastest = Math.min(fastest, target.getAsDouble());
    }
    double low = samples.stream().mapToDouble(Sample::accuracy).min().orElse(0);
    double high = samples.stream().mapToDouble(Sample::accuracy).max().orElse(1);
    double padX = 0.04 * Math.max(slowest - fastest, 0.05 * slowest);
    double padY = 0.05 * Math.max(high - low, 0.02);
    Axis x = Axis.rounded(Math.max(0, fastest - padX), slowest + padX, 8, LEFT, RIGHT);
    Axis y = Axis.rounded(Math.max(0, low - padY), Math.min(1, high + padY), 6, BOTTOM, TOP);
    out.open(
        "svg",
        "viewBox",
        "0 0 " + WIDTH + " " + HEIGHT,
        "role",
        "img",
        "aria-label",
        "Accuracy against latency of the scored architectures");
    LinePlot.frame(out, x, y, LEFT, RIGHT, TOP, BOTTOM, "latency by the table, ms");
    out.words(
        "text",
        "accuracy on the theta split",
        "class",
        "name mid",
        "transform",
        "translate(13 " + (TOP + BOTTOM) / 2 + ") rotate(-90)");
    if (target.isPresent()) {
      double at = x.at(target.getAsDouble());
      out.leaf("line", "class", "target", "x1", at, "x2", at, "y1", TOP, "y2", BOTTOM);
    }
    List<Sample> front = front(samples);
    out.leaf("path", "class", "front", "d", steps(front, x, y));
    // The one taken lies on top of those that are equal to it.
    for (Sample sample : samples.stream().sorted(Comparator.comparing(Sample::best)).toList()) {
      String style =
          "point "
              + (sample.uniform() ? "uniform" : "drawn")
              + (isOn(front, sample) ? " pareto" : "");
      String tip =
          String.format(
              Locale.ROOT,
              "%s: %.4f ms, accuracy %.4f, loss %.4f (%s%s)",
              blocks(sample),
              sample.latencyMs(),
              sample.accuracy(),
              sample.loss(),
              sample.drawn(),
              sample.best() ? ", taken" : "");
      double cx = x.at(sample.latencyMs());
      double cy = y.at(sample.accuracy());
      if (sample.best()) {
        out.tipped("path", tip, "class", style + " star", "d", star(cx, cy, 11));
      } else if (sample.uniform()) {
        out.tipped(
            "path",
            tip,
            "class",
            style,
            "d",
            String.format(Locale.ROOT, "M%s %sl5 5-5 5-5-5z", n(cx), n(cy - 5)));
      } else {
        out.tipped("circle", tip, "class", style, "cx", cx, "cy", cy, "r", 5);
      }
    }
    out.close("svg");
  }

  /** Right and up: what is reached at a latency is reached at any larger one. */
  private static String steps(List<Sample> front, Axis x, Axis y) {
    StringBuilder path = new StringBuilder();
    for (Sample sample : front) {
      path.append(path.isEmpty() ? "M" : "H").append(n(x.at(sample.latencyMs())));
      path.append(path.indexOf("V") < 0 && path.indexOf("H") < 0 ? " " : "V");
      path.append(n(y.at(sample.accuracy())));
    }
    return path.append("H").append(n(x.end())).toString();
  }

  private static String star(double cx, double cy, double radius) {
    StringBuilder path = new StringBuilder();
    for (int i = 0; i < 10; i++) {
      double r = i % 2 == 0 ? radius : 0.45 * radius;
      double angle = Math.PI * (i / 5.0 - 0.5);
      path.append(i == 0 ? "M" : "L");
      path.append(n(cx + r * Math.cos(angle))).append(' ').append(n(cy + r * Math.sin(angle)));
    }
    return path.append("Z").toString();
  }

  private static String n(double value) {
    return Svg.number(value);
  }
}
