package io.fbnet.nas.latency;

import java.util.Arrays;
import java.util.Locale;
import java.util.Map;

/** A latency table for people. */
final class LatencyText {
  private LatencyText() {}

  static String of(LatencyTable table) {
    StringBuilder out = new StringBuilder();
    SpaceKey space = table.space();
    Fingerprint made = table.fingerprint();
    line(out, "device", table.device());
    line(out, "processor", made.processor());
    line(
        out,
        "space",
        String.format(
            Locale.ROOT,
            "%s (input %dx%dx%d, %d layers, head %d, %d classes)",
            space.name(),
            space.input().channels(),
            space.input().height(),
            space.input().width(),
            space.widths().size(),
            space.head(),
            space.classes()));
    line(out, "batch", Integer.toString(made.batch()));
    line(out, "precision", made.precision());
    line(out, "threads", made.threads() == 0 ? "" : Integer.toString(made.threads()));
    for (Map.Entry<String, String> library : made.libraries().entrySet()) {
      line(out, library.getKey(), library.getValue());
    }
    line(out, "date", made.date());
    line(out, "validated", table.validated());
    line(out, "origin", table.origin());
    line(
        out,
        "entries",
        table.relative()
            ? "ms more than skip (ref) in the same layer; fixed holds the rest"
            : "ms; fixed is stem, head, pooling and classifier");
    out.append(System.lineSeparator());

    out.append(String.format(Locale.ROOT, "%-6s", "layer"));
    for (String block : space.blocks()) {
      out.append(String.format(Locale.ROOT, " %10s", block));
    }
    out.append(System.lineSeparator());
    double[][] layers = table.layers();
    for (int l = 0; l < layers.length; l++) {
      out.append(String.format(Locale.ROOT, "%-6s", "L" + (l + 1)));
      for (int k = 0; k < layers[l].length; k++) {
        out.append(
            table.isReference(k)
                ? String.format(Locale.ROOT, " %10s", "ref")
                : String.format(Locale.ROOT, " %10.4f", layers[l][k]));
      }
      out.append(System.lineSeparator());
    }
    out.append(String.format(Locale.ROOT, "fixed  %10.4f", table.fixed()));
    table
        .fixedSpread()
        .ifPresent(share -> out.append(String.format(Locale.ROOT, "  (+- %.1f%%)", 100 * share)));
    out.append(System.lineSeparator());

    int[] fastest = table.fastest();
    out.append(String.format(Locale.ROOT, "fastest network %.4f ms:", table.latencyOf(fastest)));
    for (int choice : fastest) {
      out.append(' ').append(space.blocks().get(choice));
    }
    out.append(System.lineSeparator());
    table
        .spread()
        .ifPresent(
            spread -> {
              double[] all = Arrays.stream(spread).flatMapToDouble(Arrays::stream).toArray();
              out.append(
                  String.format(
                      Locale.ROOT,
                      "spread of the measurements: median %.1f%%, largest %.1f%%%n",
                      100 * Statistics.median(all),
                      100 * Statistics.quantile(all, 1)));
            });
    return out.toString();
  }

  private static void line(StringBuilder out, String what, String value) {
    if (!value.isEmpty()) {
      out.append(String.format(Locale.ROOT, "%-11s%s%n", what, value));
    }
  }
}
