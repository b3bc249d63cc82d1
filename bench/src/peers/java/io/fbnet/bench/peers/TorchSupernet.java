package io.fbnet.bench.peers;

import io.fbnet.bench.StepSetting;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.UnaryOperator;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Adam;
import org.bytedeco.pytorch.AdamOptions;
import org.bytedeco.pytorch.Optimizer;
import org.bytedeco.pytorch.SGD;
import org.bytedeco.pytorch.SGDOptions;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * The supernet and its two steps on Bytedeco's libtorch, written for speed: intermediate tensors
 * are released as soon as autograd does not need them, ReLU works in place, and layouts are kept.
 */
@SuppressWarnings("ReferenceEquality") // whether it is the input itself that must stay
final class TorchSupernet implements AutoCloseable {
  private static final long[] ONE = {1, 1};

  private final PointerScope scope = new PointerScope();
  private final boolean channelsLast;
  private final boolean theta;
  private final TensorVector weights = new TensorVector();
  private final List<Tensor> owned = new ArrayList<>();
  private final UnaryOperator<Tensor> stem;
  private final List<List<UnaryOperator<Tensor>>> layers = new ArrayList<>();
  private final UnaryOperator<Tensor> head;
  private final Tensor classifier;
  private final Tensor bias;
  private final Tensor logits;
  private final Tensor latencies;
  private final Tensor images;
  private final Tensor labels;
  private final Optimizer optimiser;
  private long parameters;
  private long macs;

  /**
   * Builds it with random weights and images.
   *
   * @param theta whether the step trains theta instead of the weights
   */
  TorchSupernet(StepSetting setting, boolean channelsLast, boolean theta, int threads) {
    this.channelsLast = channelsLast;
    this.theta = theta;
    torch.set_num_threads(threads);
    torch.manual_seed(1);
    SearchSpace space = setting.space();
    LayerSpec first = space.layers().getFirst();
    LayerSpec last = space.layers().getLast();
    stem =
        normed(
            convolution(
                space.input().channels(),
                first.inChannels(),
                3,
                space.stem().stride(),
                1,
                first.inHeight() * first.inWidth()),
            first.inChannels(),
            true);
    for (LayerSpec layer : space.layers()) {
      List<UnaryOperator<Tensor>> candidates = new ArrayList<>();
      for (Block block : space.blocks()) {
        candidates.add(block(space, layer, (BlockType) block));
      }
      layers.add(candidates);
    }
    head =
        normed(
            convolution(
                last.outChannels(), space.head(), 1, 1, 1, last.outHeight() * last.outWidth()),
            space.head(),
            true);
    classifier = parameter(torch.randn(space.classes(), space.head()).mul(new Scalar(0.01)));
    bias = parameter(torch.zeros(space.classes()));
    macs += (long) space.classes() * space.head();
    double[][] ms = setting.table();
    float[] flat = new float[ms.length * ms[0].length];
    for (int i = 0; i < flat.length; i++) {
      flat[i] = (float) (1000 * ms[i / ms[0].length][i % ms[0].length]);
    }
    latencies = Tensor.create(flat, ms.length, ms[0].length);
    logits = torch.zeros(ms.length, ms[0].length).set_requires_grad(theta);
    SearchSpace.Input in = space.input();
    images = laidOut(torch.randn(setting.batch(), in.channels(), in.height(), in.width()));
    labels =
        torch.randint(
            space.classes(),
            new long[] {setting.batch()},
            new TensorOptions(torch.ScalarType.Long));
    optimiser = optimiser();
    requireSameNetwork(setting);
  }

  private Optimizer optimiser() {
    if (theta) {
      TensorVector moved = new TensorVector(logits);
      AdamOptions options = new AdamOptions(StepSetting.THETA_RATE);
      options.weight_decay().put(StepSetting.LOSS.thetaWeightDecay());
      return new Adam(moved, options);
    }
    SGDOptions options = new SGDOptions(StepSetting.RATE);
    options.momentum().put(StepSetting.LOSS.momentum());
    options.weight_decay().put(StepSetting.LOSS.weightDecay());
    return new SGD(weights, options);
  }

  private void requireSameNetwork(StepSetting setting) {
    if (parameters != setting.parameters() || macs != setting.macs()) {
      throw new IllegalStateException(
          String.format(
              Locale.ROOT,
              "not the same network: %d parameters and %d multiply-adds here, %d and %d in ours",
              parameters,
              macs,
              setting.parameters(),
              setting.macs()));
    }
  }

  private Tensor laidOut(Tensor x) {
    return channelsLast ? x.contiguous(torch.MemoryFormat.ChannelsLast) : x;
  }

  private Tensor parameter(Tensor values) {
    Tensor laid = values.dim() == 4 ? laidOut(values) : values;
    Tensor p = laid.set_requires_grad(!theta);
    weights.push_back(p);
    owned.add(p);
    parameters += p.numel();
    return p;
  }

