package io.fbnet.engine.graph;

import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * An operation. Backward operations are operations too, so a graph of a training step is one list.
 * Shapes: N batch, C channels, H height, W width, O output channels, R rows of coefficients (1 or
 * N), L layers, K candidates. The {@code reference} back end is the definition of every one.
 */
public sealed interface Op {
  /** The values it reads. */
  List<Value> inputs();

  /** The values it writes. */
  List<Value> outputs();

  /** What it is called in messages and tables. */
  default String name() {
    return getClass().getSimpleName();
  }

  private static List<Value> present(Value... values) {
    return Stream.of(values).filter(Objects::nonNull).toList();
  }

  /**
   * y[N,O,H',W'] = x[N,C,H,W] * w[O,C/groups,k,k], padded by k/2, H' = ceil(H / stride). No bias.
   */
  record Convolution(Value x, Value w, Value y, int stride, int groups) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, w);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** The gradient of a convolution with respect to its input. */
  record ConvolutionBackwardData(Value dy, Value w, Value dx, int stride, int groups)
      implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(dy, w);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dx);
    }
  }

  /** The gradient of a convolution with respect to its weights. */
  record ConvolutionBackwardWeights(Value x, Value dy, Value dw, int stride, int groups)
      implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, dy);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dw);
    }
  }

  /**
   * Batch normalisation over N, H, W by the batch's own statistics, with a ReLU after it where
   * {@code relu}. Writes the batch's mean and 1 / sqrt(biased variance + epsilon), [C] each. Where
   * {@code momentum} is not null it also moves the running statistics: running = (1 - momentum) *
   * running + momentum * batch, the variance unbiased.
   */
  record BatchNorm(
      Value x,
      Value gamma,
      Value beta,
      Value runningMean,
      Value runningVariance,
      Value momentum,
      Value y,
      Value mean,
      Value inverseDeviation,
      float epsilon,
      boolean relu)
      implements Op {
    @Override
    public List<Value> inputs() {
      return present(x, gamma, beta, momentum);
    }

    @Override
    public List<Value> outputs() {
      return momentum == null
          ? List.of(y, mean, inverseDeviation)
          : List.of(y, mean, inverseDeviation, runningMean, runningVariance);
    }
  }

  /** Batch normalisation by the running statistics. */
  record BatchNormInference(
      Value x,
      Value gamma,
      Value beta,
      Value runningMean,
      Value runningVariance,
      Value y,
      float epsilon,
      boolean relu)
      implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, gamma, beta, runningMean, runningVariance);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /**
   * The gradients of a {@link BatchNorm}. The ReLU's mask is computed again from x. dgamma and
   * dbeta are null where nothing needs them.
   */
  record BatchNormBackward(
      Value x,
      Value dy,
      Value gamma,
      Value beta,
      Value mean,
      Value inverseDeviation,
      Value dx,
      Value dgamma,
      Value dbeta,
      boolean relu)
      implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, dy, gamma, beta, mean, inverseDeviation);
    }

    @Override
    public List<Value> outputs() {
      return present(dx, dgamma, dbeta);
    }
  }

  /** y = the sum of xs, all of one shape. */
  record Sum(List<Value> xs, Value y) implements Op {
    public Sum {
      xs = List.copyOf(xs);
    }

    @Override
    public List<Value> inputs() {
      return xs;
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** y[n, i * groups + g] = x[n, g * C / groups + i]. */
  record ChannelShuffle(Value x, Value y, int groups) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** y[n] = sum over k of m[n or 0, k] * xs[k][n], m of shape [R,K]. */
  record WeightedSum(List<Value> xs, Value m, Value y) implements Op {
    public WeightedSum {
      xs = List.copyOf(xs);
    }

    @Override
    public List<Value> inputs() {
      return Stream.concat(xs.stream(), Stream.of(m)).toList();
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** dx[n] = m[n or 0, k] * dy[n]: the gradient of a weighted sum for one candidate. */
  record WeightedSumBackwardInput(Value dy, Value m, int k, Value dx) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(dy, m);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dx);
    }
  }

  /** dm[n or 0, k] = the dot product of dy and xs[k], over an image or (R = 1) over the batch. */
  record WeightedSumBackwardCoefficients(Value dy, List<Value> xs, Value dm) implements Op {
    public WeightedSumBackwardCoefficients {
      xs = List.copyOf(xs);
    }

    @Override
    public List<Value> inputs() {
      return Stream.concat(xs.stream(), Stream.of(dy)).toList();
    }

    @Override
    public List<Value> outputs() {
      return List.of(dm);
    }
  }

  /**
   * m[r,l,:] = softmax((theta[l,:] + g[r,l,:]) / tau), g Gumbel noise keyed by (seed, stream, step,
   * index in m), or 0 where the stream is {@link #NO_NOISE}; tau [1], seed and step [1] of 64 bits.
   */
  record GumbelSoftmax(Value theta, Value tau, Value seed, Value step, Value m, int stream)
      implements Op {
    /** The stream of a plain softmax. */
    public static final int NO_NOISE = -1;

    @Override
    public List<Value> inputs() {
      return List.of(theta, tau, seed, step);
    }

    @Override
    public List<Value> outputs() {
      return List.of(m);
    }
  }

  /**
   * y = 1 at the first of the largest elements along the last axis and 0 elsewhere, NaN where one
   * of them is; x of shape [R,L,K]. Autodiff passes the gradient straight through, as if y were x
   * (arXiv 1308.3432).
   */
  record HardMax(Value x, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** dtheta[L,K], summed over rows. */
  record GumbelSoftmaxBackward(Value m, Value dm, Value tau, Value dtheta) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(m, dm, tau);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dtheta);
    }
  }

  /** ys[l] = x[:, l, :], x of shape [R,L,K]. */
  record Unstack(Value x, List<Value> ys) implements Op {
    public Unstack {
      ys = List.copyOf(ys);
    }

    @Override
    public List<Value> inputs() {
      return List.of(x);
    }

    @Override
    public List<Value> outputs() {
      return ys;
    }
  }

  /** The inverse of {@link Unstack}; an entry that is null counts as zeros. */
  record Stack(List<Value> xs, Value y) implements Op {
    public Stack {
      xs = java.util.Collections.unmodifiableList(new java.util.ArrayList<>(xs));
    }

    @Override
    public List<Value> inputs() {
      return xs.stream().filter(Objects::nonNull).toList();
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** y[N,C] = the mean of x[N,C,H,W] over H and W. */
  record GlobalPool(Value x, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** dx = dy / (H * W), repeated over H and W. */
  record GlobalPoolBackward(Value dy, Value dx) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(dy);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dx);
    }
  }

  /** y[N,O] = x[N,C] w[O,C]^T + b[O]. */
  record Linear(Value x, Value w, Value b, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, w, b);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** dx[N,C] = dy[N,O] w[O,C]. */
  record LinearBackwardData(Value dy, Value w, Value dx) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(dy, w);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dx);
    }
  }

  /** dw[O,C] = dy^T x, db[O] = the column sums of dy. */
  record LinearBackwardWeights(Value x, Value dy, Value dw, Value db) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, dy);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dw, db);
    }
  }

  /**
   * loss[n] = -the sum over i of target[i] * log softmax(logits[n])[i], natural logarithm; the
   * target is 1 - smoothing at label[n], and smoothing / classes is added everywhere.
   */
  record CrossEntropy(Value logits, Value labels, Value loss, float smoothing) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(logits, labels);
    }

    @Override
    public List<Value> outputs() {
      return List.of(loss);
    }
  }

  /** dlogits[n] = (softmax(logits[n]) - target) * dloss[n], as in {@link CrossEntropy}. */
  record CrossEntropyBackward(
      Value logits, Value labels, Value dloss, Value dlogits, float smoothing) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(logits, labels, dloss);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dlogits);
    }
  }

  /** rank[n] = how many classes have a larger logit than the label's; 0 is a correct answer. */
  record LabelRank(Value logits, Value labels, Value rank) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(logits, labels);
    }

    @Override
    public List<Value> outputs() {
      return List.of(rank);
    }
  }

  /** y[r] = offset + the dot product of x[r] and constants. */
  record DotConstants(Value x, Constants constants, float offset, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** dx[r] = dy[r] * constants. */
  record DotConstantsBackward(Value dy, Constants constants, Value dx) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(dy);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dx);
    }
  }

  /** Element-wise functions of one parameter p. */
  enum Function {
    /** log(max(x, p)); its gradient is 0 below p. */
    LOG,
    /** x^p, x above 0. */
    POWER,
    /** p x. */
    SCALE
  }

  /** y = f(x). */
  record Pointwise(Value x, Function function, float p, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** dx = f'(x) dy. */
  record PointwiseBackward(Value x, Value dy, Function function, float p, Value dx) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, dy);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dx);
    }
  }

  /**
   * y = a b element by element; an operand of one element is repeated, and where y has one element
   * the products are summed.
   */
  record Multiply(Value a, Value b, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(a, b);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** y[1] = the mean of all elements of x. */
  record Mean(Value x, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** dx = dy[1] / elements, everywhere. */
  record MeanBackward(Value dy, Value dx) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(dy);
    }

    @Override
    public List<Value> outputs() {
      return List.of(dx);
    }
  }

  /** y = a constant everywhere. */
  record Fill(float constant, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of();
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /** finite[1] = 1 where every element of xs is finite, 0 otherwise. */
  record AllFinite(List<Value> xs, Value finite) implements Op {
    public AllFinite {
      xs = List.copyOf(xs);
    }

    @Override
    public List<Value> inputs() {
      return xs;
    }

    @Override
    public List<Value> outputs() {
      return List.of(finite);
    }
  }

  /**
   * Where finite[1] is 1: g = gradient + weightDecay * value for the first {@code decayed}
   * elements, velocity = momentum * velocity + g, value -= rate[1] * velocity. Elsewhere nothing.
   */
  record SgdUpdate(
      Value value,
      Value gradient,
      Value velocity,
      Value rate,
      Value finite,
      float momentum,
      float weightDecay,
      long decayed)
      implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(value, gradient, velocity, rate, finite);
    }

    @Override
    public List<Value> outputs() {
      return List.of(value, velocity);
    }
  }

  /**
   * Where finite[1] is 1: target = keep[1] * target + share[1] * source. Keep 0 forgets what the
   * target held, even where that was no number. A moving average, or a sum over several steps.
   */
  record Blend(Value target, Value source, Value keep, Value share, Value finite) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(target, source, keep, share, finite);
    }

    @Override
    public List<Value> outputs() {
      return List.of(target);
    }
  }

  /**
   * Adam with coupled L2, where finite[1] is 1. {@code count} [1] is the number of this update,
   * from 1: the corrections of the moments follow from it.
   */
  record AdamUpdate(
      Value value,
      Value gradient,
      Value first,
      Value second,
      Value rate,
      Value count,
      Value finite,
      float beta1,
      float beta2,
      float epsilon,
      float weightDecay)
      implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(value, gradient, first, second, rate, count, finite);
    }

    @Override
    public List<Value> outputs() {
      return List.of(value, first, second);
    }
  }
}
