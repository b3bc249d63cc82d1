package io.fbnet.nas.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Theta as probabilities: a column a layer, a row a candidate block. Colours are shades of one hue,
 * given by classes {@code q0} to {@code q20} (5% each), so that light, dark and print differ in the
 * page's style alone.
 */
final class HeatMap {
  private static final int LEFT = 84;
  private static final int TOP = 6;
  private static final int WIDEST = 1060;
  private static final int ROW = 27;

  /** As many epochs as the slider keeps; more are thinned evenly. */
  private static final int MOST_EPOCHS = 100;

  private static final int MOST_PANELS = 12;

  private final List<RunRecord.Epoch> epochs;
  private final List<String> blocks;
  private final List<Integer> stages;
  private final int[] chosen;

  /**
   * Heat maps of a run.
   *
   * @param epochs at least one
   * @param blocks the candidates' names
   * @param stages of every layer, for gaps between them; empty where unknown
   * @param chosen the candidate of every layer in the result, to be ringed; empty where there is
   *     none
   */
  HeatMap(List<RunRecord.Epoch> epochs, List<String> blocks, List<Integer> stages, int[] chosen) {
    this.epochs = epochs;
    this.blocks = blocks;
    int layers = epochs.getFirst().probabilities().length;
    this.stages = stages.size() == layers ? stages : List.of();
    this.chosen = chosen.length == layers ? chosen.clone() : new int[0];
  }

  /** The last epoch, large, with numbers. */
  Svg last() {
    RunRecord.Epoch epoch = epochs.getLast();
    double[][] p = epoch.probabilities();
    int gaps = gap(p.length - 1, 1);
    double cell = Math.clamp((WIDEST - LEFT - 8.0 * gaps) / p.length, 18, 104);
    double width = LEFT + p.length * cell + 8 * gaps + 2;
    double bottom = TOP + blocks.size() * (double) ROW;
    Svg out = new Svg();
    out.open(
        "svg",
        "viewBox",
        "0 0 " + Svg.number(width) + " " + Svg.number(bottom + 36),
        "role",
        "img",
        "class",
        "theta wide",
        "aria-label",
        "Probability of each block in each layer",
        "data-theta",
        data(),
        "style",
        "max-width:" + Math.round(width) + "px");
    for (int k = 0; k < blocks.size(); k++) {
      double y = TOP + (k + 0.5) * ROW;
      out.words("text", blocks.get(k), "class", "tick end", "x", LEFT - 9, "y", y + 4);
    }
    for (int l = 0; l < p.length; l++) {
      double x = LEFT + l * cell + gap(l, 8);
      for (int k = 0; k < p[l].length; k++) {
        double y = TOP + k * (double) ROW;
        out.open("g", "class", "cell " + shade(p[l][k]), "data-cell", l + "," + k);
        out.tipped(
            "rect",
            String.format(Locale.ROOT, "L%d %s: %.1f%%", l + 1, name(k), 100 * p[l][k]),
            "x",
            x + 1,
            "y",
            y + 1,
            "width",
            cell - 2,
            "height",
            ROW - 2,
            "rx",
            3);
        if (cell >= 26) {
          out.words("text", percent(p[l][k]), "x", x + cell / 2, "y", y + ROW / 2.0 + 4);
        }
        out.close("g");
      }
      out.words("text", "L" + (l + 1), "class", "tick mid", "x", x + cell / 2, "y", bottom + 16);
    }
    for (int l = 0; l < chosen.length; l++) {
      double x = LEFT + l * cell + gap(l, 8);
      out.leaf(
          "rect",
          "class",
          "chosen",
          "x",
          x + 1,
          "y",
          TOP + chosen[l] * (double) ROW + 1,
          "width",
          cell - 2,
          "height",
          ROW - 2,
          "rx",
          3);
    }
    out.words(
        "text",
        "layer, from the input on",
        "class",
        "name mid",
        "x",
        (LEFT + width) / 2,
        "y",
        bottom + 33);
    return out.close("svg").newline();
  }

  private String name(int block) {
    return block < blocks.size() ? blocks.get(block) : "block " + (block + 1);
  }

  /** Pixels of the gaps between stages before a layer. */
  private int gap(int layer, int pixels) {
    return stages.isEmpty() ? 0 : pixels * (stages.get(layer) - stages.getFirst());
  }

  static String shade(double probability) {
    return "q" + Math.round(20 * probability);
  }

  /** Whole percents; what rounds to none is left empty, to keep the picture quiet. */
  static String percent(double probability) {
    long percents = Math.round(100 * probability);
    return percents == 0 ? "" : Long.toString(percents);
  }

  /** The epochs as numbers for the slider. */
  private String data() {
    ObjectNode data = JsonNodeFactory.instance.objectNode();
    ArrayNode numbers = data.putArray("epochs");
    ArrayNode tables = data.putArray("percent");
    ArrayNode names = data.putArray("blocks");
    blocks.forEach(names::add);
    for (RunRecord.Epoch epoch : thinned(MOST_EPOCHS)) {
      numbers.add(epoch.number());
      ArrayNode table = tables.addArray();
      for (double[] layer : epoch.probabilities()) {
        ArrayNode row = table.addArray();
        for (double p : layer) {
          long tenths = Math.round(1000 * p);
          if (tenths % 10 == 0) {
            row.add(tenths / 10);
          } else {
            row.add(tenths / 10.0);
          }
        }
      }
    }
    return data.toString();
  }

  private List<RunRecord.Epoch> thinned(int most) {
    if (epochs.size() <= most) {
      return epochs;
    }
    List<RunRecord.Epoch> some = new ArrayList<>();
    for (int i = 0; i < most; i++) {
      some.add(epochs.get((int) Math.round((double) i * (epochs.size() - 1) / (most - 1))));
    }
    return some;
  }

  /** How many epochs the slider moves over. */
  int sliderEpochs() {
    return Math.min(MOST_EPOCHS, epochs.size());
  }

  /** Small maps of epochs from the first to the last. */
  Svg panels() {
    Svg out = new Svg().open("div", "class", "panels");
    for (RunRecord.Epoch epoch : thinned(MOST_PANELS)) {
      double[][] p = epoch.probabilities();
      int width = 8 * p.length;
      int height = 8 * blocks.size();
      out.open("figure");
      out.open(
          "svg",
          "viewBox",
          "0 0 " + width + " " + height,
          "role",
          "img",
          "aria-label",
          "Theta after epoch " + epoch.number());
      for (int l = 0; l < p.length; l++) {
        for (int k = 0; k < p[l].length; k++) {
          String style = "cell " + shade(p[l][k]);
          out.leaf("rect", "class", style, "x", 8 * l, "y", 8 * k, "width", 7, "height", 7);
        }
      }
      out.close("svg");
      out.words("figcaption", String.format(Locale.ROOT, "epoch %d", epoch.number()));
      out.close("figure");
    }
    return out.close("div").newline();
  }

  /** The scale of shades. */
  static Svg scale() {
    Svg out = new Svg().open("span", "class", "scale").text("0 ");
    out.open("svg", "viewBox", "0 0 210 12", "aria-hidden", "true");
    for (int q = 0; q <= 20; q++) {
      out.leaf("rect", "class", "cell q" + q, "x", 10 * q, "width", 10, "height", 12);
    }
    return out.close("svg").text(" 100%").close("span");
  }
}
