package io.fbnet.engine.graph;

import io.fbnet.engine.graph.ParameterSpec.Initial;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * Builds a graph operation by operation, inferring and checking shapes. A wrong shape is an {@link
 * IllegalArgumentException} that names both.
 */
public final class GraphBuilder {
  private final List<Op> ops = new ArrayList<>();
  private final Map<Value, Storage> storage = new LinkedHashMap<>();
  private final Map<String, Value> stored = new LinkedHashMap<>();
  private final List<ParameterSpec> parameters = new ArrayList<>();
  private final Map<String, Value> outputs = new LinkedHashMap<>();
  private int nextId;

  /** Holds nothing yet. */
  public GraphBuilder() {}

  /** {@return the graph as built so far} */
  public Graph build() {
    return new Graph(ops, storage, parameters, outputs);
  }

  /** Where a value lives, or null for an intermediate. */
  Storage storageOf(Value value) {
    return storage.get(value);
  }

  List<Op> ops() {
    return ops;
  }

  /** An intermediate. */
  Value value(String name, Shape shape) {
    return new Value(nextId++, name, shape, Type.F32);
  }

  void add(Op op) {
    ops.add(op);
  }

  private Value stored(String key, String name, Shape shape, Type type, Storage where) {
    Value known = stored.get(key);
    if (known != null) {
      require(
          known.shape().equals(shape) && known.type() == type,
          "%s is declared as %s %s and as %s %s",
          name,
          known.type(),
          known.shape(),
          type,
          shape);
      return known;
    }
    Value value = new Value(nextId++, name, shape, type);
    storage.put(value, where);
    stored.put(key, value);
    return value;
  }

  /**
   * {@return a tensor that the caller writes before each step; declared again, the same value}
   *
   * @param name unique among the inputs
   * @param type of its elements
   * @param shape dimensions, outermost first
   * @throws IllegalArgumentException where it was declared with another type or shape
   */
  public Value input(String name, Type type, int... shape) {
    return stored("input " + name, name, Shape.of(shape), type, new Storage.Input(name));
  }

  /**
   * {@return a scalar of the control block [1]; declared again, the same value}
   *
   * @param name unique among the controls
   * @param type f32 or 64-bit integer
   * @throws IllegalArgumentException where it was declared with another type
   */
  public Value control(String name, Type type) {
    return stored("control " + name, name, Shape.of(1), type, new Storage.Control(name));
  }

  /**
   * {@return a parameter; declared again, the same value}
   *
   * @param set the parameter set
   * @param name unique in its set
   * @param decayed whether weight decay applies to it; the first declaration's word counts
   * @param initial how it starts; the first declaration's word counts
   * @param shape dimensions, outermost first
   * @throws IllegalArgumentException where it was declared with another shape
   */
  public Value parameter(String set, String name, boolean decayed, Initial initial, int... shape) {
    String key = "parameter " + set + " " + name;
    boolean known = stored.containsKey(key);
    Value value = stored(key, name, Shape.of(shape), Type.F32, new Storage.Parameter(set, name));
    if (!known) {
      parameters.add(new ParameterSpec(set, name, value.shape(), decayed, initial));
    }
    return value;
  }

  /**
   * {@return all of a set's tensors as one vector, or a buffer of the same layout}
   *
   * @param set the parameter set, all of whose tensors have been declared
   * @param buffer as in {@link Storage.Flat}
   * @throws IllegalArgumentException where the set has grown since the buffer was first asked for
   */
  public Value flat(String set, String buffer) {
    long size = ParameterLayout.of(set, parameters).size();
    return stored(
        "flat " + set + " " + buffer,
        set + "." + buffer,
        Shape.of(Math.toIntExact(size)),
        Type.F32,
        new Storage.Flat(set, buffer));
  }

  /** The value itself, or a copy where it lives somewhere already or another one needs it. */
  Value own(Value value, boolean shared) {
    if (!shared && !storage.containsKey(value)) {
      return value;
    }
    Value copy = value(value.name(), value.shape());
    add(new Op.Sum(List.of(value), copy));
    return copy;
  }

