package io.fbnet.nas.budget;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.program.Program;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The weights of a budget's terms by the method of multipliers (augmented Lagrangian): for every
 * theta step each multiplier moves by {@link #STEP} times the relative excess of the expected cost
 * over the target, and the weight is the multiplier plus {@link #DAMPING} times the excess. The
 * second part answers at once, the first removes what would be left of the excess. A latency target
 * is to be used up, so its weight may be negative; the others' may not.
 *
 * <p>The expectation is the exact one of drawing from theta: at high temperatures the soft sample m
 * says little about what will be drawn. Each step computes it of theta as it finds it. The weights
 * of a step follow from what the step before the last one found, whether or not the last one's
 * results have arrived, so that no device waits and all take the same course; the first two steps
 * have none.
 */
public final class DualAscent {
  /** How far a multiplier moves for an excess of 1. */
  private static final double STEP = 0.2;

  /** The weight's immediate answer to an excess of 1. */
  private static final double DAMPING = 10;

  /**
   * A larger excess counts as this: Adam's step does not grow with the gradient, but its memory of
   * large gradients makes the way back slow.
   */
  private static final double LARGEST_EXCESS = 0.2;

  private static final String MULTIPLIER = "multiplier";
  private static final String WEIGHT = "weight";
  private static final String EXCESS = "excess";

  private final List<Limit> limits;
  private final double[] multipliers;
  private final double[] weights;

  /** What the last step found and no multiplier has moved by yet; empty where there is nothing. */
  private List<Double> observed = List.of();

  /**
   * Weights of 0.
   *
   * @param budget whose limits they weigh
   */
  public DualAscent(Budget budget) {
    limits = budget.limits();
    multipliers = new double[limits.size()];
    weights = new double[limits.size()];
  }

  /**
   * Takes what a theta step found, for {@link #move}.
   *
   * @param excess of each limit: E[cost] / target - 1
   */
  public void observe(List<Double> excess) {
    observed = List.copyOf(excess);
  }

  /** Moves every multiplier by what was observed, once: to be called when a step was launched. */
  public void move() {
    for (int i = 0; i < observed.size(); i++) {
      double excess = Math.clamp(observed.get(i), -LARGEST_EXCESS, LARGEST_EXCESS);
      boolean usedUp = limits.get(i).kind().least() > 0;
      double least = usedUp ? Double.NEGATIVE_INFINITY : 0;
      multipliers[i] = Math.max(least, multipliers[i] + STEP * excess);
      weights[i] = Math.max(least, multipliers[i] + DAMPING * excess);
    }
    observed = List.of();
  }

  /**
   * Hands the weights to the theta step.
   *
   * @param thetaStep with the budget's terms in its loss
   */
  public void set(Program thetaStep) {
    for (int i = 0; i < weights.length; i++) {
      thetaStep.set(Budget.control(limits.get(i)), weights[i]);
    }
  }

  /**
   * {@return for the run's record: of each limit the target, the expected cost and the weight}
   *
   * @param probabilities softmax(theta), [layer][candidate]
   */
  public Map<String, Double> record(double[][] probabilities) {
    Map<String, Double> record = new LinkedHashMap<>();
    for (int i = 0; i < weights.length; i++) {
      Limit limit = limits.get(i);
      switch (limit.kind()) {
        case LATENCY -> {
          record.put("target_ms", limit.target());
          record.put("lambda", weights[i]);
        }
        case MOST_LATENCY -> {
          record.put("max_ms", limit.target());
          record.put("lambda_max_ms", weights[i]);
        }
        case MACS -> {
          record.put("max_macs", limit.target());
          record.put("expected_macs", limit.expected(probabilities));
          record.put("lambda_macs", weights[i]);
        }
        case PARAMETERS -> {
          record.put("max_params", limit.target());
          record.put("expected_params", limit.expected(probabilities));
          record.put("lambda_params", weights[i]);
        }
      }
    }
    return record;
  }

  /** {@return what a resumed run needs} */
  public ObjectNode json() {
    ObjectNode node = JsonNodeFactory.instance.objectNode();
    for (int i = 0; i < multipliers.length; i++) {
      ObjectNode of = node.putObject(limits.get(i).kind().word());
      of.put(MULTIPLIER, multipliers[i]);
      of.put(WEIGHT, weights[i]);
      if (!observed.isEmpty()) {
        of.put(EXCESS, observed.get(i));
      }
    }
    return node;
  }

  /**
   * Takes a checkpoint's word; older ones hold the multiplier alone, as a number.
   *
   * @param node that {@link #json} made
   */
  public void restore(JsonNode node) {
    List<Double> excess = new ArrayList<>();
    for (int i = 0; i < multipliers.length; i++) {
      JsonNode of = node.path(limits.get(i).kind().word());
      multipliers[i] = of.path(MULTIPLIER).asDouble(of.asDouble());
      weights[i] = of.path(WEIGHT).asDouble(multipliers[i]);
      if (of.has(EXCESS)) {
        excess.add(of.path(EXCESS).asDouble());
      }
    }
    observed = List.copyOf(excess);
  }
}
