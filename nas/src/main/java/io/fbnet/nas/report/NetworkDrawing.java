package io.fbnet.nas.report;

import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.space.Activation;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.LayerSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * A network from the input to the classifier: a column a layer, boxes as high as the block is wide
 * and coloured by its kernel, and under each column its share of the latency and its multiply-adds.
 */
final class NetworkDrawing {
  private static final double LEFT = 84;
  private static final double WIDEST = 1090;
  private static final double STAGE_TOP = 4;
  private static final double BOX_BOTTOM = 182;
  private static final double BOX_MOST = 118;
  private static final double BOX_LEAST = 46;
  private static final double BARS = 78;

  private final Architecture architecture;
  private final Description description;
  private final Optional<LatencyTable> table;
  private final double column;
  private final double width;

  /** One bar: the first and last column it stands under, its value and its style. */
  private record Bar(int first, int last, double value, String style, String name) {}

  NetworkDrawing(Architecture architecture, Optional<LatencyTable> table) {
    this.architecture = architecture;
    description = Description.of(architecture);
    this.table = table;
    int columns = description.layers().size();
    column = Math.clamp((WIDEST - LEFT) / columns, 32, 84);
    width = LEFT + columns * column + 2;
  }

  /** The table where blocks have shares of their own. */
  private Optional<LatencyTable> shares() {
    return table.filter(t -> !t.relative());
  }

  Svg draw() {
    double latencyTop = BOX_BOTTOM + 62;
    double macsTop = shares().isPresent() ? latencyTop + BARS + 42 : latencyTop;
    Svg out = new Svg();
    out.open(
        "svg",
        "viewBox",
        "0 0 " + Svg.number(width) + " " + Svg.number(macsTop + BARS + 10),
        "role",
        "img",
        "class",
        "network wide",
        "aria-label",
        "The network, layer by layer",
        "style",
        "max-width:" + Math.round(width) + "px");
    stages(out);
    for (int i = 0; i < description.layers().size(); i++) {
      layer(out, i);
    }
    shares()
        .ifPresent(
            t -> bars(out, latencyTop, "latency", "ms", latencies(t), t.latencyOf(choice())));
    bars(out, macsTop, "multiply-adds", "M", macs(), description.macs() / 1e6);
    return out.close("svg").newline();
  }

  private int[] choice() {
    return architecture.choice();
  }

  private double x(int column) {
    return LEFT + column * this.column;
  }

  private void stages(Svg out) {
    List<LayerSpec> places = architecture.space().layers();
    for (int from = 0; from < places.size(); ) {
      int to = from;
      while (to + 1 < places.size() && places.get(to + 1).stage() == places.get(from).stage()) {
        to++;
      }
      LayerSpec place = places.get(from);
      double left = x(from + 1) + 2;
      double wide = (to - from + 1) * column - 4;
      out.leaf(
          "rect",
          "class",
          "stage",
          "x",
          left,
          "y",
          STAGE_TOP,
          "width",
          wide,
          "height",
          BOX_BOTTOM + 50 - STAGE_TOP,
          "rx",
          6);
      String name = "stage " + (place.stage() + 1);
      String size = place.outHeight() + "\u00d7" + place.outWidth();
      double middle = left + wide / 2;
      if (wide < 70) {
        name = Integer.toString(place.stage() + 1);
      }
      out.words("text", name, "class", "stage mid strong", "x", middle, "y", STAGE_TOP + 17);
      String channels = place.outChannels() + (wide < 70 ? "" : " channels");
      out.words("text", channels, "class", "stage mid", "x", middle, "y", STAGE_TOP + 31);
      out.words("text", size, "class", "stage mid", "x", middle, "y", STAGE_TOP + 45);
      from = to + 1;
    }
  }

  private void layer(Svg out, int i) {
    Description.Layer layer = description.layers().get(i);
    double middle = x(i) + column / 2;
    double wide = Math.min(column - 8, 58);
    int index = i - 1;
    boolean searched = index >= 0 && index < architecture.blocks().size();
    Block block = searched ? architecture.blocks().get(index) : null;
    int stride = searched ? architecture.space().layers().get(index).stride() : 1;
    String tip = tip(layer, index, searched);
    double height =
        block == null || block.isSkip()
            ? BOX_LEAST
            : BOX_LEAST + (BOX_MOST - BOX_LEAST) * Math.min(1, (expansion(block) - 1) / 5.0);
    String style =
        block == null ? "fixed" : block.isSkip() ? "skip" : "k" + Math.min(7, kernel(block));
    double top = BOX_BOTTOM - height;
    out.open("g", "class", "block " + style);
    out.tipped(
        "rect", tip, "x", middle - wide / 2, "y", top, "width", wide, "height", height, "rx", 5);
    List<String> words = words(layer, block, i);
    double y = BOX_BOTTOM - height / 2 - (words.size() - 1) * 6.5 + 4;
    for (String word : words) {
      out.words("text", word, "class", "mid", "x", middle, "y", y);
      y += 13;
    }
    out.close("g");
    out.words(
        "text",
        layer.name().equals("classifier") ? "FC" : layer.name(),
        "class",
        "tick mid",
        "x",
        middle,
        "y",
        BOX_BOTTOM + 18);
    if (stride > 1 || (i == 0 && architecture.space().stem().stride() > 1)) {
      String words2 = column < 44 ? "/2" : "stride 2";
      out.words("text", words2, "class", "stride mid", "x", middle, "y", BOX_BOTTOM + 34);
    }
  }