  /** Makes an intermediate live in its parameter's place of the gradient buffer. */
  void storeGradient(Value parameter, Value gradient) {
    Storage.Parameter p = (Storage.Parameter) storage.get(parameter);
    storage.put(gradient, new Storage.Gradient(p.set(), p.name()));
  }

  /**
   * Names a value that the caller reads after a step.
   *
   * @param name unique among the outputs; a second value of the name takes the first one's place
   * @param value of this graph
   */
  public void output(String name, Value value) {
    outputs.put(name, value);
  }

  /**
   * {@return the result of a {@link Op.NormaliseImages} [N,C,H,W]}
   *
   * @param pixels images of bytes [N,C,H,W], u8
   * @param windows of each image down, right and whether it is mirrored [N,3], i32
   * @param mean one number a channel
   * @param deviation one number a channel
   */
  public Value normaliseImages(Value pixels, Value windows, Constants mean, Constants deviation) {
    require(
        pixels.shape().rank() == 4 && pixels.type() == Type.U8,
        "pixels are images of bytes, not %s of %s",
        pixels,
        pixels.type());
    require(
        windows.type() == Type.I32 && windows.shape().equals(Shape.of(pixels.shape().get(0), 3)),
        "windows %s do not fit pixels %s",
        windows,
        pixels);
    int channels = pixels.shape().get(1);
    require(
        mean.size() == channels && deviation.size() == channels,
        "%s means and %s deviations do not fit the channels of %s",
        mean.size(),
        deviation.size(),
        pixels);
    Value y = value("images", pixels.shape());
    add(new Op.NormaliseImages(pixels, windows, mean, deviation, y));
    return y;
  }

  /**
   * {@return the result of a {@link Op.Convolution} [N,O,H',W']}
   *
   * @param x images [N,C,H,W]
   * @param w weights [O,C/groups,k,k], k odd
   * @param stride 1 or 2
   * @param groups divides C and O
   */
  public Value convolution(Value x, Value w, int stride, int groups) {
    require(x.shape().rank() == 4, "a convolution takes images, not %s", x);
    require(w.shape().rank() == 4, "a convolution takes weights [O,C/g,k,k], not %s", w);
    int c = x.shape().get(1);
    int o = w.shape().get(0);
    int k = w.shape().get(2);
    require(
        c == w.shape().get(1) * groups && o % groups == 0,
        "weights %s do not fit images %s in %s groups",
        w,
        x,
        groups);
    require(k % 2 == 1 && w.shape().get(3) == k, "a kernel is square and odd, not %s", w);
    require(stride == 1 || stride == 2, "a stride is 1 or 2, not %s", stride);
    Shape out =
        Shape.of(
            x.shape().get(0),
            o,
            ceilDivide(x.shape().get(2), stride),
            ceilDivide(x.shape().get(3), stride));
    Value y = value("conv", out);
    add(new Op.Convolution(x, w, y, stride, groups));
    return y;
  }

  /**
   * {@return the result of a {@link Op.BatchNorm} [N,C,H,W]}
   *
   * @param x images [N,C,H,W]
   * @param gamma scale [C]
   * @param beta shift [C]
   * @param runningMean running mean [C]
   * @param runningVariance running variance [C]
   * @param momentum a control scalar, or null to leave the running statistics alone
   * @param epsilon added to the variance under the root
   * @param relu whether a ReLU follows
   */
  public Value batchNorm(
      Value x,
      Value gamma,
      Value beta,
      Value runningMean,
      Value runningVariance,
      Value momentum,
      float epsilon,
      boolean relu) {
    requireChannels(x, gamma, beta, runningMean, runningVariance);
    Value y = value("bn", x.shape());
    Value mean = value("bn.mean", gamma.shape());
    Value inverse = value("bn.inverse", gamma.shape());
    add(
        new Op.BatchNorm(
            x,
            gamma,
            beta,
            runningMean,
            runningVariance,
            momentum,
            y,
            mean,
            inverse,
            epsilon,
            relu,
            false));
    return y;
  }

  /**
   * {@return the result of a {@link Op.BatchNormApply} [N,C,H,W]}
   *
   * @param x images [N,C,H,W]
   * @param gamma scale [C]
   * @param beta shift [C]
   * @param mean [C]
   * @param inverseDeviation [C]
   * @param relu whether a ReLU follows
   */
  public Value batchNormApply(
      Value x, Value gamma, Value beta, Value mean, Value inverseDeviation, boolean relu) {
    requireChannels(x, gamma, beta, mean, inverseDeviation);
    Value y = value("bn", x.shape());
    add(new Op.BatchNormApply(x, gamma, beta, mean, inverseDeviation, y, relu));
    return y;
  }

