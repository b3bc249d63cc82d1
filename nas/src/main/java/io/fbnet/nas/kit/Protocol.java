package io.fbnet.nas.kit;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.measure.SteadyWarmUp;

/**
 * How the files of a kit are timed; the same in Java and in the kit's {@code run.py}. A round takes
 * every file once, in an order drawn anew. A file is loaded, run until {@code steadyWindows}
 * windows in a row have medians within {@code steadyRatio}, then timed, then let go: only one is
 * loaded at a time, as on a device in use, and several loads of the same file show what depends on
 * where its memory happens to lie.
 *
 * @param rounds how often every file is loaded and timed
 * @param steadyWindows how many windows must agree
 * @param steadyRatio the largest of their medians by the smallest, at most
 * @param windowMs the least length of a window
 * @param firstWarmUpMs how long the first file of all runs at least: clocks and compilers wake up
 * @param longestWarmUpMs after which a file is timed even if its windows do not agree
 * @param roundMs how long a file is timed in a round, about
 * @param leastRuns in a window and in a round
 * @param mostRuns in a round
 */
record Protocol(
    int rounds,
    int steadyWindows,
    double steadyRatio,
    double windowMs,
    double firstWarmUpMs,
    double longestWarmUpMs,
    double roundMs,
    int leastRuns,
    int mostRuns) {
  static final Protocol DEFAULT = new Protocol(5, 3, 1.05, 15, 500, 2000, 15, 3, 500);

  private static final int MOST = 1_000_000;

  SteadyWarmUp warmUp() {
    return new SteadyWarmUp(steadyWindows, steadyRatio, windowMs, leastRuns, longestWarmUpMs);
  }

  static Protocol parse(Node node) {
    Node.Fields fields =
        node.fields(
            "rounds",
            "steady_windows",
            "steady_ratio",
            "window_ms",
            "first_warm_up_ms",
            "longest_warm_up_ms",
            "round_ms",
            "least_runs",
            "most_runs");
    int least = fields.required("least_runs").integer(1, MOST);
    return new Protocol(
        fields.required("rounds").integer(1, MOST),
        fields.required("steady_windows").integer(1, MOST),
        fields.required("steady_ratio").number(1, MOST),
        fields.required("window_ms").number(0, MOST),
        fields.required("first_warm_up_ms").number(0, MOST),
        fields.required("longest_warm_up_ms").number(0, MOST),
        fields.required("round_ms").number(0, MOST),
        least,
        fields.required("most_runs").integer(least, MOST));
  }

  ObjectNode json() {
    return JsonNodeFactory.instance
        .objectNode()
        .put("rounds", rounds)
        .put("steady_windows", steadyWindows)
        .put("steady_ratio", steadyRatio)
        .put("window_ms", windowMs)
        .put("first_warm_up_ms", firstWarmUpMs)
        .put("longest_warm_up_ms", longestWarmUpMs)
        .put("round_ms", roundMs)
        .put("least_runs", leastRuns)
        .put("most_runs", mostRuns);
  }
}
