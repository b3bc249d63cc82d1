package io.fbnet.nas.search;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.run.Checkpoints;
import java.util.Arrays;

/**
 * How far a search has come: what comes next is batch {@code batch} of {@code phase} of {@code
 * epoch}. Where steps of theta stand between those of w, a batch is w's, also in theta's phase.
 *
 * @param epoch from 0; the number of epochs when the search is over
 * @param phase of the step that comes next; in an epoch's halves weights first, then theta
 * @param batch from 0
 * @param weightSteps w steps done
 * @param thetaSteps theta steps done
 */
record Position(int epoch, Phase phase, int batch, long weightSteps, long thetaSteps) {
  /** The two kinds of steps. */
  enum Phase {
    WEIGHTS,
    THETA
  }

  private static final long MOST_STEPS = Long.MAX_VALUE / 2;

  static final Position START = new Position(0, Phase.WEIGHTS, 0, 0, 0);

  /** Steps of both kinds. */
  long steps() {
    return weightSteps + thetaSteps;
  }

  Position afterStep() {
    return phase == Phase.WEIGHTS
        ? new Position(epoch, phase, batch + 1, weightSteps + 1, thetaSteps)
        : new Position(epoch, phase, batch + 1, weightSteps, thetaSteps + 1);
  }

  /** The same of a phase, with another batch. */
  Position inTurn(Phase next, int from) {
    return new Position(epoch, next, from, weightSteps, thetaSteps);
  }

  Position nextEpoch() {
    return new Position(epoch + 1, Phase.WEIGHTS, 0, weightSteps, thetaSteps);
  }

  ObjectNode json() {
    ObjectNode node = JsonNodeFactory.instance.objectNode();
    node.put("epoch", epoch);
    node.put("phase", phase.name());
    node.put("batch", batch);
    node.put("weight_steps", weightSteps);
    node.put("theta_steps", thetaSteps);
    return node;
  }

  /**
   * The position that a checkpoint was taken at.
   *
   * @throws io.fbnet.nas.UserException (exit code 3) if its manifest names none
   */
  static Position of(Checkpoints.Found checkpoint) {
    String phase = checkpoint.manifest().state().path("phase").asText();
    return new Position(
        (int) checkpoint.count("epoch", Integer.MAX_VALUE),
        Arrays.stream(Phase.values())
            .filter(known -> known.name().equals(phase))
            .findFirst()
            .orElseThrow(() -> checkpoint.wrong("phase")),
        (int) checkpoint.count("batch", Integer.MAX_VALUE),
        checkpoint.count("weight_steps", MOST_STEPS),
        checkpoint.count("theta_steps", MOST_STEPS));
  }
}
