package io.fbnet.nas.network;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.engine.graph.Recompute;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Steps of a supernet of which each run takes one path: one candidate of every layer, by its index,
 * as {@link io.fbnet.engine.program.Program#run(String, int[])} is told. What a run costs is what
 * the network of that path would.
 */
public final class PathGraphs {
  /** The phase that moves the weights of a path's blocks by the gradients that were gathered. */
  public static final String UPDATE = "update";

  /** The phase that does the same to what all paths share: stem, head and classifier. */
  public static final String UPDATE_OUTLINE = "update outline";

  /** The learning rate. */
  public static final String RATE = "rate";

  /** What gradients of a path's blocks are multiplied by when they are gathered. */
  public static final String SHARE = "share";

  /** The same for what all paths share. */
  public static final String SHARE_OUTLINE = "share outline";

  /** What the cross-entropy with the labels counts for, where paths are distilled. */
  public static final String OF_LABELS = "of labels";

  /** What the cross-entropy with the teacher's probabilities counts for. */
  public static final String OF_TEACHER = "of teacher";

  /** The input of the teacher's probabilities, f32 [1,N,classes]. */
  public static final String TEACHER = "teacher";

  /** The output of a path's own probabilities [1,N,classes]. */
  public static final String PROBABILITIES = "probabilities";

  /** The output of the mean cross-entropy with the labels where {@code loss} is a weighted one. */
  public static final String CE = "ce";

  /** Below it a probability's logarithm falls no further. */
  private static final float LEAST_PROBABILITY = 1e-12f;

  /** The buffer of gathered gradients, zeros between updates. */
  public static final String GATHERED = "gathered";

  private static final String NO_NOISE = "no noise";

  private final SearchSpace space;
  private final Normalisation normalisation;
  private final boolean setsOfBlocks;
  private final boolean weighted;

  /**
   * Steps for a space, of images without weights.
   *
   * @param space whose candidates may be taken
   * @param normalisation what becomes of pixels before the network sees them
   * @param setsOfBlocks whether the parameters of each block in its place are a set of their own,
   *     as {@link #training} needs it; else all are one, as {@link SupernetGraphs} has them
   */
  public PathGraphs(SearchSpace space, Normalisation normalisation, boolean setsOfBlocks) {
    this(space, normalisation, setsOfBlocks, false);
  }

  private PathGraphs(
      SearchSpace space, Normalisation normalisation, boolean setsOfBlocks, boolean weighted) {
    this.weighted = weighted;
    this.space = space;
    this.normalisation = normalisation;
    this.setsOfBlocks = setsOfBlocks;
  }

  /**
   * {@return the same steps, of images that have weights or have none}
   *
   * @param whether each image's loss is multiplied by its weight when it is trained on, an input
   *     besides
   */
  public PathGraphs weighted(boolean whether) {
    return new PathGraphs(space, normalisation, setsOfBlocks, whether);
  }

  /**
   * {@return the names of the parameter sets that SGD trains}
   *
   * @param graph of a supernet
   */
  public static Set<String> weightSets(Graph graph) {
    Set<String> sets = new LinkedHashSet<>();
    graph
        .parameters()
        .forEach(
            p -> {
              if (p.set().startsWith(NetworkBuilder.WEIGHTS)) {
                sets.add(p.set());
              }
            });
    return sets;
  }

  /**
   * Checks that what a block trains is its own.
   *
   * @param graph of a supernet by paths
   * @throws UserException (exit code 3) where a block declares parameters in the set of what all
   *     paths share
   */
  public static void requireOwnSets(Graph graph) {
    for (ParameterSpec parameter : graph.parameters()) {
      if (parameter.set().equals(NetworkBuilder.WEIGHTS)
          && parameter.name().startsWith(NetworkBuilder.BLOCKS)) {
        throw UserException.data(
            "a block of one's own declares '%s' in the set that all paths share: it must name"
                + " BlockBuilder.weights() there for paths to train it, or take --strategy fbnet",
            parameter.name());
      }
    }
  }

  /**
   * A step that trains w by SGD on the cross-entropy of one path or several: a run of the first
   * phase adds its gradients, times {@link #SHARE}, to those gathered, runs of {@link #UPDATE} and
   * {@link #UPDATE_OUTLINE} move weights by them and empty them. Inputs: those of {@link
   * BatchInputs}. Outputs: loss and finite [1], rank [N], and ce [1] where images have weights: the
   * mean without them. Controls: {@link #RATE}, {@link #SHARE}, {@link
   * NetworkBuilder#NORM_MOMENTUM}.
   *
   * @param batch images a run, N
   * @param momentum of SGD
   * @param weightDecay batch norms and biases spared
   * @param lean whether the inside of each block is computed twice instead of kept
   * @return the graph
   */
  public Graph training(int batch, double momentum, double weightDecay, boolean lean) {
    return training(batch, momentum, weightDecay, lean, false);
  }

  /**
   * The same, of paths that may learn from another's probabilities instead of the labels. Input
   * besides: {@link #TEACHER}, each image's times its weight where it has one. Output: {@link
   * #PROBABILITIES}. Controls: {@link #OF_LABELS}, {@link #OF_TEACHER}.
   *
   * @param batch images a run, N
   * @param momentum of SGD
   * @param weightDecay batch norms and biases spared
   * @param lean whether the inside of each block is computed twice instead of kept
   * @return the graph
   */
  public Graph distillation(int batch, double momentum, double weightDecay, boolean lean) {
    return training(batch, momentum, weightDecay, lean, true);
  }

  private Graph training(
      int batch, double momentum, double weightDecay, boolean lean, boolean distils) {
    GraphBuilder b = new GraphBuilder();
    NetworkBuilder network = new NetworkBuilder(b, space, NormMode.TRAIN, setsOfBlocks);
    Value logits = network.paths(network.images(batch, normalisation));
    Value labels = BatchInputs.labels(b, batch);
    Value ce = b.crossEntropy(logits, labels);
    Value ofLabels = b.mean(BatchInputs.weighted(b, ce, weighted));
    if (weighted) {
      b.output(CE, b.mean(ce));
    }
    Value loss = distils ? distilled(b, logits, ofLabels) : ofLabels;
    b.output("loss", loss);
    b.output("rank", b.labelRank(logits, labels));
    Set<String> sets = weightSets(b.build());
    List<Value> weights = new ArrayList<>();
    sets.forEach(set -> weights.addAll(SupernetGraphs.parameters(b, set)));
    Autodiff.gradients(b, loss, weights);
    b.output("finite", finite(b, network, sets, loss));
    Value one = b.fill(1, 1);
    for (String set : sets) {
      String share = set.equals(NetworkBuilder.WEIGHTS) ? SHARE_OUTLINE : SHARE;
      b.blend(set, GATHERED, Storage.Flat.GRADIENTS, one, b.control(share, Type.F32), one);
    }
    b.phase(UPDATE_OUTLINE);
    update(b, Set.of(NetworkBuilder.WEIGHTS), momentum, weightDecay);
    b.phase(UPDATE);
    sets.remove(NetworkBuilder.WEIGHTS);
    update(b, sets, momentum, weightDecay);
    return lean ? Recompute.insideCandidates(b.build()) : b.build();
  }

  private Value distilled(GraphBuilder b, Value logits, Value ofLabels) {
    int batch = logits.shape().get(0);
    int classes = space.classes();
    Value none = b.control(NO_NOISE, Type.I64);
    Value probabilities =
        b.gumbelSoftmax(logits, b.fill(1, 1), none, none, 1, Op.GumbelSoftmax.NO_NOISE);
    b.output(PROBABILITIES, probabilities);
    Value teacher = b.input(TEACHER, Type.F32, 1, batch, classes);
    Value log = b.pointwise(probabilities, Op.Function.LOG, LEAST_PROBABILITY);
    // The mean is over images and classes; the cross-entropy sums over classes.
    Value ofTeacher = b.pointwise(b.mean(b.multiply(log, teacher)), Op.Function.SCALE, -classes);
    return b.sum(
        List.of(
            b.multiply(ofLabels, b.control(OF_LABELS, Type.F32)),
            b.multiply(ofTeacher, b.control(OF_TEACHER, Type.F32))));
  }

  private static void update(
      GraphBuilder b, Set<String> sets, double momentum, double weightDecay) {
    Value rate = b.control(RATE, Type.F32);
    Value zero = b.fill(0, 1);
    Value always = b.fill(1, 1);
    for (String set : sets) {
      b.sgd(set, GATHERED, rate, always, (float) momentum, (float) weightDecay);
      b.blend(set, GATHERED, Storage.Flat.GRADIENTS, zero, zero, always);
    }
  }

  /** 1 where the loss and the gradients of the path are finite. */
  private Value finite(GraphBuilder b, NetworkBuilder network, Set<String> sets, Value loss) {
    Value finite =
        b.allFinite(List.of(loss, b.flat(NetworkBuilder.WEIGHTS, Storage.Flat.GRADIENTS)));
    int candidates = space.blocks().size();
    for (LayerSpec layer : space.layers()) {
      List<Value> before = b.branch(finite, layer.index(), candidates);
      List<Value> after = new ArrayList<>();
      for (int k = 0; k < candidates; k++) {
        String set = network.setOf(layer, space.blocks().get(k));
        after.add(
            sets.contains(set)
                ? b.multiply(
                    before.get(k), b.allFinite(List.of(b.flat(set, Storage.Flat.GRADIENTS))))
                : before.get(k));
      }
      finite = b.choose(after, layer.index());
    }
    return finite;
  }

  /**
   * Logits, loss and rank by the running statistics. Inputs: those of {@link BatchInputs}. Outputs:
   * logits [N,classes], ce and rank [N].
   *
   * @param batch images a run, N
   * @return the graph
   */
  public Graph evaluation(int batch) {
    GraphBuilder b = new GraphBuilder();
    NetworkBuilder network = new NetworkBuilder(b, space, NormMode.INFERENCE, setsOfBlocks);
    Value logits = network.paths(network.images(batch, normalisation));
    Value labels = BatchInputs.labels(b, batch);
    b.output("logits", logits);
    b.output("ce", b.crossEntropy(logits, labels));
    b.output("rank", b.labelRank(logits, labels));
    return b.build();
  }

  /**
   * A forward pass that only moves the running statistics of a path. Inputs: those of {@link
   * BatchInputs}, without labels. Output: logits [N,classes]. Control: {@link
   * NetworkBuilder#NORM_MOMENTUM}.
   *
   * @param batch images a run, N
   * @return the graph
   */
  public Graph recalibration(int batch) {
    GraphBuilder b = new GraphBuilder();
    NetworkBuilder network = new NetworkBuilder(b, space, NormMode.TRAIN, setsOfBlocks);
    b.output("logits", network.paths(network.images(batch, normalisation)));
    return b.build();
  }
}