  /**
   * {@return the result of a {@link Op.BatchNormInference} [N,C,H,W]}
   *
   * @param x images [N,C,H,W]
   * @param gamma scale [C]
   * @param beta shift [C]
   * @param runningMean running mean [C]
   * @param runningVariance running variance [C]
   * @param epsilon added to the variance under the root
   * @param relu whether a ReLU follows
   */
  public Value batchNormInference(
      Value x,
      Value gamma,
      Value beta,
      Value runningMean,
      Value runningVariance,
      float epsilon,
      boolean relu) {
    requireChannels(x, gamma, beta, runningMean, runningVariance);
    Value y = value("bn", x.shape());
    add(new Op.BatchNormInference(x, gamma, beta, runningMean, runningVariance, y, epsilon, relu));
    return y;
  }

  private static void requireChannels(Value x, Value... vectors) {
    require(x.shape().rank() == 4, "batch norm takes images, not %s", x);
    for (Value v : vectors) {
      require(
          v.shape().equals(Shape.of(x.shape().get(1))), "%s does not fit the channels of %s", v, x);
    }
  }

  /**
   * {@return the sum of values of one shape; of one value, that value}
   *
   * @param xs one value or more
   */
  public Value sum(List<Value> xs) {
    require(!xs.isEmpty(), "a sum of nothing has no shape");
    if (xs.size() == 1) {
      return xs.getFirst();
    }
    requireSame(xs);
    Value y = value("sum", xs.getFirst().shape());
    add(new Op.Sum(xs, y));
    return y;
  }

  private static void requireSame(List<Value> xs) {
    for (Value x : xs) {
      require(
          x.shape().equals(xs.getFirst().shape()), "%s and %s differ in shape", xs.getFirst(), x);
    }
  }

  /**
   * {@return the result of a {@link Op.ChannelShuffle} [N,C,H,W]}
   *
   * @param x images [N,C,H,W]
   * @param groups divides C
   */
  public Value channelShuffle(Value x, int groups) {
    require(
        x.shape().rank() == 4 && x.shape().get(1) % groups == 0,
        "%s cannot be shuffled in %s groups",
        x,
        groups);
    Value y = value("shuffle", x.shape());
    add(new Op.ChannelShuffle(x, y, groups));
    return y;
  }

  /**
   * {@return the result of a {@link Op.WeightedSum}, of the shape of xs}
   *
   * @param xs K values of one shape, N first
   * @param m coefficients [1,K] or [N,K]
   */
  public Value weightedSum(List<Value> xs, Value m) {
    require(!xs.isEmpty(), "a sum of nothing has no shape");
    requireSame(xs);
    int n = xs.getFirst().shape().get(0);
    require(
        m.shape().rank() == 2
            && m.shape().get(1) == xs.size()
            && (m.shape().get(0) == 1 || m.shape().get(0) == n),
        "coefficients %s do not fit %s values like %s",
        m,
        xs.size(),
        xs.getFirst());
    Value y = value("mix", xs.getFirst().shape());
    add(new Op.WeightedSum(xs, m, y));
    return y;
  }

  /**
   * {@return a value once for each alternative of a choice, by {@link Op.Branch}}
   *
   * @param x what all alternatives begin with
   * @param choice its number, from 0
   * @param alternatives how many
   */
  public List<Value> branch(Value x, int choice, int alternatives) {
    List<Value> ys = new ArrayList<>();
    for (int k = 0; k < alternatives; k++) {
      ys.add(value(x.name() + " " + k, x.shape()));
    }
    add(new Op.Branch(x, choice, ys));
    return ys;
  }

