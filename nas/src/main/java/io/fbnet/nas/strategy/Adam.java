package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;

/** Adam (arXiv 1412.6980) upwards, with the paper's moments 0.9 and 0.999. */
final class Adam {
  private static final double FIRST = 0.9;
  private static final double SECOND = 0.999;
  private static final double EPSILON = 1e-8;

  private final double rate;
  private final double[] parameters;
  private final double[] first;
  private final double[] second;
  private long steps;

  Adam(double[] parameters, double rate) {
    this.rate = rate;
    this.parameters = parameters;
    first = new double[parameters.length];
    second = new double[parameters.length];
  }

  void step(double[] gradient) {
    steps++;
    double unbiasFirst = 1 - Math.pow(FIRST, (double) steps);
    double unbiasSecond = 1 - Math.pow(SECOND, (double) steps);
    for (int i = 0; i < parameters.length; i++) {
      first[i] = FIRST * first[i] + (1 - FIRST) * gradient[i];
      second[i] = SECOND * second[i] + (1 - SECOND) * gradient[i] * gradient[i];
      parameters[i] +=
          rate * first[i] / unbiasFirst / (Math.sqrt(second[i] / unbiasSecond) + EPSILON);
    }
  }

  /** The parameters too. */
  ObjectNode state() {
    ObjectNode state = JsonNodeFactory.instance.objectNode();
    state.put("steps", steps);
    put(state, "parameters", parameters);
    put(state, "first", first);
    put(state, "second", second);
    return state;
  }

  void restore(JsonNode state) {
    steps = state.path("steps").asLong();
    read(state, "parameters", parameters);
    read(state, "first", first);
    read(state, "second", second);
  }

  private static void put(ObjectNode state, String key, double[] values) {
    var list = state.putArray(key);
    for (double value : values) {
      list.add(value);
    }
  }

  private static void read(JsonNode state, String key, double[] values) {
    JsonNode list = state.path(key);
    if (list.size() != values.length) {
      throw new IllegalArgumentException(
          "the state is of another space or other settings: '"
              + key
              + "' has "
              + list.size()
              + " numbers instead of "
              + values.length);
    }
    for (int i = 0; i < values.length; i++) {
      values[i] = list.get(i).asDouble();
    }
  }
}
