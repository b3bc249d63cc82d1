package io.fbnet.nas.network;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Recompute;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * The two training steps of the stochastic supernet (arXiv 1812.03443): each layer's output is the
 * sum of its candidates weighted by one sample m of Gumbel-softmax, and the same m gives the
 * latency. The loss is the mean over images of CE * alpha * log(LAT)^beta, LAT in microseconds,
 * times the images' weights where they have any.
 */
public final class SupernetGraphs {
  /** The parameter set of theta, one tensor [layers, candidates]. */
  public static final String THETA = "theta";

  /** log(LAT) is taken of at least e microseconds: below, a power of it is no number. */
  public static final float LEAST_MICROSECONDS = (float) Math.E;

  private static final double MICROSECONDS = 1000;
  static final int NOISE_STREAM = 1;
  private static final float ADAM_EPSILON = 1e-8f;
  private static final float ADAM_BETA1 = 0.9f;
  private static final float ADAM_BETA2 = 0.999f;

  private final SearchSpace space;
  private final Normalisation normalisation;
  private final LossSettings loss;
  private final double fixedMs;
  private final double[][] layersMs;
  private final List<Penalty> penalties;
  private final boolean lean;
  private final boolean setsOfBlocks;
  private final boolean weighted;

  /**
   * What the steps minimise and how they move.
   *
   * @param alpha factor of the latency term
   * @param beta exponent of log(LAT)
   * @param crossEntropyOnly whether w steps leave the latency factor out
   * @param noisePerImage whether each image draws its own m, or the batch one
   * @param hard whether m is the one-hot of its largest, with the gradient passed straight through;
   *     all candidates are computed all the same
   * @param momentum of SGD on w
   * @param weightDecay of w, batch norms spared
   * @param thetaWeightDecay of theta
   * @param noise whether m is a sample of Gumbel-softmax, else the softmax of theta / tau
   */
  public record LossSettings(
      double alpha,
      double beta,
      boolean crossEntropyOnly,
      boolean noisePerImage,
      boolean hard,
      double momentum,
      double weightDecay,
      double thetaWeightDecay,
      boolean noise) {
    /** The paper's: alpha 0.2, beta 0.6, momentum 0.9, decay 1e-4 of w and 5e-4 of theta. */
    public static final LossSettings PAPER =
        new LossSettings(0.2, 0.6, false, false, false, 0.9, 1e-4, 5e-4, true);

    /** {@return the same without the product with the latency, for losses with a target} */
    public LossSettings withoutProduct() {
      return new LossSettings(
          1,
          0,
          crossEntropyOnly,
          noisePerImage,
          hard,
          momentum,
          weightDecay,
          thetaWeightDecay,
          noise);
    }

    /** {@return the same without noise} */
    public LossSettings withoutNoise() {
      return new LossSettings(
          alpha,
          beta,
          crossEntropyOnly,
          false,
          hard,
          momentum,
          weightDecay,
          thetaWeightDecay,
          false);
    }
  }

  /**
   * A term that the theta step adds to its loss: a control scalar times (fixed + sum over layers l
   * of the dot product of softmax(theta[l]) and costs[l]), which is an output too. It is the exact
   * expectation: a soft sample at a high temperature says little of what will be drawn, one at a
   * low temperature has hardly a gradient.
   *
   * @param control the scalar's name
   * @param excess the output's name
   * @param fixed what every architecture adds, in the unit of costs
   * @param costs numbers of [layer][candidate]
   */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  public record Penalty(String control, String excess, double fixed, double[][] costs) {}

  /**
   * Steps for a space and its latencies.
   *
   * @param space whose candidates are mixed
   * @param normalisation what becomes of pixels before the network sees them
   * @param loss what is minimised and how weights and theta move
   * @param fixedMs milliseconds outside the searchable layers
   * @param layersMs milliseconds of [layer][candidate]; not copied
   * @param penalties further terms of the theta step's loss
   * @param lean whether candidates are computed twice, one at a time, instead of kept: the same
   *     bits in less memory and more time
   */
  public SupernetGraphs(
      SearchSpace space,
      Normalisation normalisation,
      LossSettings loss,
      double fixedMs,
      double[][] layersMs,
      List<Penalty> penalties,
      boolean lean) {
    this(space, normalisation, loss, fixedMs, layersMs, penalties, lean, false, false);
  }

  private SupernetGraphs(
      SearchSpace space,
      Normalisation normalisation,
      LossSettings loss,
      double fixedMs,
      double[][] layersMs,
      List<Penalty> penalties,
      boolean lean,
      boolean setsOfBlocks,
      boolean weighted) {
    this.setsOfBlocks = setsOfBlocks;
    this.weighted = weighted;
    this.lean = lean;
    this.penalties = List.copyOf(penalties);
    this.space = space;
    this.normalisation = normalisation;
    this.loss = loss;
    this.fixedMs = fixedMs;
    this.layersMs = layersMs;
  }

