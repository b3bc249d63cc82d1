package io.fbnet.nas.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.errorprone.annotations.CanIgnoreReturnValue;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * One quantity over optimiser steps or another count: lines of means over a band from least to
 * most. Its figure has a caption with a legend in HTML and the drawing in SVG.
 */
final class LinePlot {
  private static final int WIDTH = 520;
  private static final int HEIGHT = 236;
  private static final double LEFT = 54;
  private static final double RIGHT = WIDTH - 12;
  private static final double TOP = 12;
  private static final double BOTTOM = HEIGHT - 38;

  /** Bins a line: one every three pixels. */
  private static final int BINS = 150;

  /** Of the bins; the bands beyond are cut, so that one wild step does not flatten the rest. */
  private static final double IN_SIGHT = 0.98;

  private final String title;
  private final String unit;
  private final List<Line> lines = new ArrayList<>();
  private final List<Mark> across = new ArrayList<>();
  private final List<Mark> upright = new ArrayList<>();
  private String xName = "optimiser step";
  private double lastStep;
  private double most = Double.POSITIVE_INFINITY;

  private record Line(String name, String style, List<Series.Bin> bins, boolean dots) {
    boolean isThinned() {
      return bins.stream().anyMatch(bin -> bin.most() > bin.least());
    }
  }

  private record Mark(String name, double at) {}

  /**
   * An empty plot.
   *
   * @param unit of the values; empty for none
   */
  LinePlot(String title, String unit) {
    this.title = title;
    this.unit = unit;
  }

  /** Draws steps' numbers; an empty series draws nothing. The style is a class of the page. */
  @CanIgnoreReturnValue
  LinePlot line(String name, String style, Series series) {
    if (!series.isEmpty()) {
      lines.add(new Line(name, style, series.bins(BINS), false));
    }
    return this;
  }

  /** Draws epochs' numbers, each with a dot. */
  @CanIgnoreReturnValue
  LinePlot dotted(String name, String style, Series series) {
    if (!series.isEmpty()) {
      lines.add(new Line(name, style, series.bins(BINS), true));
    }
    return this;
  }

  /** Draws means over a band that were made elsewhere. */
  @CanIgnoreReturnValue
  LinePlot band(String name, String style, List<Series.Bin> bins) {
    if (!bins.isEmpty()) {
      lines.add(new Line(name, style, List.copyOf(bins), bins.size() == 1));
    }
    return this;
  }

  /** What lies along the x axis, where it is no step. */
  @CanIgnoreReturnValue
  LinePlot over(String name) {
    xName = name;
    return this;
  }

  /** A horizontal line at a value that is aimed at. */
  @CanIgnoreReturnValue
  LinePlot target(String name, double value) {
    across.add(new Mark(name, value));
    return this;
  }

  /** A vertical line at a step at which something begins. */
  @CanIgnoreReturnValue
  LinePlot event(String name, double step) {
    upright.add(new Mark(name, step));
    return this;
  }

  /** The last step of the axis, so that plots of one run have one scale. */
  @CanIgnoreReturnValue
  LinePlot until(long step) {
    lastStep = step;
    return this;
  }

  /** The largest value that there can be. */
  @CanIgnoreReturnValue
  LinePlot atMost(double value) {
    most = value;
    return this;
  }

  boolean isEmpty() {
    return lines.isEmpty();
  }

  private Axis steps() {
    double first = Double.POSITIVE_INFINITY;
    double last = lastStep;
    for (Line line : lines) {
      first = Math.min(first, line.bins.getFirst().step());
      last = Math.max(last, line.bins.getLast().step());
    }
    // Nearly every run begins at 0; one that does not is a part of one.
    return Axis.tight(first < 0.2 * last ? 0 : first, last, 6, LEFT, RIGHT);
  }

  private Axis values() {
    double low = Double.POSITIVE_INFINITY;
    double high = Double.NEGATIVE_INFINITY;
    for (Line line : lines) {
      double[] lows = line.bins.stream().mapToDouble(Series.Bin::least).sorted().toArray();
      double[] highs = line.bins.stream().mapToDouble(Series.Bin::most).sorted().toArray();
      int cut = (int) Math.ceil(IN_SIGHT * lows.length) - 1;
      low = Math.min(low, lows[lows.length - 1 - cut]);
      high = Math.max(high, highs[cut]);
      for (Series.Bin bin : line.bins) {
        low = Math.min(low, bin.mean());
        high = Math.max(high, bin.mean());
      }
    }
    for (Mark mark : across) {
      low = Math.min(low, mark.at);
      high = Math.max(high, mark.at);
    }
    // A scale that nearly reaches zero shows it.
    low = low > 0 && low < 0.4 * high ? 0 : low;
    Axis axis = Axis.rounded(low, high, 5, BOTTOM, TOP);
    return axis.to() > most ? Axis.tight(low, most, 5, BOTTOM, TOP) : axis;
  }

  /** The figure. */
  Svg figure() {
    Svg out = new Svg().open("figure", "class", "plot");
    out.open("figcaption").words("b", title);
    if (!unit.isEmpty()) {
      out.words("span", " " + unit, "class", "unit");
    }
    out.open("span", "class", "legend");
    for (Line line : lines) {
      key(out, line.style + (line.dots ? " dot" : ""), line.name);
    }
    across.forEach(mark -> key(out, "target", mark.name));
    out.close("span").close("figcaption");
    draw(out);
    return out.close("figure").newline();
  }

  private static void key(Svg out, String style, String name) {
    out.open("span").leaf("i", "class", "key " + style).close("i").text(name).close("span");
  }

