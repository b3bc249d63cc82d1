package io.fbnet.bench.gpu;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Arrays;

/**
 * Milliseconds measured several times.
 *
 * @param median half of the samples lie below
 * @param low a tenth lie below
 * @param high a tenth lie above
 * @param count how many there are
 */
record Samples(double median, double low, double high, int count) {
  static Samples of(double[] milliseconds) {
    double[] sorted = milliseconds.clone();
    Arrays.sort(sorted);
    int last = sorted.length - 1;
    double median = (sorted[last / 2] + sorted[(last + 1) / 2]) / 2;
    return new Samples(median, sorted[last / 10], sorted[last - last / 10], sorted.length);
  }

  ObjectNode json() {
    return JsonNodeFactory.instance
        .objectNode()
        .put("median", Round.digits(median))
        .put("low", Round.digits(low))
        .put("high", Round.digits(high))
        .put("samples", count);
  }
}