  /**
   * {@return what the alternative makes that a run takes, by {@link Op.Choose}}
   *
   * @param xs of one shape, one of each alternative in order
   * @param choice its number, from 0
   */
  public Value choose(List<Value> xs, int choice) {
    require(!xs.isEmpty(), "a choice among nothing has no shape");
    requireSame(xs);
    Set<Value> made = new HashSet<>();
    for (Op op : ops) {
      if (!(op instanceof Op.Branch || op instanceof Op.Choose)) {
        made.addAll(op.outputs());
      }
    }
    made.removeAll(storage.keySet());
    List<Value> own = new ArrayList<>();
    for (Value x : xs) {
      if (made.remove(x)) {
        own.add(x);
        continue;
      }
      // What lies elsewhere already is copied to the place that all share.
      Value copy = value(x.name(), x.shape());
      add(new Op.Sum(List.of(x), copy));
      own.add(copy);
    }
    Value y = value("chosen", xs.getFirst().shape());
    add(new Op.Choose(own, choice, y));
    return y;
  }

  /**
   * Begins another phase, by {@link Op.Phase}.
   *
   * @param name of what follows
   */
  public void phase(String name) {
    add(new Op.Phase(name));
  }

  /**
   * {@return the coefficients of a {@link Op.GumbelSoftmax} [rows,L,K]}
   *
   * @param theta logits [L,K]
   * @param tau temperature [1], above 0
   * @param seed key of the noise [1], i64
   * @param step number of the step [1], i64
   * @param rows N for noise of its own for every image, else 1
   * @param stream of the noise, or {@link Op.GumbelSoftmax#NO_NOISE}
   */
  public Value gumbelSoftmax(Value theta, Value tau, Value seed, Value step, int rows, int stream) {
    require(theta.shape().rank() == 2, "theta has layers and candidates, not %s", theta);
    require(
        seed.type() == Type.I64 && step.type() == Type.I64, "seed and step are 64-bit integers");
    Value m = value("m", Shape.of(rows, theta.shape().get(0), theta.shape().get(1)));
    add(new Op.GumbelSoftmax(theta, tau, seed, step, m, stream, 0));
    return m;
  }

  /**
   * {@return one number everywhere}
   *
   * @param constant the number
   * @param shape dimensions, outermost first
   */
  public Value fill(float constant, int... shape) {
    Value y = value("constant", Shape.of(shape));
    add(new Op.Fill(constant, y));
    return y;
  }

  /**
   * {@return the result of a {@link Op.HardMax} [R,L,K]}
   *
   * @param x coefficients [R,L,K]
   */
  public Value hardMax(Value x) {
    require(x.shape().rank() == 3, "hardMax takes three axes, not %s", x);
    Value y = value("hard", x.shape());
    add(new Op.HardMax(x, y));
    return y;
  }

  /**
   * {@return x[:, l, :] for every l, L values [R,K]}
   *
   * @param x of shape [R,L,K]
   */
  public List<Value> unstack(Value x) {
    require(x.shape().rank() == 3, "unstack takes three axes, not %s", x);
    List<Value> ys = new ArrayList<>();
    for (int l = 0; l < x.shape().get(1); l++) {
      ys.add(value("m" + l, Shape.of(x.shape().get(0), x.shape().get(2))));
    }
    add(new Op.Unstack(x, ys));
    return ys;
  }

  /**
   * {@return the result of a {@link Op.GlobalPool} [N,C]}
   *
   * @param x images [N,C,H,W]
   */
  public Value globalPool(Value x) {
    require(x.shape().rank() == 4, "pooling takes images, not %s", x);
    Value y = value("pool", Shape.of(x.shape().get(0), x.shape().get(1)));
    add(new Op.GlobalPool(x, y));
    return y;
  }

  /**
   * {@return the result of a {@link Op.Linear} [N,O]}
   *
   * @param x of shape [N,C]
   * @param w weights [O,C]
   * @param b bias [O]
   */
  public Value linear(Value x, Value w, Value b) {
    require(
        x.shape().rank() == 2
            && w.shape().rank() == 2
            && x.shape().get(1) == w.shape().get(1)
            && b.shape().equals(Shape.of(w.shape().get(0))),
        "weights %s and bias %s do not fit %s",
        w,
        b,
        x);
    Value y = value("linear", Shape.of(x.shape().get(0), w.shape().get(0)));
    add(new Op.Linear(x, w, b, y));
    return y;
  }

