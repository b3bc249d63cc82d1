package io.fbnet.nas.kit;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.engine.graph.Storage;
import io.fbnet.nas.onnx.ParameterValues;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/**
 * Numbers for networks that are only timed: drawn, so that no batch norm is the identity and no
 * bias nothing, which a run time could leave out.
 */
final class FreshValues {
  private FreshValues() {}

  /** Values of all parameters of a graph; equal graphs give equal values. */
  static ParameterValues of(Graph graph) {
    Random random = new Random(1);
    Map<Storage.Parameter, float[]> values = new HashMap<>();
    for (ParameterSpec spec : graph.parameters()) {
      float[] drawn = new float[Math.toIntExact(spec.shape().elements())];
      for (int i = 0; i < drawn.length; i++) {
        drawn[i] = draw(spec.initial(), random);
      }
      values.put(new Storage.Parameter(spec.set(), spec.name()), drawn);
    }
    return (set, name) -> values.get(new Storage.Parameter(set, name));
  }

  private static float draw(ParameterSpec.Initial initial, Random random) {
    return switch (initial) {
      case ParameterSpec.Initial.Normal normal ->
          (float) (normal.deviation() * random.nextGaussian());
      // Scales and variances start at 1 and must stay positive; biases and means start at 0.
      case ParameterSpec.Initial.Constant constant ->
          constant.value() + 0.5f * (random.nextFloat() - 0.5f);
    };
  }
}
