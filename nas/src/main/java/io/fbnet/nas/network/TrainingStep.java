package io.fbnet.nas.network;

import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.List;

/**
 * How one network's training step ends: what is minimised and what is done with the gradients.
 *
 * <p>Controls: {@link #RATE} and the norms' momentum always; {@link #GATHER_KEEP}, {@link
 * #GATHER_SHARE} and {@link #UPDATE} where gradients of several batches are gathered; {@link
 * #AVERAGE_KEEP} and {@link #AVERAGE_SHARE} where an average is kept.
 *
 * @param momentum of SGD
 * @param weightDecay batch norms and biases spared
 * @param labelSmoothing the share of the target that goes to all classes alike
 * @param weighted whether images have weights
 * @param mixed whether images are mixed, each with another label's
 * @param gathers whether gradients are added up over several batches before an update
 * @param averages whether a moving average of weights and running statistics is kept
 */
public record TrainingStep(
    double momentum,
    double weightDecay,
    double labelSmoothing,
    boolean weighted,
    boolean mixed,
    boolean gathers,
    boolean averages) {
  /** The learning rate. */
  public static final String RATE = "rate";

  /** What the gathered gradients are multiplied by before this batch's are added: 0 or 1. */
  public static final String GATHER_KEEP = "gather keep";

  /** What this batch's gradients are multiplied by. */
  public static final String GATHER_SHARE = "gather share";

  /** 1 where this batch's run updates the weights, 0 where it only gathers. */
  public static final String UPDATE = "update";

  /** The average's decay. */
  public static final String AVERAGE_KEEP = "average keep";

  /** 1 minus the average's decay. */
  public static final String AVERAGE_SHARE = "average share";

  /** The buffer of gathered gradients. */
  public static final String GATHERED = "gathered";

  /** The buffer of moving averages, of weights and of statistics. */
  public static final String AVERAGE = "average";

  /** Appends everything behind the gradients, and the output {@code finite}. */
  void update(GraphBuilder b, Value loss, FineTuning tuning) {
    String gradients = gathers ? GATHERED : Storage.Flat.GRADIENTS;
    List<Value> checked = new ArrayList<>(List.of(loss));
    for (String set : tuning.rates().keySet()) {
      if (gathers) {
        // Not guarded: a gradient that is no number must reach the sum, so that the check sees it.
        b.blend(
            set,
            GATHERED,
            Storage.Flat.GRADIENTS,
            b.control(GATHER_KEEP, Type.F32),
            b.control(GATHER_SHARE, Type.F32),
            b.fill(1, 1));
      }
      checked.add(b.flat(set, gradients));
    }
    Value finite = b.allFinite(checked);
    b.output("finite", finite);
    Value applies = gathers ? b.multiply(finite, b.control(UPDATE, Type.F32)) : finite;
    Value rate = b.control(RATE, Type.F32);
    tuning
        .rates()
        .forEach(
            (set, factor) -> {
              Value own = factor == 1 ? rate : b.multiply(rate, b.fill(factor.floatValue(), 1));
              b.sgd(set, gradients, own, applies, (float) momentum, (float) weightDecay);
            });
    if (averages) {
      for (String set : tuning.changing()) {
        b.blend(
            set,
            AVERAGE,
            Storage.Flat.VALUES,
            b.control(AVERAGE_KEEP, Type.F32),
            b.control(AVERAGE_SHARE, Type.F32),
            applies);
      }
    }
  }
}