  /**
   * {@return the loss of a {@link Op.CrossEntropy} [N], without smoothing}
   *
   * @param logits of shape [N,classes]
   * @param labels [N], i32, from 0 to below classes
   */
  public Value crossEntropy(Value logits, Value labels) {
    return crossEntropy(logits, labels, 0);
  }

  /**
   * {@return the loss of a {@link Op.CrossEntropy} [N]}
   *
   * @param logits of shape [N,classes]
   * @param labels [N], i32, from 0 to below classes
   * @param smoothing from 0 to below 1
   */
  public Value crossEntropy(Value logits, Value labels, float smoothing) {
    requireLabels(logits, labels);
    require(smoothing >= 0 && smoothing < 1, "smoothing lies from 0 to below 1, not %s", smoothing);
    Value loss = value("ce", Shape.of(logits.shape().get(0)));
    add(new Op.CrossEntropy(logits, labels, loss, smoothing));
    return loss;
  }

  /**
   * {@return the ranks of a {@link Op.LabelRank} [N]}
   *
   * @param logits of shape [N,classes]
   * @param labels [N], i32, from 0 to below classes
   */
  public Value labelRank(Value logits, Value labels) {
    requireLabels(logits, labels);
    Value rank = value("rank", Shape.of(logits.shape().get(0)));
    add(new Op.LabelRank(logits, labels, rank));
    return rank;
  }

  private static void requireLabels(Value logits, Value labels) {
    require(
        logits.shape().rank() == 2
            && labels.type() == Type.I32
            && labels.shape().equals(Shape.of(logits.shape().get(0))),
        "labels %s do not fit logits %s",
        labels,
        logits);
  }

  /**
   * {@return the result of a {@link Op.DotConstants} [R]}
   *
   * @param x R rows of as many elements as there are constants [R, ...]
   * @param constants one for each element of a row
   * @param offset added to every dot product
   */
  public Value dotConstants(Value x, Constants constants, float offset) {
    require(
        x.shape().elements() == (long) x.shape().get(0) * constants.size(),
        "%s does not fit a row of %s",
        constants,
        x);
    Value y = value("dot", Shape.of(x.shape().get(0)));
    add(new Op.DotConstants(x, constants, offset, y));
    return y;
  }

  /**
   * {@return m[:, k] as the coefficient [R,1] of a sum of one value}
   *
   * @param m coefficients [R,K]
   * @param k which column
   */
  public Value coefficient(Value m, int k) {
    require(m.shape().rank() == 2 && k >= 0 && k < m.shape().get(1), "%s has no column %s", m, k);
    float[] one = new float[m.shape().get(1)];
    one[k] = 1;
    Value y = value("m" + k, Shape.of(m.shape().get(0), 1));
    add(new Op.DotConstants(m, Constants.of(one), 0, y));
    return y;
  }

  /**
   * {@return the result of a {@link Op.Pointwise}, of the shape of x}
   *
   * @param x of any shape; images where the function is an activation
   * @param function which one
   * @param p its parameter
   */
  public Value pointwise(Value x, Op.Function function, float p) {
    require(
        x.shape().rank() != 4 || function.isActivation(),
        "%s is no activation, and %s are images",
        function,
        x);
    Value y = value(function.name().toLowerCase(java.util.Locale.ROOT), x.shape());
    add(new Op.Pointwise(x, function, p, y));
    return y;
  }

  /**
   * {@return the same of a function without a parameter}
   *
   * @param x of any shape; images where the function is an activation
   * @param function which one
   */
  public Value pointwise(Value x, Op.Function function) {
    return pointwise(x, function, 0);
  }

  /**
   * {@return the result of a {@link Op.ScaleChannels} [N,C,H,W]}
   *
   * @param x images [N,C,H,W]
   * @param s factors [N,C]
   */
  public Value scaleChannels(Value x, Value s) {
    require(
        x.shape().rank() == 4 && s.shape().equals(Shape.of(x.shape().get(0), x.shape().get(1))),
        "the factors %s are not those of the channels of %s",
        s,
        x);
    Value y = value("scaled", x.shape());
    add(new Op.ScaleChannels(x, s, y));
    return y;
  }