  /** How much a block widens its input; a block of the user's own is drawn as if by 3. */
  private static int expansion(Block block) {
    return block instanceof BlockType type ? type.expansion() : 3;
  }

  private static int kernel(Block block) {
    return block instanceof BlockType type ? type.kernel() : 3;
  }

  private List<String> words(Description.Layer layer, Block block, int i) {
    if (block == null) {
      return i == 0
          ? List.of("3\u00d73", "conv")
          : layer.name().equals("head") ? List.of("1\u00d71", "conv") : List.of("pool", "linear");
    }
    if (block.isSkip()) {
      LayerSpec place = architecture.space().layers().get(i - 1);
      return place.keepsShape() ? List.of("skip") : List.of("skip", "1\u00d71");
    }
    if (!(block instanceof BlockType type)) {
      return List.of(block.name());
    }
    List<String> words = new ArrayList<>();
    words.add(type.kernel() + "\u00d7" + type.kernel());
    words.add("e" + type.expansion());
    if (type.groups() > 1) {
      words.add("g" + type.groups());
    }
    if (type.squeeze()) {
      words.add("se");
    }
    if (type.activation() != Activation.RELU) {
      words.add(type.activation().toString());
    }
    return words;
  }

  private String tip(Description.Layer layer, int index, boolean searched) {
    String tip =
        String.format(
            Locale.ROOT,
            "%s %s: %s to %s, %.3f M multiply-adds, %.1f k parameters",
            layer.name(),
            layer.block(),
            layer.input(),
            layer.output(),
            layer.macs() / 1e6,
            layer.parameters() / 1e3);
    return searched && shares().isPresent()
        ? tip + String.format(Locale.ROOT, ", %.4f ms", ms(shares().get(), index))
        : tip;
  }

  private double ms(LatencyTable t, int layer) {
    return t.ms(layer, choice()[layer]);
  }

  private List<Bar> latencies(LatencyTable t) {
    List<Bar> bars = new ArrayList<>();
    for (int l = 0; l < choice().length; l++) {
      bars.add(new Bar(l + 1, l + 1, ms(t, l), "latency", "L" + (l + 1)));
    }
    int last = description.layers().size() - 1;
    bars.add(new Bar(last - 1, last, t.fixed(), "latency rest", "stem, head and classifier"));
    return bars;
  }

  private List<Bar> macs() {
    List<Bar> bars = new ArrayList<>();
    for (int i = 0; i < description.layers().size(); i++) {
      Description.Layer layer = description.layers().get(i);
      bars.add(new Bar(i, i, layer.macs() / 1e6, "macs", layer.name()));
    }
    return bars;
  }

  private void bars(Svg out, double top, String name, String unit, List<Bar> bars, double sum) {
    double largest = bars.stream().mapToDouble(Bar::value).max().orElse(1);
    // The labels stand above the bars, within the axis' range.
    Axis y = Axis.rounded(0, Math.max(largest * 1.12, 1e-9), 3, top + BARS, top);
    for (double tick : y.ticks()) {
      double at = y.at(tick);
      out.leaf("line", "class", "grid", "x1", LEFT - 4, "x2", width - 2, "y1", at, "y2", at);
      out.words("text", y.label(tick), "class", "tick end", "x", LEFT - 9, "y", at + 4);
    }
    out.words("text", name + ", " + unit, "class", "name", "x", 2, "y", top - 14);
    for (Bar bar : bars) {
      double left = x(bar.first) + (bar.first == bar.last ? (column - 26) / 2 : column / 2 - 13);
      double right = x(bar.last) + (bar.first == bar.last ? (column + 26) / 2 : column / 2 + 13);
      double at = y.at(Math.max(0, bar.value));
      double share = sum > 0 ? bar.value / sum : 0;
      out.tipped(
          "rect",
          String.format(
              Locale.ROOT,
              "%s: %.4f %s, %.1f%% of the whole",
              bar.name,
              bar.value,
              unit,
              100 * share),
          "class",
          "bar " + bar.style,
          "x",
          left,
          "y",
          at,
          "width",
          right - left,
          "height",
          Math.max(0, y.start() - at));
      String label = Math.round(100 * share) == 0 ? "" : Math.round(100 * share) + "%";
      out.words("text", label, "class", "share mid", "x", (left + right) / 2, "y", at - 4);
      if (bar.first != bar.last) {
        out.words(
            "text", "fixed", "class", "tick mid", "x", (left + right) / 2, "y", y.start() + 15);
      }
    }
    out.leaf(
        "line", "class", "axis", "x1", LEFT - 4, "x2", width - 2, "y1", y.start(), "y2", y.start());
  }
}