  /**
   * {@return the same steps on the parameters of {@link PathGraphs#training}, for theta steps: each
   * block's are a set of their own}
   */
  public SupernetGraphs withSetsOfBlocks() {
    return new SupernetGraphs(
        space, normalisation, loss, fixedMs, layersMs, penalties, lean, true, weighted);
  }

  /**
   * {@return the same steps, of images that have weights or have none}
   *
   * @param whether each image's loss is multiplied by its weight, an input besides
   */
  public SupernetGraphs weighted(boolean whether) {
    return new SupernetGraphs(
        space, normalisation, loss, fixedMs, layersMs, penalties, lean, setsOfBlocks, whether);
  }

  /** What a forward pass leaves for the two steps. */
  record Forward(Value theta, Value seed, Value step, Value loss) {}

  /** What becomes of a layer's input. */
  private enum Through {
    /** All candidates, mixed. */
    MIXTURE,
    /** The one that the run takes, whose coefficient is 1 and has a gradient. */
    PATH
  }

  private Forward forward(
      GraphBuilder b, int batch, NormMode mode, boolean latencyInLoss, Through through) {
    NetworkBuilder network = new NetworkBuilder(b, space, mode, setsOfBlocks);
    Value images = network.images(batch, normalisation);
    Value labels = BatchInputs.labels(b, batch);
    Value theta = theta(b);
    Value seed = b.control("seed", Type.I64);
    Value step = b.control("step", Type.I64);
    boolean path = through == Through.PATH;
    int rows = loss.noisePerImage() && !path ? batch : 1;
    int stream = loss.noise() ? NOISE_STREAM : Op.GumbelSoftmax.NO_NOISE;
    Value soft = b.gumbelSoftmax(theta, b.control("tau", Type.F32), seed, step, rows, stream);
    Value m = loss.hard() || path ? b.hardMax(soft) : soft;
    List<Value> coefficients = b.unstack(m);
    Value x = network.stem(images);
    for (LayerSpec layer : space.layers()) {
      Value own = coefficients.get(layer.index());
      x =
          path
              ? network.chosen(layer, x, Optional.of(own))
              : b.weightedSum(network.candidates(layer, x), own);
    }
    Value logits = network.head(x);
    Value ce = b.crossEntropy(logits, labels);
    Value latency = dot(b, m, fixedMs, layersMs, MICROSECONDS);
    Value total = ce;
    if (latencyInLoss) {
      Value log = b.pointwise(latency, Op.Function.LOG, LEAST_MICROSECONDS);
      Value power = b.pointwise(log, Op.Function.POWER, (float) loss.beta());
      total = b.multiply(ce, b.pointwise(power, Op.Function.SCALE, (float) loss.alpha()));
    }
    b.output("ce", b.mean(ce));
    b.output("latency us", b.mean(latency));
    b.output("rank", b.labelRank(logits, labels));
    return new Forward(theta, seed, step, b.mean(BatchInputs.weighted(b, total, weighted)));
  }

  /** scale * (fixed + the dot product of each row of m and the costs). */
  private static Value dot(GraphBuilder b, Value m, double fixed, double[][] costs, double scale) {
    double[] flat = Arrays.stream(costs).flatMapToDouble(Arrays::stream).toArray();
    float[] scaled = new float[flat.length];
    for (int i = 0; i < flat.length; i++) {
      scaled[i] = (float) (flat[i] * scale);
    }
    return b.dotConstants(m, Constants.of(scaled), (float) (fixed * scale));
  }

  /** The forward pass's loss and every penalty. */
  private Value penalised(GraphBuilder b, Forward forward) {
    if (penalties.isEmpty()) {
      return forward.loss();
    }
    Value probabilities =
        b.gumbelSoftmax(
            forward.theta(),
            b.fill(1, 1),
            forward.seed(),
            forward.step(),
            1,
            Op.GumbelSoftmax.NO_NOISE);
    List<Value> terms = new ArrayList<>(List.of(forward.loss()));
    for (Penalty penalty : penalties) {
      Value excess = dot(b, probabilities, penalty.fixed(), penalty.costs(), 1);
      b.output(penalty.excess(), excess);
      terms.add(b.multiply(excess, b.control(penalty.control(), Type.F32)));
    }
    return b.sum(terms);
  }

  /**
   * The step that trains w by SGD. Inputs: those of {@link BatchInputs}. Outputs: loss, ce and
   * finite [1], latency us [1] (the mean), rank [N]. Controls: tau, seed, step, rate, norm
   * momentum.
   *
   * @param batch images a run, N
   * @return the graph
   */
  public Graph weightStep(int batch) {
    GraphBuilder b = new GraphBuilder();
    Forward forward = weightLoss(b, batch, NormMode.TRAIN);
    List<Value> weights = parameters(b, NetworkBuilder.WEIGHTS);
    Autodiff.gradients(b, forward.loss(), weights);
    Value finite = finite(b, forward.loss(), NetworkBuilder.WEIGHTS);
    sgd(b, b.control("rate", Type.F32), finite);
    return step(b);
  }