  private UnaryOperator<Tensor> convolution(
      int in, int out, int kernel, int stride, int groups, int pixels) {
    double deviation = Math.sqrt(2.0 * groups / (kernel * kernel * out));
    Tensor w = parameter(torch.randn(out, in / groups, kernel, kernel).mul(new Scalar(deviation)));
    long[] strides = {stride, stride};
    long[] padding = {kernel / 2, kernel / 2};
    macs += w.numel() * pixels;
    TensorOptional none = new TensorOptional();
    return x -> torch.conv2d(x, w, none, strides, padding, ONE, groups);
  }

  /** A convolution with its batch norm, which releases what lies between. */
  private UnaryOperator<Tensor> normed(
      UnaryOperator<Tensor> convolution, int channels, boolean relu) {
    TensorOptional gamma = new TensorOptional(parameter(torch.ones(channels)));
    TensorOptional beta = new TensorOptional(parameter(torch.zeros(channels)));
    // A theta step leaves the running statistics alone.
    TensorOptional mean = theta ? new TensorOptional() : new TensorOptional(torch.zeros(channels));
    TensorOptional variance =
        theta ? new TensorOptional() : new TensorOptional(torch.ones(channels));
    return x -> {
      Tensor y = convolution.apply(x);
      Tensor z = torch.batch_norm(y, gamma, beta, mean, variance, true, 0.1, 1e-5, false);
      y.close();
      return relu ? torch.relu_(z) : z;
    };
  }

  private UnaryOperator<Tensor> block(SearchSpace space, LayerSpec layer, BlockType block) {
    if (!block.isPlain()) {
      throw new IllegalArgumentException("the peer has no block " + block.name());
    }
    int out = layer.outChannels();
    int before = layer.inHeight() * layer.inWidth();
    int after = layer.outHeight() * layer.outWidth();
    if (block.isSkip()) {
      return layer.keepsShape()
          ? x -> x
          : normed(convolution(layer.inChannels(), out, 1, layer.stride(), 1, after), out, true);
    }
    int inner = layer.inChannels() * block.expansion();
    int groups = block.groups();
    UnaryOperator<Tensor> expand =
        space.alwaysPw() || block.expansion() != 1
            ? normed(convolution(layer.inChannels(), inner, 1, 1, groups, before), inner, true)
            : x -> x;
    UnaryOperator<Tensor> depthwise =
        normed(
            convolution(inner, inner, block.kernel(), layer.stride(), inner, after), inner, true);
    UnaryOperator<Tensor> project =
        normed(convolution(inner, out, 1, 1, groups, after), out, false);
    return x -> {
      Tensor a = expand.apply(x);
      Tensor b = groups > 1 && a != x ? shuffled(a, groups) : a;
      Tensor c = depthwise.apply(b);
      Tensor d = project.apply(c);
      c.close();
      if (b != x) {
        b.close();
      }
      if (!layer.keepsShape()) {
        return d;
      }
      Tensor sum = d.add(x);
      d.close();
      return sum;
    };
  }

  private static Tensor shuffled(Tensor x, int groups) {
    long n = x.size(0);
    long c = x.size(1);
    Tensor y =
        x.view(n, groups, c / groups, x.size(2), x.size(3))
            .transpose(1, 2)
            .reshape(n, c, x.size(2), x.size(3));
    x.close();
    return y;
  }

  /** One step; the loss it had. */
  float step() {
    try (PointerScope _ = new PointerScope()) {
      optimiser.zero_grad();
      Tensor uniform = torch.rand(logits.size(0), logits.size(1));
      Tensor noise = uniform.clamp_min(new Scalar(1e-7)).log().neg().log().neg();
      Tensor m = torch.softmax(logits.add(noise).div(new Scalar(StepSetting.TAU)), 1);
      Tensor x = stem.apply(images);
      for (int l = 0; l < layers.size(); l++) {
        Tensor row = m.select(0, l);
        Tensor y = mixed(layers.get(l), x, row);
        x.close();
        x = y;
      }
      Tensor pooled = head.apply(x).mean(2, 3);
      Tensor scores = torch.linear(pooled, classifier, new TensorOptional(bias));
      Tensor ce = torch.cross_entropy_loss(scores, labels);
      Tensor ms = m.mul(latencies).sum().add(new Scalar(1000 * StepSetting.FIXED_MS));
      Tensor factor =
          ms.log()
              .pow(new Scalar(StepSetting.LOSS.beta()))
              .mul(new Scalar(StepSetting.LOSS.alpha()));
      Tensor loss = ce.mul(factor);
      loss.backward();
      optimiser.step();
      return loss.item_float();
    }
  }

  private static Tensor mixed(List<UnaryOperator<Tensor>> candidates, Tensor x, Tensor row) {
    Tensor sum = null;
    for (int k = 0; k < candidates.size(); k++) {
      Tensor y = candidates.get(k).apply(x);
      Tensor share = y.mul(row.select(0, k));
      if (y != x) {
        y.close();
      }
      if (sum == null) {
        sum = share;
      } else {
        Tensor next = sum.add(share);
        sum.close();
        share.close();
        sum = next;
      }
    }
    return sum;
  }

  @Override
  public void close() {
    optimiser.close();
    scope.close();
  }
}
