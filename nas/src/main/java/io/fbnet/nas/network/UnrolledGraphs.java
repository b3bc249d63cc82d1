package io.fbnet.nas.network;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.List;

/**
 * A theta step of second order (DARTS, arXiv 1806.09055, equations 7 and 8): theta's gradient where
 * one step of w would lead, less the rate of that step times a finite difference of theta's
 * gradient at w moved forth and back along the gradient of w there. Two programs on the same
 * parameters: {@link #weightGradients} of images that train w, {@link #thetaGradients} of images
 * that train theta. A step is
 *
 * <ol>
 *   <li>the first phase and {@link #LOOK_AHEAD} of the former,
 *   <li>the first phase and {@link #MOVE_FORTH} of the latter,
 *   <li>the first phase of the former and {@link #MOVE_BACK} of the latter,
 *   <li>the first phase of the former and {@link #UPDATE} of the latter,
 * </ol>
 *
 * always on the same two batches. After it w and its velocity are what they were, bit for bit.
 */
public final class UnrolledGraphs {
  /**
   * The phase that keeps w and its velocity aside and takes a step of SGD by {@link #LOOK_RATE}.
   */
  public static final String LOOK_AHEAD = "look ahead";

  /** The phase that keeps theta's gradient and moves w forth, from where it was. */
  public static final String MOVE_FORTH = "move forth";

  /** The phase that takes theta's gradient there into account and moves w back. */
  public static final String MOVE_BACK = "move back";

  /** The phase that does so again, puts w back and moves theta. */
  public static final String UPDATE = "update";

  /** The rate of the step of w that is looked ahead, a control of both programs. */
  public static final String LOOK_RATE = "look rate";

  /** How often a step runs the first phase of {@link #weightGradients}. */
  public static final int LOOKS = 3;

  private static final String KEPT = "kept";
  private static final String KEPT_VELOCITY = "kept velocity";
  private static final String VELOCITY = "velocity";
  private static final String DIRECTION = "direction";
  private static final String SUM = "sum";

  /** How far w is moved: this over the length of the direction, as in the paper. */
  private static final float REACH = 0.01f;

  /** Keeps a direction of zeros from being divided by. */
  private static final float LEAST_SQUARE = 1e-30f;

  private final SupernetGraphs supernet;

  /**
   * Programs of a supernet.
   *
   * @param supernet whose losses they take
   */
  public UnrolledGraphs(SupernetGraphs supernet) {
    this.supernet = supernet;
  }

  /**
   * The gradients of the loss of w in w and theta. Inputs and controls as those of {@link
   * SupernetGraphs#weightStep}, without a rate, and {@link #LOOK_RATE}.
   *
   * @param batch images a run, N
   * @return the graph
   */
  public Graph weightGradients(int batch) {
    GraphBuilder b = new GraphBuilder();
    SupernetGraphs.Forward forward = supernet.weightLoss(b, batch);
    gradients(b, forward.loss(), forward.theta());
    b.phase(LOOK_AHEAD);
    copy(b, NetworkBuilder.WEIGHTS, KEPT, Storage.Flat.VALUES);
    copy(b, NetworkBuilder.WEIGHTS, KEPT_VELOCITY, VELOCITY);
    Value rate = b.control(LOOK_RATE, Type.F32);
    supernet.sgd(b, rate, b.fill(1, 1));
    return supernet.step(b);
  }

  /**
   * The gradients of theta's loss in w and theta, and what is made of all gradients. Inputs,
   * controls and outputs as those of {@link SupernetGraphs#thetaStep}, {@link #LOOK_RATE} besides.
   *
   * @param batch images a run, N
   * @return the graph
   */
  public Graph thetaGradients(int batch) {
    GraphBuilder b = new GraphBuilder();
    SupernetGraphs.Forward forward = supernet.thetaLoss(b, batch);
    gradients(b, forward.loss(), forward.theta());

    b.phase(MOVE_FORTH);
    copy(b, SupernetGraphs.THETA, SUM, Storage.Flat.GRADIENTS);
    copy(b, NetworkBuilder.WEIGHTS, DIRECTION, Storage.Flat.GRADIENTS);
    move(b, 1);

    b.phase(MOVE_BACK);
    difference(b, -1);
    move(b, -1);

    b.phase(UPDATE);
    difference(b, 1);
    copy(b, NetworkBuilder.WEIGHTS, Storage.Flat.VALUES, KEPT);
    copy(b, NetworkBuilder.WEIGHTS, VELOCITY, KEPT_VELOCITY);
    copy(b, SupernetGraphs.THETA, Storage.Flat.GRADIENTS, SUM);
    Value finite = b.allFinite(List.of(b.flat(SupernetGraphs.THETA, SUM)));
    b.output("finite", finite);
    supernet.adam(b, finite);
    return supernet.step(b);
  }

  private static void gradients(GraphBuilder b, Value loss, Value theta) {
    List<Value> wanted = new ArrayList<>(SupernetGraphs.parameters(b, NetworkBuilder.WEIGHTS));
    wanted.add(theta);
    Autodiff.gradients(b, loss, wanted);
  }

  private static void copy(GraphBuilder b, String set, String to, String from) {
    b.blend(set, to, from, b.fill(0, 1), b.fill(1, 1), b.fill(1, 1));
  }

  /** A power of the length of the direction. */
  private static Value length(GraphBuilder b, float power) {
    Value direction = b.flat(NetworkBuilder.WEIGHTS, DIRECTION);
    Value square = b.mean(b.multiply(direction, direction));
    Value above = b.sum(List.of(square, b.fill(LEAST_SQUARE, 1)));
    double elements = direction.shape().elements();
    return b.pointwise(
        b.pointwise(above, Op.Function.POWER, power / 2),
        Op.Function.SCALE,
        (float) Math.pow(elements, power / 2));
  }

  /** w = what it was + sign * reach * the direction over its length. */
  private static void move(GraphBuilder b, int sign) {
    Value one = b.fill(1, 1);
    copy(b, NetworkBuilder.WEIGHTS, Storage.Flat.VALUES, KEPT);
    Value share = b.pointwise(length(b, -1), Op.Function.SCALE, sign * REACH);
    b.blend(NetworkBuilder.WEIGHTS, Storage.Flat.VALUES, DIRECTION, one, share, one);
  }

  /**
   * Adds sign * rate / (2 * distance) times theta's gradient, the distance being half of what w
   * moved.
   */
  private static void difference(GraphBuilder b, int sign) {
    Value one = b.fill(1, 1);
    Value share =
        b.pointwise(
            b.multiply(length(b, 1), b.control(LOOK_RATE, Type.F32)),
            Op.Function.SCALE,
            sign / (2 * REACH));
    b.blend(SupernetGraphs.THETA, SUM, Storage.Flat.GRADIENTS, one, share, one);
  }
}