  private Forward weightLoss(GraphBuilder b, int batch, NormMode mode) {
    Forward forward = forward(b, batch, mode, !loss.crossEntropyOnly(), Through.MIXTURE);
    b.output("loss", forward.loss());
    return forward;
  }

  /** The loss of w by the mixture, and all outputs of a step but {@code finite}; norms rest. */
  Forward weightLoss(GraphBuilder b, int batch) {
    return weightLoss(b, batch, NormMode.TRAIN_WITHOUT_UPDATE);
  }

  /** Moves w by the gradients that lie there, where a flag [1] is 1. */
  void sgd(GraphBuilder b, Value rate, Value finite) {
    b.sgd(
        NetworkBuilder.WEIGHTS, rate, finite, (float) loss.momentum(), (float) loss.weightDecay());
  }

  /**
   * The step that trains theta by Adam; inputs as in {@link #weightStep}, outputs too, and those of
   * the penalties [1], of theta before its update. Controls: tau, seed, step, rate, count, and
   * those of the penalties.
   *
   * @param batch images a run, N
   * @return the graph
   */
  public Graph thetaStep(int batch) {
    return thetaStep(batch, Through.MIXTURE);
  }

  /**
   * The same by one path, that of {@link #draw} at the same controls, which the run is told: the
   * candidates taken are multiplied by the 1 of a hard sample, whose gradient is that of the soft
   * one (GDAS, arXiv 1910.04465).
   *
   * @param batch images a run, N
   * @return the graph
   */
  public Graph thetaPathStep(int batch) {
    return thetaStep(batch, Through.PATH);
  }

  private Graph thetaStep(int batch, Through through) {
    GraphBuilder b = new GraphBuilder();
    Forward forward = thetaLoss(b, batch, through);
    Autodiff.gradients(b, forward.loss(), List.of(forward.theta()));
    adam(b, finite(b, forward.loss(), THETA));
    return step(b);
  }

  private Forward thetaLoss(GraphBuilder b, int batch, Through through) {
    Forward forward = forward(b, batch, NormMode.TRAIN_WITHOUT_UPDATE, true, through);
    Value total = penalised(b, forward);
    b.output("loss", total);
    return new Forward(forward.theta(), forward.seed(), forward.step(), total);
  }

  /** The loss of theta by the mixture, and all outputs of a step but {@code finite}. */
  Forward thetaLoss(GraphBuilder b, int batch) {
    return thetaLoss(b, batch, Through.MIXTURE);
  }

  /** Moves theta by the gradients that lie there, where a flag [1] is 1. */
  void adam(GraphBuilder b, Value finite) {
    b.adam(
        THETA,
        b.control("rate", Type.F32),
        b.control("count", Type.F32),
        finite,
        ADAM_BETA1,
        ADAM_BETA2,
        ADAM_EPSILON,
        (float) loss.thetaWeightDecay());
  }

  /**
   * The hard sample that {@link #thetaPathStep} takes. Controls: tau, seed, step. Output: path
   * [1,L,K], one 1 a layer.
   *
   * @return the graph
   */
  public Graph draw() {
    GraphBuilder b = new GraphBuilder();
    Value theta = theta(b);
    Value tau = b.control("tau", Type.F32);
    Value soft =
        b.gumbelSoftmax(
            theta, tau, b.control("seed", Type.I64), b.control("step", Type.I64), 1, NOISE_STREAM);
    b.output("path", b.hardMax(soft));
    return b.build();
  }

  private Value theta(GraphBuilder b) {
    return b.parameter(
        THETA, "theta", true, new Initial.Constant(0), space.layerCount(), space.blocks().size());
  }

  /** What was built, lean if that is wanted. */
  Graph step(GraphBuilder b) {
    return lean ? Recompute.insideCandidates(b.build()) : b.build();
  }

  private static Value finite(GraphBuilder b, Value loss, String set) {
    Value finite = b.allFinite(List.of(loss, b.flat(set, Storage.Flat.GRADIENTS)));
    b.output("finite", finite);
    return finite;
  }

  /** Every parameter of a set that the graph declares. */
  static List<Value> parameters(GraphBuilder b, String set) {
    List<Value> values = new ArrayList<>();
    b.build()
        .storage()
        .forEach(
            (value, storage) -> {
              if (storage instanceof Storage.Parameter p && p.set().equals(set)) {
                values.add(value);
              }
            });
    values.sort(java.util.Comparator.comparingInt(Value::id));
    return values;
  }
}
