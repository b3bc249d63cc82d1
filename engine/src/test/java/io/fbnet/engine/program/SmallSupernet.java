package io.fbnet.engine.program;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Two layers of candidates mixed by Gumbel-softmax, with a loss of cross-entropy times a power of
 * the latency: every kind of operation that a search step has, small enough for finite differences.
 *
 * @param graph with the loss and every gradient as outputs
 * @param loss the mean over the batch
 * @param gradients of each parameter
 */
record SmallSupernet(Graph graph, Value loss, Map<Value, Value> gradients) {
  private static final int CHANNELS = 18;
  private static final int CLASSES = 5;

  /** What is added to forward and backward. */
  enum Update {
    NONE,
    BOTH_OPTIMISERS
  }

  /** The step for a batch, with one draw of noise or one an image. */
  static SmallSupernet of(int batch, boolean noisePerImage, Update update) {
    Builder builder = new Builder(new GraphBuilder());
    return builder.build(batch, noisePerImage, update);
  }

  private static final class Builder {
    private final GraphBuilder b;
    private final List<Value> parameters = new ArrayList<>();

    Builder(GraphBuilder b) {
      this.b = b;
    }

    private Value parameter(String name, boolean decayed, double deviation, int... shape) {
      Value v = b.parameter("weights", name, decayed, new Initial.Normal(deviation), shape);
      parameters.add(v);
      return v;
    }

    private Value unit(String name, Value x, int out, int k, int stride, int groups, boolean relu) {
      int in = x.shape().get(1);
      double deviation = Math.sqrt(2.0 * groups / (k * k * in));
      Value w = parameter(name + ".w", true, deviation, out, in / groups, k, k);
      Value y = b.convolution(x, w, stride, groups);
      return b.batchNorm(
          y,
          parameter(name + ".gamma", false, 1, out),
          parameter(name + ".beta", false, 1, out),
          b.parameter("statistics", name + ".mean", false, new Initial.Constant(0), out),
          b.parameter("statistics", name + ".variance", false, new Initial.Constant(1), out),
          b.control("momentum", Type.F32),
          1e-5f,
          relu);
    }

    private Value block(String name, Value x, int k, int stride, int groups) {
      Value y = unit(name + ".expand", x, 2 * CHANNELS, 1, 1, groups, true);
      if (groups > 1) {
        y = b.channelShuffle(y, groups);
      }
      y = unit(name + ".depthwise", y, 2 * CHANNELS, k, stride, 2 * CHANNELS, true);
      y = unit(name + ".project", y, CHANNELS, 1, 1, groups, false);
      return stride == 1 ? b.sum(List.of(x, y)) : y;
    }

    SmallSupernet build(int batch, boolean noisePerImage, Update update) {
      Value theta = b.parameter("theta", "theta", true, new Initial.Normal(1), 2, 3);
      Value m =
          b.gumbelSoftmax(
              theta,
              b.control("tau", Type.F32),
              b.control("seed", Type.I64),
              b.control("step", Type.I64),
              noisePerImage ? batch : 1,
              1);
      List<Value> coefficients = b.unstack(m);
      Value x = unit("stem", b.input("images", Type.F32, batch, 3, 7, 7), CHANNELS, 3, 1, 1, true);
      x =
          b.weightedSum(
              List.of(
                  block("0.k3", x, 3, 2, 1),
                  block("0.k5", x, 5, 2, 1),
                  unit("0.skip", x, CHANNELS, 1, 2, 1, true)),
              coefficients.get(0));
      x =
          b.weightedSum(
              List.of(block("1.k3", x, 3, 1, 2), block("1.k5", x, 5, 1, 1), x),
              coefficients.get(1));
      // No batch norm here: it would take out every shift before it, and with them the gradients of
      // the blocks' last betas.
      Value head = b.convolution(x, parameter("head.w", true, 0.3, 40, CHANNELS, 1, 1), 1, 1);
      Value pooled = b.globalPool(head);
      Value logits =
          b.linear(
              pooled,
              parameter("classifier.w", true, 0.3, CLASSES, 40),
              parameter("classifier.b", false, 0.3, CLASSES));
      Value labels = b.input("labels", Type.I32, batch);
      Value ce = b.crossEntropy(logits, labels);
      Value latency = b.dotConstants(m, Constants.of(300, 420, 60, 310, 440, 15), 120);
      Value log = b.pointwise(latency, Op.Function.LOG, (float) Math.E);
      Value power = b.pointwise(log, Op.Function.POWER, 0.6f);
      Value total = b.multiply(ce, b.pointwise(power, Op.Function.SCALE, 0.2f));
      Value loss = b.mean(total);
      parameters.add(theta);
      Map<Value, Value> gradients =
          new LinkedHashMap<>(Autodiff.gradients(b, loss, List.copyOf(parameters)));
      b.output("loss", loss);
      b.output("rank", b.labelRank(logits, labels));
      gradients.forEach((p, g) -> b.output("d " + p.name(), g));
      if (update == Update.BOTH_OPTIMISERS) {
        update(loss);
      }
      return new SmallSupernet(b.build(), loss, gradients);
    }

    private void update(Value loss) {
      Value finite =
          b.allFinite(
              List.of(
                  loss,
                  b.flat("weights", Storage.Flat.GRADIENTS),
                  b.flat("theta", Storage.Flat.GRADIENTS)));
      b.output("finite", finite);
      Value rate = b.control("rate", Type.F32);
      b.sgd("weights", rate, finite, 0.9f, 1e-4f);
      b.adam("theta", rate, b.control("count", Type.F32), finite, 0.9f, 0.999f, 1e-8f, 5e-4f);
    }
  }
}