  /**
   * {@return the product element by element, of the shape of the larger operand}
   *
   * @param a of any shape
   * @param b of the shape of a, or one of the two has one element
   */
  public Value multiply(Value a, Value b) {
    boolean fits =
        a.shape().equals(b.shape()) || a.shape().elements() == 1 || b.shape().elements() == 1;
    require(fits, "%s and %s cannot be multiplied", a, b);
    Value y =
        value("product", a.shape().elements() >= b.shape().elements() ? a.shape() : b.shape());
    add(new Op.Multiply(a, b, y));
    return y;
  }

  /**
   * {@return the mean of all elements [1]}
   *
   * @param x of any shape
   */
  public Value mean(Value x) {
    Value y = value("mean", Shape.of(1));
    add(new Op.Mean(x, y));
    return y;
  }

  /**
   * {@return 1 where every element of every value is finite, else 0; of shape [1]}
   *
   * @param xs one value or more, of any shapes
   */
  public Value allFinite(List<Value> xs) {
    Value y = value("finite", Shape.of(1));
    add(new Op.AllFinite(xs, y));
    return y;
  }

  /**
   * Appends a {@link Op.Blend} of two buffers of a set.
   *
   * @param set the parameter set
   * @param target the buffer that changes
   * @param source the buffer that goes into it
   * @param keep factor of the target [1]
   * @param share factor of the source [1]
   * @param finite flag [1]: 1 blends, anything else leaves the target alone
   */
  public void blend(
      String set, String target, String source, Value keep, Value share, Value finite) {
    add(new Op.Blend(flat(set, target), flat(set, source), keep, share, finite));
  }

  /**
   * Appends a {@link Op.SgdUpdate} of a set by its gradients; the velocity lives in the set's
   * buffer {@code velocity}.
   *
   * @param set the parameter set
   * @param rate learning rate [1]
   * @param finite flag [1]: 1 updates, anything else leaves all as it is
   * @param momentum share of the velocity that is kept
   * @param weightDecay factor of the L2 term, for the tensors declared as decayed
   */
  public void sgd(String set, Value rate, Value finite, float momentum, float weightDecay) {
    sgd(set, Storage.Flat.GRADIENTS, rate, finite, momentum, weightDecay);
  }

  /**
   * The same by gradients in a buffer of the caller's.
   *
   * @param set the parameter set
   * @param gradients the buffer of the set that holds them
   * @param rate learning rate [1]
   * @param finite flag [1]: 1 updates, anything else leaves all as it is
   * @param momentum share of the velocity that is kept
   * @param weightDecay factor of the L2 term, for the tensors declared as decayed
   */
  public void sgd(
      String set, String gradients, Value rate, Value finite, float momentum, float weightDecay) {
    add(
        new Op.SgdUpdate(
            flat(set, Storage.Flat.VALUES),
            flat(set, gradients),
            flat(set, "velocity"),
            rate,
            finite,
            momentum,
            weightDecay,
            ParameterLayout.of(set, parameters).decayed()));
  }

  /**
   * Appends an {@link Op.AdamUpdate} of a set by its gradients; the moments live in the set's
   * buffers {@code first} and {@code second}.
   *
   * @param set the parameter set
   * @param rate learning rate [1]
   * @param count number of this update [1], f32, from 1
   * @param finite flag [1]: 1 updates, anything else leaves all as it is
   * @param beta1 share of the first moment that is kept
   * @param beta2 share of the second moment that is kept
   * @param epsilon added to the root of the second moment
   * @param weightDecay factor of the L2 term, for every element
   */
  public void adam(
      String set,
      Value rate,
      Value count,
      Value finite,
      float beta1,
      float beta2,
      float epsilon,
      float weightDecay) {
    add(
        new Op.AdamUpdate(
            flat(set, Storage.Flat.VALUES),
            flat(set, Storage.Flat.GRADIENTS),
            flat(set, "first"),
            flat(set, "second"),
            rate,
            count,
            finite,
            beta1,
            beta2,
            epsilon,
            weightDecay));
  }

  private static int ceilDivide(int a, int b) {
    return (a + b - 1) / b;
  }

  @com.google.errorprone.annotations.FormatMethod
  private static void require(boolean condition, String format, Object... arguments) {
    if (!condition) {
      throw new IllegalArgumentException(String.format(Locale.ROOT, format, arguments));
    }
  }
}
