package io.fbnet.nas.network;

import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.UserException;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.LayerSpec;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/**
 * What of a network learns, and how fast. What is frozen is a beginning of the network, so the
 * backward pass stops there: frozen weights have no gradients, and batch norms beside them work by
 * running statistics, which stay. They lie in parameter sets of their own, to which nothing writes.
 *
 * @param frozen parts that stay as they are: 0 none, 1 the stem, 1 + n the stem and n stages
 * @param backboneRate what the learning rate of all but the classifier is multiplied by
 */
public record FineTuning(int frozen, double backboneRate) {
  /** Everything learns, at one rate. */
  public static final FineTuning NONE = new FineTuning(0, 1);

  private static final String FROZEN = "frozen";
  private static final String FROZEN_STATISTICS = "frozen statistics";
  private static final String BACKBONE = "backbone";

  /**
   * Checks the numbers.
   *
   * @throws IllegalArgumentException if less than nothing is frozen, or the rate is not above 0
   */
  public FineTuning {
    if (frozen < 0 || !(backboneRate > 0)) {
      throw new IllegalArgumentException("from 0 frozen parts up, and a rate above 0");
    }
  }

  /** A whole network of which this learns: logits [N,classes]. */
  Value network(GraphBuilder b, Architecture architecture, Value images) {
    NetworkBuilder stays =
        new NetworkBuilder(b, architecture.space(), NormMode.INFERENCE, FROZEN, FROZEN_STATISTICS);
    NetworkBuilder learns =
        new NetworkBuilder(
            b, architecture.space(), NormMode.TRAIN, backbone(), NetworkBuilder.STATISTICS);
    Value x = (frozen > 0 ? stays : learns).stem(images);
    for (LayerSpec layer : architecture.space().layers()) {
      x = (stays(layer) ? stays : learns).block(layer, architecture.blocks().get(layer.index()), x);
      requireOwnSet(b, layer);
    }
    return learns.head(x);
  }

  private boolean stays(LayerSpec layer) {
    return layer.stage() < frozen - 1;
  }

  /** Where the weights of all that learns lie, but for the classifier's: one set at one rate. */
  private String backbone() {
    return backboneRate == 1 ? NetworkBuilder.WEIGHTS : BACKBONE;
  }

  /** What a block of one's own puts into a set that it names itself would learn like the head. */
  private void requireOwnSet(GraphBuilder b, LayerSpec layer) {
    if (!stays(layer) && backboneRate == 1) {
      return;
    }
    for (ParameterSpec parameter : b.build().parameters()) {
      if (parameter.set().equals(NetworkBuilder.WEIGHTS)
          && parameter.name().startsWith(NetworkBuilder.BLOCKS + layer.index() + ".")) {
        throw UserException.data(
            "a block of one's own declares '%s' in the set that always learns: it must name"
                + " BlockBuilder.weights() there for --freeze and --backbone-rate to hold",
            parameter.name());
      }
    }
  }

  /** {@return the parameter sets that learn, each with the factor of its learning rate} */
  public Map<String, Double> rates() {
    Map<String, Double> rates = new LinkedHashMap<>();
    rates.put(backbone(), backboneRate);
    rates.putIfAbsent(NetworkBuilder.WEIGHTS, 1.0);
    return rates;
  }

  /** {@return the parameter sets that a step changes: those that learn, and running statistics} */
  public Set<String> changing() {
    Set<String> sets = new LinkedHashSet<>(rates().keySet());
    sets.add(NetworkBuilder.STATISTICS);
    return sets;
  }
}
