package io.fbnet.engine.program;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A training step through three layers of alternatives, each with a parameter set of its own: a
 * strided one, one with the identity and a shuffled block among them, and one of unlike costs.
 */
final class SmallPaths {
  static final String UPDATE = "update";
  static final int[] ALTERNATIVES = {3, 3, 2};
  static final int BATCH = 5;
  static final int CLASSES = 5;
  private static final int CHANNELS = 18;
  private static final String OUTLINE = "outline";

  private final GraphBuilder b = new GraphBuilder();
  private final Map<String, List<Value>> parameters = new LinkedHashMap<>();
  private String set = OUTLINE;

  private SmallPaths() {}

  /** The step with every alternative, of which each run takes one. */
  static Graph all() {
    return new SmallPaths().build(null);
  }

  /** The step of one path alone. */
  static Graph only(int[] path) {
    return new SmallPaths().build(path);
  }

  private Value parameter(String name, boolean decayed, Initial initial, int... shape) {
    Value v = b.parameter(set, name, decayed, initial, shape);
    parameters.computeIfAbsent(set, s -> new ArrayList<>()).add(v);
    return v;
  }

  private Value unit(String name, Value x, int out, int k, int stride, int groups, boolean relu) {
    int in = x.shape().get(1);
    Initial normal = new Initial.Normal(Math.sqrt(2.0 * groups / (k * k * in)));
    Value w = parameter(name + ".w", true, normal, out, in / groups, k, k);
    Value y = b.convolution(x, w, stride, groups);
    return b.batchNorm(
        y,
        parameter(name + ".gamma", false, new Initial.Normal(1), out),
        parameter(name + ".beta", false, new Initial.Normal(1), out),
        b.parameter("statistics", name + ".mean", false, new Initial.Constant(0), out),
        b.parameter("statistics", name + ".variance", false, new Initial.Constant(1), out),
        b.control("momentum", Type.F32),
        1e-5f,
        relu);
  }

  private Value block(String name, Value x, int expand, int k, int stride, int groups) {
    int inside = expand * CHANNELS;
    Value y = unit(name + ".expand", x, inside, 1, 1, groups, true);
    y = groups > 1 ? b.channelShuffle(y, groups) : y;
    y = unit(name + ".depthwise", y, inside, k, stride, inside, true);
    y = unit(name + ".project", y, CHANNELS, 1, 1, groups, false);
    return stride == 1 ? b.sum(List.of(x, y)) : y;
  }

  private Value alternative(int layer, int k, Value x) {
    String name = layer + "." + k;
    set = name;
    Value y =
        switch (3 * layer + k) {
          case 0 -> block(name, x, 2, 3, 2, 1);
          case 1 -> block(name, x, 1, 5, 2, 1);
          case 2 -> unit(name, x, CHANNELS, 1, 2, 1, true);
          case 3 -> block(name, x, 2, 3, 1, 2);
          case 4, 6 -> x;
          case 5 -> block(name, x, 1, 5, 1, 1);
          default -> block(name, x, 3, 3, 1, 1);
        };
    set = OUTLINE;
    return y;
  }

  private Graph build(int[] path) {
    Value x = unit("stem", b.input("images", Type.F32, BATCH, 3, 7, 7), CHANNELS, 3, 1, 1, true);
    for (int l = 0; l < ALTERNATIVES.length; l++) {
      if (path != null) {
        x = alternative(l, path[l], x);
        continue;
      }
      List<Value> xs = b.branch(x, l, ALTERNATIVES[l]);
      List<Value> ys = new ArrayList<>();
      for (int k = 0; k < xs.size(); k++) {
        ys.add(alternative(l, k, xs.get(k)));
      }
      x = b.choose(ys, l);
    }
    Value head =
        b.convolution(
            x, parameter("head.w", true, new Initial.Normal(0.3), 40, CHANNELS, 1, 1), 1, 1);
    Value logits =
        b.linear(
            b.globalPool(head),
            parameter("classifier.w", true, new Initial.Normal(0.3), CLASSES, 40),
            parameter("classifier.b", false, new Initial.Normal(0.3), CLASSES));
    Value labels = b.input("labels", Type.I32, BATCH);
    Value loss = b.mean(b.crossEntropy(logits, labels));
    b.output("loss", loss);
    b.output("rank", b.labelRank(logits, labels));
    Autodiff.gradients(b, loss, parameters.values().stream().flatMap(List::stream).toList());
    Value finite = b.allFinite(List.of(loss, b.flat(OUTLINE, Storage.Flat.GRADIENTS)));
    for (int l = 0; path == null && l < ALTERNATIVES.length; l++) {
      List<Value> before = b.branch(finite, l, ALTERNATIVES[l]);
      List<Value> after = new ArrayList<>();
      for (int k = 0; k < ALTERNATIVES[l]; k++) {
        String of = l + "." + k;
        // The identity has nothing that could be wrong.
        after.add(
            parameters.containsKey(of)
                ? b.multiply(
                    before.get(k), b.allFinite(List.of(b.flat(of, Storage.Flat.GRADIENTS))))
                : before.get(k));
      }
      finite = b.choose(after, l);
    }
    b.output("finite", finite);
    b.phase(UPDATE);
    Value rate = b.control("rate", Type.F32);
    Value always = b.fill(1, 1);
    parameters.keySet().forEach(of -> b.sgd(of, rate, always, 0.9f, 1e-2f));
    return b.build();
  }
}
