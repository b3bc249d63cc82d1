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
  /** {@return the values it reads, none of them null} */
  List<Value> inputs();

  /** {@return the values it writes, none of them null} */
  List<Value> outputs();

  /** {@return what it is called in messages and tables} */
  default String name() {
    return getClass().getSimpleName();
  }

  /**
   * {@return whether it changes parameters in place, so that what read them read others than now}
   */
  default boolean updatesParameters() {
    return this instanceof SgdUpdate || this instanceof AdamUpdate || this instanceof Blend;
  }

  private static List<Value> present(Value... values) {
    return Stream.of(values).filter(Objects::nonNull).toList();
  }

  /**
   * Cuts a window of an image's own size out of each image, mirrors it, and normalises its bytes:
   * y[n,c,i,j] = (pixels[n,c,i + down,j' + right] / 255 - mean[c]) / deviation[c], j' = W - 1 - j
   * where image n is mirrored, else j. Beside the image pixels count as 0, which is black.
   *
   * @param pixels images of bytes [N,C,H,W], u8
   * @param windows of each image down, right, and whether it is mirrored, 0 or 1 [N,3], i32
   * @param mean one number a channel, on the scale 0 to 1
   * @param deviation one number a channel, on the same scale
   * @param y images [N,C,H,W]
   */
  record NormaliseImages(Value pixels, Value windows, Constants mean, Constants deviation, Value y)
      implements Op {
    /** How many values a byte has. */
    public static final int BYTES = 256;

    @Override
    public List<Value> inputs() {
      return List.of(pixels, windows);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }

    /**
     * {@return what every byte of every channel becomes [C,256], rounded once} Back ends in f32
     * look bytes up here, so they all give the same bits.
     */
    public Constants table() {
      float[] table = new float[mean.size() * BYTES];
      for (int i = 0; i < table.length; i++) {
        int c = i / BYTES;
        table[i] = (float) ((i % BYTES / 255.0 - mean.get(c)) / deviation.get(c));
      }
      return Constants.of(table);
    }
  }

  /**
   * y[N,O,H',W'] = x[N,C,H,W] * w[O,C/groups,k,k], padded by k/2, H' = ceil(H / stride). No bias.
   *
   * @param x images [N,C,H,W]
   * @param w weights [O,C/groups,k,k], k odd
   * @param y images [N,O,H',W']
   * @param stride 1 or 2, along both axes
   * @param groups 1 for a dense convolution, C for a depthwise one; divides C and O
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

  /**
   * The gradient of a convolution with respect to its input.
   *
   * @param dy gradient of the result [N,O,H',W']
   * @param w weights [O,C/groups,k,k]
   * @param dx gradient of the images [N,C,H,W]
   * @param stride as in the convolution
   * @param groups as in the convolution
   */
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

  /**
   * The gradient of a convolution with respect to its weights.
   *
   * @param x images [N,C,H,W]
   * @param dy gradient of the result [N,O,H',W']
   * @param dw gradient of the weights [O,C/groups,k,k]
   * @param stride as in the convolution
   * @param groups as in the convolution
   */
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
   *
   * @param x images [N,C,H,W]
   * @param gamma scale [C]
   * @param beta shift [C]
   * @param runningMean running mean [C]
   * @param runningVariance running variance [C], unbiased
   * @param momentum share of the batch in the running statistics [1], or null
   * @param y images [N,C,H,W]
   * @param mean the batch's mean [C]
   * @param inverseDeviation 1 / sqrt(biased variance + epsilon) of the batch [C]
   * @param epsilon added to the variance under the root
   * @param relu whether a ReLU follows
   * @param overRanks whether the batch is that of all ranks, each with as many images, and not this
   *     one's alone
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
      boolean relu,
      boolean overRanks)
      implements Op {
    @Override
    public List<Value> inputs() {
      return momentum == null
          ? List.of(x, gamma, beta)
          : List.of(x, gamma, beta, momentum, runningMean, runningVariance);
    }

    @Override
    public List<Value> outputs() {
      return momentum == null
          ? List.of(y, mean, inverseDeviation)
          : List.of(y, mean, inverseDeviation, runningMean, runningVariance);
    }

    /** {@return its end by itself} */
    public BatchNormApply application() {
      return new BatchNormApply(x, gamma, beta, mean, inverseDeviation, y, relu);
    }
  }

  /**
   * y = gamma * (x - mean) * inverseDeviation + beta, then max(0, y) where {@code relu}: the end of
   * a {@link BatchNorm} once more, bit for bit, with the statistics that it left.
   *
   * @param x images [N,C,H,W]
   * @param gamma scale [C]
   * @param beta shift [C]
   * @param mean the batch's mean [C]
   * @param inverseDeviation 1 / sqrt(variance + epsilon) of the batch [C]
   * @param y images [N,C,H,W]
   * @param relu whether a ReLU follows
   */
  record BatchNormApply(
      Value x, Value gamma, Value beta, Value mean, Value inverseDeviation, Value y, boolean relu)
      implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, gamma, beta, mean, inverseDeviation);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /**
   * Batch normalisation by the running statistics.
   *
   * @param x images [N,C,H,W]
   * @param gamma scale [C]
   * @param beta shift [C]
   * @param runningMean running mean [C]
   * @param runningVariance running variance [C]
   * @param y images [N,C,H,W]
   * @param epsilon added to the variance under the root
   * @param relu whether a ReLU follows
   */
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
   *
   * @param x the images that were normalised [N,C,H,W]
   * @param dy gradient of the result, after the ReLU where there is one [N,C,H,W]
   * @param gamma scale [C]
   * @param beta shift [C], for the mask
   * @param mean as the batch norm wrote it [C]
   * @param inverseDeviation as the batch norm wrote it [C]
   * @param dx gradient of the images [N,C,H,W]
   * @param dgamma gradient of the scale [C], or null
   * @param dbeta gradient of the shift [C], or null
   * @param relu as in the batch norm
   * @param overRanks as in the batch norm; dgamma and dbeta are of this rank's images alone
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
      boolean relu,
      boolean overRanks)
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

  /**
   * y = the sum of xs, all of one shape.
   *
   * @param xs one value or more, of any shape
   * @param y of the same shape
   */
  record Sum(List<Value> xs, Value y) implements Op {
    /** Copies the list. */
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

  /**
   * y[n, i * groups + g] = x[n, g * C / groups + i].
   *
   * @param x images [N,C,H,W]
   * @param y images [N,C,H,W]
   * @param groups divides C
   */
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

  /**
   * y[n] = sum over k of m[n or 0, k] * xs[k][n], m of shape [R,K].
   *
   * @param xs K values of one shape, N first
   * @param m coefficients [R,K]
   * @param y of the shape of xs
   */
  record WeightedSum(List<Value> xs, Value m, Value y) implements Op {
    /** Copies the list. */
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

  /**
   * dx[n] = m[n or 0, k] * dy[n]: the gradient of a weighted sum for one candidate.
   *
   * @param dy gradient of the sum, N first
   * @param m coefficients [R,K]
   * @param k the candidate's index
   * @param dx gradient of the candidate, of the shape of dy
   */
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

  /**
   * dm[n or 0, k] = the dot product of dy and xs[k], over an image or (R = 1) over the batch.
   *
   * @param dy gradient of the sum, N first
   * @param xs K values of the shape of dy
   * @param dm gradient of the coefficients [R,K]
   */
  record WeightedSumBackwardCoefficients(Value dy, List<Value> xs, Value dm) implements Op {
    /** Copies the list. */
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
   * Begins the alternatives of a choice, of which each run takes one: every y is x itself, read by
   * one alternative alone. Nothing is computed or copied.
   *
   * @param x what all alternatives begin with
   * @param choice its number, from 0
   * @param ys x as each alternative reads it
   */
  record Branch(Value x, int choice, List<Value> ys) implements Op {
    /** Copies the list. */
    public Branch {
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

  /**
   * Ends the alternatives of a choice: y is the x of the alternative that a run takes. Nothing is
   * computed or copied; all xs and y lie in one place.
   *
   * @param xs of one shape, each made by its alternative alone
   * @param choice its number, from 0
   * @param y of the shape of xs
   */
  record Choose(List<Value> xs, int choice, Value y) implements Op {
    /** Copies the list. */
    public Choose {
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

  /**
   * Ends a phase of a step and begins the next: a caller may run a phase by itself. A phase reads
   * nothing but stored values of those before it.
   *
   * @param name of what follows
   */
  record Phase(String name) implements Op {
    /** The name of what comes before the first of them. */
    public static final String FIRST = "";

    @Override
    public List<Value> inputs() {
      return List.of();
    }

    @Override
    public List<Value> outputs() {
      return List.of();
    }
  }

  /**
   * m[r,l,:] = softmax((theta[l,:] + g[r,l,:]) / tau), g Gumbel noise keyed by (seed, stream, step,
   * index in m of all ranks), or 0 where the stream is {@link #NO_NOISE}; tau [1], seed and step
   * [1] of 64 bits.
   *
   * @param theta logits [L,K]
   * @param tau temperature [1], above 0
   * @param seed key of the noise [1], i64
   * @param step number of the step [1], i64
   * @param m coefficients [R,L,K]
   * @param stream of the noise: operations of one stream draw the same; or {@link #NO_NOISE}
   * @param before rows that ranks before this one have
   */
  record GumbelSoftmax(
      Value theta, Value tau, Value seed, Value step, Value m, int stream, long before)
      implements Op {
    /** The stream of a plain softmax. */
    public static final int NO_NOISE = -1;

    /** {@return the index of the noise of this rank's first element} */
    public long firstIndex() {
      return before * theta.shape().elements();
    }

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
   *
   * @param x coefficients [R,L,K]
   * @param y of the same shape
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

  /**
   * The gradient of a {@link GumbelSoftmax} with respect to theta, summed over rows.
   *
   * @param m the softmax's result [R,L,K]
   * @param dm its gradient [R,L,K]
   * @param tau temperature [1]
   * @param dtheta gradient of the logits [L,K]
   */
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

  /**
   * ys[l] = x[:, l, :], x of shape [R,L,K].
   *
   * @param x of shape [R,L,K]
   * @param ys L values [R,K]
   */
  record Unstack(Value x, List<Value> ys) implements Op {
    /** Copies the list. */
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

  /**
   * The inverse of {@link Unstack}; an entry that is null counts as zeros.
   *
   * @param xs L values [R,K], some of them null
   * @param y of shape [R,L,K]
   */
  record Stack(List<Value> xs, Value y) implements Op {
    /** Copies the list, nulls and all. */
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

  /**
   * y[N,C] = the mean of x[N,C,H,W] over H and W.
   *
   * @param x images [N,C,H,W]
   * @param y of shape [N,C]
   */
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

  /**
   * The gradient of a {@link GlobalPool}: dx = dy / (H * W), repeated over H and W.
   *
   * @param dy gradient of the means [N,C]
   * @param dx gradient of the images [N,C,H,W]
   */
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

  /**
   * y[N,O] = x[N,C] w[O,C]^T + b[O].
   *
   * @param x of shape [N,C]
   * @param w weights [O,C]
   * @param b bias [O]
   * @param y of shape [N,O]
   */
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

  /**
   * dx[N,C] = dy[N,O] w[O,C].
   *
   * @param dy gradient of the result [N,O]
   * @param w weights [O,C]
   * @param dx gradient of the input [N,C]
   */
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

  /**
   * dw[O,C] = dy^T x, db[O] = the column sums of dy.
   *
   * @param x of shape [N,C]
   * @param dy gradient of the result [N,O]
   * @param dw gradient of the weights [O,C]
   * @param db gradient of the bias [O]
   */
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
   * target is 1 - smoothing at label[n], and smoothing / classes is added everywhere. A label that
   * is no class gives NaN, as does its gradient.
   *
   * @param logits of shape [N,classes]
   * @param labels [N], i32, from 0 to below classes
   * @param loss of shape [N]
   * @param smoothing from 0 to below 1
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

  /**
   * dlogits[n] = (softmax(logits[n]) - target) * dloss[n], as in {@link CrossEntropy}.
   *
   * @param logits of shape [N,classes]
   * @param labels [N], i32, from 0 to below classes
   * @param dloss gradient of the loss [N]
   * @param dlogits gradient of the logits [N,classes]
   * @param smoothing as in the cross-entropy
   */
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

  /**
   * rank[n] = how many other classes have a logit that is not smaller than the label's. Ties and
   * NaNs count: of equal logits no class is the answer, so a dead network is right nowhere. 0 is a
   * correct answer, and as many as there are classes that of a label that is none of them.
   *
   * @param logits of shape [N,classes]
   * @param labels [N], i32, from 0 to below classes
   * @param rank of shape [N], f32
   */
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

  /**
   * y[r] = offset + the dot product of x[r] and constants.
   *
   * @param x R rows of as many elements as there are constants, of any shape [R, ...]
   * @param constants one for each element of a row
   * @param offset added to every dot product
   * @param y of shape [R]
   */
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

  /**
   * dx[r] = dy[r] * constants.
   *
   * @param dy gradient of the dot products [R]
   * @param constants one for each element of a row
   * @param dx of the shape of the rows [R, ...]
   */
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

  /** Element-wise functions, some of them of one parameter p. */
  enum Function {
    /** log(max(x, p)); its gradient is 0 below p. */
    LOG,
    /** x^p, x above 0. */
    POWER,
    /** p x. */
    SCALE,
    /** max(0, x). */
    RELU,
    /** 1 / (1 + e^-x). */
    SIGMOID,
    /** min(max(0, x + 3), 6) / 6. */
    HARD_SIGMOID,
    /** x sigmoid(x) (arXiv 1710.05941, beta 1). */
    SWISH,
    /** x hard_sigmoid(x) (arXiv 1905.02244). */
    HARD_SWISH;

    /**
     * {@return whether it can follow a layer: images may be its operand} Such a function is 0 at 0,
     * so what a back end lays between images stays as it is.
     */
    public boolean isActivation() {
      return this == RELU || this == SWISH || this == HARD_SWISH;
    }

    /**
     * {@return f(x)}
     *
     * @param x where
     * @param p the parameter, of the functions that have one
     */
    public double of(double x, double p) {
      return switch (this) {
        case LOG -> Math.log(Math.max(x, p));
        case POWER -> Math.pow(x, p);
        case SCALE -> x * p;
        case RELU -> Math.max(0, x);
        case SIGMOID -> 1 / (1 + Math.exp(-x));
        case HARD_SIGMOID -> Math.min(Math.max(0, x + 3), 6) / 6;
        case SWISH -> x / (1 + Math.exp(-x));
        case HARD_SWISH -> x * HARD_SIGMOID.of(x, p);
      };
    }

    /**
     * {@return f'(x), and 0 where f has a corner: at 0 of a ReLU, at -3 and 3 of a hard sigmoid}
     *
     * @param x where
     * @param p the parameter, of the functions that have one
     */
    public double slope(double x, double p) {
      return switch (this) {
        case LOG -> x < p ? 0 : 1 / x;
        case POWER -> p * Math.pow(x, p - 1);
        case SCALE -> p;
        case RELU -> x > 0 ? 1 : 0;
        case SIGMOID -> SIGMOID.of(x, p) * SIGMOID.of(-x, p);
        case HARD_SIGMOID -> x > -3 && x < 3 ? 1 / 6.0 : 0;
        case SWISH -> SIGMOID.of(x, p) * (1 + x * SIGMOID.of(-x, p));
        case HARD_SWISH -> HARD_SIGMOID.of(x, p) + x * HARD_SIGMOID.slope(x, p);
      };
    }
  }

  /**
   * y = f(x).
   *
   * @param x of any shape; where it is images f is an activation
   * @param function f
   * @param p its parameter, of the functions that have one
   * @param y of the shape of x
   */
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

  /**
   * dx = f'(x) dy.
   *
   * @param x what the function was applied to, of any shape
   * @param dy gradient of its result, of the shape of x
   * @param function f
   * @param p its parameter
   * @param dx of the shape of x
   */
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
   * y[n,c] = s[n,c] x[n,c]: an image's channels, each times its own number.
   *
   * @param x images [N,C,H,W]
   * @param s factors [N,C]
   * @param y images [N,C,H,W]
   */
  record ScaleChannels(Value x, Value s, Value y) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, s);
    }

    @Override
    public List<Value> outputs() {
      return List.of(y);
    }
  }

  /**
   * ds[n,c] = the dot product of dy[n,c] and x[n,c]: the gradient of a {@link ScaleChannels} with
   * respect to its factors.
   *
   * @param x the images that were scaled [N,C,H,W]
   * @param dy gradient of the result [N,C,H,W]
   * @param ds gradient of the factors [N,C]
   */
  record ScaleChannelsBackwardFactors(Value x, Value dy, Value ds) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(x, dy);
    }

    @Override
    public List<Value> outputs() {
      return List.of(ds);
    }
  }

  /**
   * y = a b element by element; an operand of one element is repeated, and where y has one element
   * the products are summed.
   *
   * @param a of any shape
   * @param b of the shape of a, or one of the two has one element
   * @param y of the shape of the larger one, or [1]
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

  /**
   * y[1] = the mean of all elements of x.
   *
   * @param x of any shape
   * @param y of shape [1]
   */
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

  /**
   * dx = dy[1] / elements, everywhere.
   *
   * @param dy gradient of the mean [1]
   * @param dx of the shape of what the mean was taken of
   */
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

  /**
   * y = a constant everywhere.
   *
   * @param constant the number
   * @param y of any shape
   */
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

  /**
   * ys[i] = the mean of xs[i] over all ranks, in one exchange: the same bits on each of them.
   *
   * @param xs f32 of any shapes, of the same ones on every rank
   * @param ys of the same shapes; the xs themselves where they change in place
   */
  record MeanOverRanks(List<Value> xs, List<Value> ys) implements Op {
    /** Copies the lists. */
    public MeanOverRanks {
      xs = List.copyOf(xs);
      ys = List.copyOf(ys);
    }

    @Override
    public List<Value> inputs() {
      return xs;
    }

    @Override
    public List<Value> outputs() {
      return ys;
    }
  }

  /**
   * finite[1] = 1 where every element of xs is finite, 0 otherwise.
   *
   * @param xs one value or more, of any shapes
   * @param finite flag [1], f32
   */
  record AllFinite(List<Value> xs, Value finite) implements Op {
    /** Copies the list. */
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
   *
   * @param value flat buffer of a set, changed in place
   * @param gradient of the same size
   * @param velocity of the same size, changed in place
   * @param rate learning rate [1]
   * @param finite flag [1]
   * @param momentum share of the velocity that is kept
   * @param weightDecay factor of the L2 term
   * @param decayed how many of the first elements weight decay applies to
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
   *
   * @param target flat buffer of a set, changed in place
   * @param source of the same size
   * @param keep factor of the target [1]
   * @param share factor of the source [1]
   * @param finite flag [1]
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
   *
   * @param value flat buffer of a set, changed in place
   * @param gradient of the same size
   * @param first moving average of the gradient, of the same size, changed in place
   * @param second moving average of its square, of the same size, changed in place
   * @param rate learning rate [1]
   * @param count number of this update [1], f32
   * @param finite flag [1]
   * @param beta1 share of the first moment that is kept
   * @param beta2 share of the second moment that is kept
   * @param epsilon added to the root of the second moment
   * @param weightDecay factor of the L2 term, for every element
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
