package io.fbnet.engine.graph;

import io.fbnet.engine.graph.ParameterSpec.Initial;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

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

  /** The graph as built so far. */
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

  /** A tensor that the caller writes before each step. */
  public Value input(String name, Type type, int... shape) {
    return stored("input " + name, name, Shape.of(shape), type, new Storage.Input(name));
  }

  /** A scalar of the control block, f32 or 64-bit integer. */
  public Value control(String name, Type type) {
    return stored("control " + name, name, Shape.of(1), type, new Storage.Control(name));
  }

  /** A parameter; declaring it again returns the same value. */
  public Value parameter(String set, String name, boolean decayed, Initial initial, int... shape) {
    String key = "parameter " + set + " " + name;
    boolean known = stored.containsKey(key);
    Value value = stored(key, name, Shape.of(shape), Type.F32, new Storage.Parameter(set, name));
    if (!known) {
      parameters.add(new ParameterSpec(set, name, value.shape(), decayed, initial));
    }
    return value;
  }

  /** All of a set's tensors as one vector, or a buffer of the same layout. */
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

  /** Names a value that the caller reads after a step. */
  public void output(String name, Value value) {
    outputs.put(name, value);
  }

  /** See {@link Op.Convolution}. */
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
   * See {@link Op.BatchNorm}.
   *
   * @param momentum a control scalar, or null to leave the running statistics alone
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
            relu));
    return y;
  }

  /** See {@link Op.BatchNormInference}. */
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

  /** The sum of values of one shape. */
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

  /** See {@link Op.ChannelShuffle}. */
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

  /** See {@link Op.WeightedSum}. */
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

  /** See {@link Op.GumbelSoftmax}. */
  public Value gumbelSoftmax(Value theta, Value tau, Value seed, Value step, int rows, int stream) {
    require(theta.shape().rank() == 2, "theta has layers and candidates, not %s", theta);
    require(
        seed.type() == Type.I64 && step.type() == Type.I64, "seed and step are 64-bit integers");
    Value m = value("m", Shape.of(rows, theta.shape().get(0), theta.shape().get(1)));
    add(new Op.GumbelSoftmax(theta, tau, seed, step, m, stream));
    return m;
  }

  /** A constant everywhere. */
  public Value fill(float constant, int... shape) {
    Value y = value("constant", Shape.of(shape));
    add(new Op.Fill(constant, y));
    return y;
  }

  /** See {@link Op.HardMax}. */
  public Value hardMax(Value x) {
    require(x.shape().rank() == 3, "hardMax takes three axes, not %s", x);
    Value y = value("hard", x.shape());
    add(new Op.HardMax(x, y));
    return y;
  }

  /** x[:, l, :] for every l. */
  public List<Value> unstack(Value x) {
    require(x.shape().rank() == 3, "unstack takes three axes, not %s", x);
    List<Value> ys = new ArrayList<>();
    for (int l = 0; l < x.shape().get(1); l++) {
      ys.add(value("m" + l, Shape.of(x.shape().get(0), x.shape().get(2))));
    }
    add(new Op.Unstack(x, ys));
    return ys;
  }

  /** See {@link Op.GlobalPool}. */
  public Value globalPool(Value x) {
    require(x.shape().rank() == 4, "pooling takes images, not %s", x);
    Value y = value("pool", Shape.of(x.shape().get(0), x.shape().get(1)));
    add(new Op.GlobalPool(x, y));
    return y;
  }

  /** See {@link Op.Linear}. */
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

  /** See {@link Op.CrossEntropy}, without smoothing. */
  public Value crossEntropy(Value logits, Value labels) {
    return crossEntropy(logits, labels, 0);
  }

  /** See {@link Op.CrossEntropy}. */
  public Value crossEntropy(Value logits, Value labels, float smoothing) {
    requireLabels(logits, labels);
    require(smoothing >= 0 && smoothing < 1, "smoothing lies from 0 to below 1, not %s", smoothing);
    Value loss = value("ce", Shape.of(logits.shape().get(0)));
    add(new Op.CrossEntropy(logits, labels, loss, smoothing));
    return loss;
  }

  /** See {@link Op.LabelRank}. */
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

  /** See {@link Op.DotConstants}; x of shape [R, ...]. */
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

  /** See {@link Op.Function}. */
  public Value pointwise(Value x, Op.Function function, float p) {
    Value y = value(function.name().toLowerCase(java.util.Locale.ROOT), x.shape());
    add(new Op.Pointwise(x, function, p, y));
    return y;
  }

  /** The product of two vectors, or of a vector and a scalar. */
  public Value multiply(Value a, Value b) {
    boolean fits =
        a.shape().equals(b.shape()) || a.shape().elements() == 1 || b.shape().elements() == 1;
    require(fits, "%s and %s cannot be multiplied", a, b);
    Value y =
        value("product", a.shape().elements() >= b.shape().elements() ? a.shape() : b.shape());
    add(new Op.Multiply(a, b, y));
    return y;
  }

  /** The mean of all elements. */
  public Value mean(Value x) {
    Value y = value("mean", Shape.of(1));
    add(new Op.Mean(x, y));
    return y;
  }

  /** 1 where every element of every value is finite. */
  public Value allFinite(List<Value> xs) {
    Value y = value("finite", Shape.of(1));
    add(new Op.AllFinite(xs, y));
    return y;
  }

  /** See {@link Op.Blend}; both are buffers of a set. */
  public void blend(
      String set, String target, String source, Value keep, Value share, Value finite) {
    add(new Op.Blend(flat(set, target), flat(set, source), keep, share, finite));
  }

  /** See {@link Op.SgdUpdate}; velocity lives in the set's buffer {@code velocity}. */
  public void sgd(String set, Value rate, Value finite, float momentum, float weightDecay) {
    sgd(set, Storage.Flat.GRADIENTS, rate, finite, momentum, weightDecay);
  }

  /** As the other, by the gradients in another buffer of the set. */
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

  /** See {@link Op.AdamUpdate}; the moments live in the set's buffers {@code first, second}. */
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
      throw new IllegalArgumentException(String.format(java.util.Locale.ROOT, format, arguments));
    }
  }
}
