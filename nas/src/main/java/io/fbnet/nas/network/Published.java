package io.fbnet.nas.network;

import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/**
 * What arXiv 1812.03443 prints of a network, to be set beside what this program counts. The paper
 * names neither the head's width nor whether the first 1x1 convolution of a block stands at
 * expansion 1, so every choice is counted.
 *
 * @param name of the network, as {@link Architecture#load} takes it
 * @param megaMacs multiply-adds at 224x224 in millions ("FLOPs" in the paper), 0 if not known
 * @param megaParameters parameters in millions, 0 if not known
 * @param other accuracy and latency, in words
 */
public record Published(String name, double megaMacs, double megaParameters, String other) {
  private static final int[] HEADS = {1504, 1984};

  private static final List<Published> NETWORKS =
      List.of(
          new Published("fbnet-a", 249, 4.3, "73.0% top-1"),
          new Published("fbnet-b", 295, 4.5, "74.1% top-1, 23.1 ms on a Samsung S8"),
          new Published("fbnet-c", 375, 5.5, "74.9% top-1, 28.1 ms on a Samsung S8"),
          new Published("fbnet-s8", 0, 0, "22.12 ms on a Samsung S8, 27.53 ms on an iPhone X"),
          new Published(
              "fbnet-iphonex", 0, 0, "19.84 ms on an iPhone X, 23.33 ms on a Samsung S8"));

  /** One way to read the paper, counted. */
  private record Reading(int head, boolean alwaysPw, double megaMacs, double megaParameters) {
    static Reading of(Architecture network) {
      Description counted = Description.of(network);
      SearchSpace space = network.space();
      return new Reading(
          space.head(), space.alwaysPw(), counted.macs() / 1e6, counted.parameters() / 1e6);
    }

    String words() {
      return String.format(Locale.ROOT, "head %d, always_pw %s", head, alwaysPw ? "on" : "off");
    }
  }

  /**
   * {@return the published figures of a network, if the paper has it}
   *
   * @param name such as FBNet-C, in upper or lower case
   */
  public static Optional<Published> of(String name) {
    return NETWORKS.stream().filter(n -> n.name.equals(name.toLowerCase(Locale.ROOT))).findAny();
  }

  /**
   * {@return a text for people: the published figures beside those that are counted here}
   *
   * @param architecture the network of this name; its space may differ from the paper's
   */
  public String compare(Architecture architecture) {
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "%n%s as published: %s%s%s%n",
            architecture.name(),
            megaMacs > 0 ? shown(megaMacs) + " MACs, " : "",
            megaParameters > 0 ? shown(megaParameters) + " parameters, " : "",
            other));
    text.append(
        String.format(
            Locale.ROOT, "%-34s %10s %8s %12s %8s%n", "counted", "MACs", "", "parameters", ""));
    Architecture paper = Architecture.load(name);
    Reading here = Reading.of(architecture);
    row(text, "as described above", here);
    List<Reading> readings = new ArrayList<>();
    for (int head : HEADS) {
      for (boolean alwaysPw : new boolean[] {true, false}) {
        SearchSpace space = paper.space().withHead(head).withAlwaysPw(alwaysPw);
        readings.add(Reading.of(new Architecture(paper.name(), space, paper.blocks())));
      }
    }
    readings.forEach(reading -> row(text, "224x224, " + reading.words(), reading));
    if (megaMacs > 0) {
      Reading macs = nearest(readings, Reading::megaMacs, megaMacs);
      Reading parameters = nearest(readings, Reading::megaParameters, megaParameters);
      text.append(
          macs.equals(parameters)
              ? String.format(
                  Locale.ROOT, "Both published figures are nearest to %s.%n", macs.words())
              : String.format(
                  Locale.ROOT,
                  "The published MACs are nearest to %s, the published parameters to %s: no single"
                      + " reading gives both.%n",
                  macs.words(),
                  parameters.words()));
      text.append(
          "The paper names neither the head's width nor whether the first 1x1 convolution stands at"
              + " expansion 1 (always_pw). Parameters here include batch norm's weight and"
              + String.format(Locale.ROOT, " bias.%n"));
    } else {
      text.append(
          String.format(Locale.ROOT, "The paper's counts of this network are not known here.%n"));
    }
    return text.toString();
  }

  private void row(StringBuilder text, String what, Reading reading) {
    text.append(
        String.format(
            Locale.ROOT,
            "%-34s %9.1fM %8s %11.3fM %8s%n",
            what,
            reading.megaMacs(),
            difference(reading.megaMacs(), megaMacs),
            reading.megaParameters(),
            difference(reading.megaParameters(), megaParameters)));
  }

  private static String difference(double here, double published) {
    return published > 0 ? String.format(Locale.ROOT, "%+.1f%%", 100 * (here / published - 1)) : "";
  }

  private static Reading nearest(
      List<Reading> readings, ToDoubleFunction<Reading> figure, double published) {
    return readings.stream()
        .min(Comparator.comparingDouble(r -> Math.abs(figure.applyAsDouble(r) - published)))
        .orElseThrow();
  }

  private static String shown(double millions) {
    return String.format(Locale.ROOT, millions < 10 ? "%.1fM" : "%.0fM", millions);
  }
}
