package io.fbnet.nas.network;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.List;

/** Graphs of one architecture, with its own weights or a supernet's. */
public final class ArchitectureGraphs {
  private ArchitectureGraphs() {}

  /**
   * Logits and, for labelled images, loss and rank by the running statistics. Inputs: those of
   * {@link BatchInputs}. Outputs: logits [N,classes], ce and rank [N]; rank is how many other
   * classes have no smaller logit than the label's.
   *
   * @param architecture the network
   * @param batch images a run, N
   * @param normalisation what becomes of pixels before the network sees them
   * @return the graph
   */
  public static Graph evaluation(
      Architecture architecture, int batch, Normalisation normalisation) {
    GraphBuilder b = new GraphBuilder();
    NetworkBuilder network = new NetworkBuilder(b, architecture.space(), NormMode.INFERENCE);
    Value logits = network.network(network.images(batch, normalisation), architecture.blocks());
    Value labels = BatchInputs.labels(b, batch);
    b.output("logits", logits);
    b.output("ce", b.crossEntropy(logits, labels));
    b.output("rank", b.labelRank(logits, labels));
    return b.build();
  }

  /**
   * Logits alone, for timing and export. Input: images f32 [N,C,H,W]. Output: logits [N,classes].
   *
   * @param architecture the network
   * @param batch images a run, N
   * @return the graph
   */
  public static Graph inference(Architecture architecture, int batch) {
    GraphBuilder b = new GraphBuilder();
    NetworkBuilder network = new NetworkBuilder(b, architecture.space(), NormMode.INFERENCE);
    b.output("logits", network.network(network.images(batch), architecture.blocks()));
    return b.build();
  }

  /**
   * A forward pass that only moves the running statistics. Inputs: those of {@link BatchInputs},
   * without labels. Output: logits [N,classes]. Control: {@link NetworkBuilder#NORM_MOMENTUM}.
   *
   * @param architecture the network
   * @param batch images a run, N
   * @param normalisation what becomes of pixels before the network sees them
   * @return the graph
   */
  public static Graph recalibration(
      Architecture architecture, int batch, Normalisation normalisation) {
    GraphBuilder b = new GraphBuilder();
    NetworkBuilder network = new NetworkBuilder(b, architecture.space(), NormMode.TRAIN);
    b.output(
        "logits", network.network(network.images(batch, normalisation), architecture.blocks()));
    return b.build();
  }

  /**
   * A training step by SGD on cross-entropy; see {@link TrainingStep} for its controls. Inputs:
   * those of {@link BatchInputs}. Outputs: loss [1], ce and rank [N], finite [1].
   *
   * @param architecture the network
   * @param batch images a run, N
   * @param normalisation what becomes of pixels before the network sees them
   * @param how the step ends
   * @return the graph
   */
  public static Graph training(
      Architecture architecture, int batch, Normalisation normalisation, TrainingStep how) {
    return training(architecture, batch, normalisation, how, FineTuning.NONE);
  }

  /**
   * The same of a part of the network, or at unequal rates.
   *
   * @param architecture the network
   * @param batch images a run, N
   * @param normalisation what becomes of pixels before the network sees them
   * @param how the step ends
   * @param tuning what learns
   * @return the graph
   */
  public static Graph training(
      Architecture architecture,
      int batch,
      Normalisation normalisation,
      TrainingStep how,
      FineTuning tuning) {
    GraphBuilder b = new GraphBuilder();
    Value images = BatchInputs.images(b, architecture.space().input(), batch, normalisation);
    Value logits = tuning.network(b, architecture, images);
    Value labels = BatchInputs.labels(b, batch);
    Value ce = b.crossEntropy(logits, labels);
    float smoothing = (float) how.labelSmoothing();
    Value target = smoothing == 0 ? ce : b.crossEntropy(logits, labels, smoothing);
    Value each = BatchInputs.weighted(b, target, how.weighted() || how.mixed());
    if (how.mixed()) {
      Value partners = b.input(BatchInputs.PARTNER_LABELS, Type.I32, batch);
      Value weights = b.input(BatchInputs.PARTNER_WEIGHTS, Type.F32, batch);
      Value other = b.crossEntropy(logits, partners, smoothing);
      each = b.sum(List.of(each, b.multiply(other, weights)));
    }
    Value loss = b.mean(each);
    b.output("loss", loss);
    b.output("ce", ce);
    b.output("rank", b.labelRank(logits, labels));
    List<Value> learn = new ArrayList<>();
    tuning.rates().keySet().forEach(set -> learn.addAll(SupernetGraphs.parameters(b, set)));
    Autodiff.gradients(b, loss, learn);
    how.update(b, loss, tuning);
    return b.build();
  }

  /**
   * One block at its real shape, for timing. Input: x f32 [N, layer.inChannels, layer.inHeight,
   * layer.inWidth]. Output: y.
   *
   * @param space the space of the layer
   * @param layer the block's place
   * @param block the block
   * @param batch images a run, N
   * @return the graph
   */
  public static Graph block(SearchSpace space, LayerSpec layer, Block block, int batch) {
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, batch, layer.inChannels(), layer.inHeight(), layer.inWidth());
    b.output("y", new NetworkBuilder(b, space, NormMode.INFERENCE).block(layer, block, x));
    return b.build();
  }

  /**
   * The stem, for timing. Input: images f32 [N,C,H,W]. Output: y.
   *
   * @param space whose stem
   * @param batch images a run, N
   * @return the graph
   */
  public static Graph stem(SearchSpace space, int batch) {
    GraphBuilder b = new GraphBuilder();
    NetworkBuilder network = new NetworkBuilder(b, space, NormMode.INFERENCE);
    b.output("y", network.stem(network.images(batch)));
    return b.build();
  }

  /**
   * Head, pooling and classifier, for timing. Input: x f32, what the last searchable layer gives.
   * Output: y [N,classes].
   *
   * @param space whose head
   * @param batch images a run, N
   * @return the graph
   */
  public static Graph head(SearchSpace space, int batch) {
    GraphBuilder b = new GraphBuilder();
    LayerSpec last = space.layers().getLast();
    Value x = b.input("x", Type.F32, batch, last.outChannels(), last.outHeight(), last.outWidth());
    b.output("y", new NetworkBuilder(b, space, NormMode.INFERENCE).head(x));
    return b.build();
  }
}