  private void draw(Svg out) {
    Axis x = steps();
    Axis y = values();
    String clip = "clip-" + title.toLowerCase(Locale.ROOT).replaceAll("[^a-z]+", "-");
    out.open(
        "svg",
        "viewBox",
        "0 0 " + WIDTH + " " + HEIGHT,
        "role",
        "img",
        "aria-label",
        title + " over " + xName,
        "data-plot",
        data(x));
    frame(out, x, y, LEFT, RIGHT, TOP, BOTTOM, xName);
    out.open("clipPath", "id", clip)
        // A little wider than the axes, or lines and dots at the edge lose a half.
        .leaf("rect", "x", LEFT, "y", TOP - 4, "width", RIGHT - LEFT + 5, "height", HEIGHT)
        .close("clipPath");
    out.open("g", "clip-path", "url(#" + clip + ")");
    for (Mark mark : upright) {
      if (mark.at > x.from() && mark.at < x.to()) {
        double at = x.at(mark.at);
        out.leaf("line", "class", "event", "x1", at, "x2", at, "y1", TOP, "y2", BOTTOM);
      }
    }
    for (Line line : lines) {
      if (line.isThinned()) {
        out.leaf("path", "class", "band " + line.style, "d", band(line, x, y));
      }
    }
    for (Line line : lines) {
      StringBuilder path = new StringBuilder();
      for (Series.Bin bin : line.bins) {
        path.append(path.isEmpty() ? "M" : "L").append(point(x, y, bin.step(), bin.mean()));
      }
      out.leaf("path", "class", "line " + line.style, "d", path);
      for (Series.Bin bin : line.dots ? line.bins : List.<Series.Bin>of()) {
        out.leaf(
            "circle",
            "class",
            "dot " + line.style,
            "cx",
            x.at(bin.step()),
            "cy",
            y.at(bin.mean()),
            "r",
            line.bins.size() > 40 ? 1.8 : 3.0);
      }
    }
    for (Mark mark : upright) {
      if (mark.at > x.from() && mark.at < x.to()) {
        out.words("text", mark.name, "class", "event", "x", x.at(mark.at) + 5, "y", TOP + 10);
      }
    }
    for (Mark mark : across) {
      double at = y.at(mark.at);
      out.leaf("line", "class", "target", "x1", LEFT, "x2", RIGHT, "y1", at, "y2", at);
    }
    out.close("g");
    out.leaf("line", "class", "cursor", "x1", -9, "x2", -9, "y1", TOP, "y2", BOTTOM).close("svg");
  }

  /** Grid, ticks and the x axis' name, for any plot. */
  static void frame(
      Svg out, Axis x, Axis y, double left, double right, double top, double bottom, String xName) {
    for (double tick : y.ticks()) {
      double at = y.at(tick);
      out.leaf("line", "class", "grid", "x1", left, "x2", right, "y1", at, "y2", at);
      out.words("text", y.label(tick), "class", "tick end", "x", left - 7, "y", at + 4);
    }
    for (double tick : x.ticks()) {
      double at = x.at(tick);
      out.leaf("line", "class", "tick", "x1", at, "x2", at, "y1", bottom, "y2", bottom + 4);
      // The last label may not leave the drawing.
      boolean last = at > right - 12;
      String style = last ? "tick end" : "tick mid";
      out.words("text", x.label(tick), "class", style, "x", last ? right : at, "y", bottom + 17);
    }
    out.leaf("line", "class", "axis", "x1", left, "x2", right, "y1", bottom, "y2", bottom);
    out.words("text", xName, "class", "name mid", "x", (left + right) / 2, "y", bottom + 33);
  }

  private static String band(Line line, Axis x, Axis y) {
    StringBuilder path = new StringBuilder();
    for (Series.Bin bin : line.bins) {
      path.append(path.isEmpty() ? "M" : "L").append(point(x, y, bin.step(), bin.most()));
    }
    for (Series.Bin bin : line.bins.reversed()) {
      path.append("L").append(point(x, y, bin.step(), bin.least()));
    }
    return path.append("Z").toString();
  }

  private static String point(Axis x, Axis y, double step, double value) {
    return String.format(Locale.ROOT, "%s %s", tenth(x.at(step)), tenth(y.at(value)));
  }

  private static String tenth(double pixel) {
    return Svg.number(Math.round(pixel * 10) / 10.0);
  }

  /** What the page's script needs for the tooltip: pixels, steps, and each line's means. */
  private String data(Axis x) {
    ObjectNode data = JsonNodeFactory.instance.objectNode();
    data.put("width", WIDTH).put("left", LEFT).put("right", RIGHT);
    data.put("from", x.from()).put("to", x.to()).put("unit", unit);
    data.put("x", isOverSteps() ? "step" : xName);
    ArrayNode list = data.putArray("lines");
    for (Line line : lines) {
      ObjectNode item = list.addObject().put("name", line.name);
      ArrayNode xs = item.putArray("x");
      ArrayNode ys = item.putArray("y");
      for (Series.Bin bin : line.bins) {
        if (isOverSteps()) {
          xs.add(Math.round(bin.step()));
        } else {
          xs.add(rounded(bin.step()));
        }
        ys.add(rounded(bin.mean()));
      }
    }
    return data.toString();
  }

  private boolean isOverSteps() {
    return xName.endsWith("step");
  }

  private static double rounded(double value) {
    return Double.parseDouble(String.format(Locale.ROOT, "%.4g", value));
  }
}
