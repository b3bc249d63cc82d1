package io.fbnet.engine.program;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * A step of a random search space: a few layers of a few candidates, most of them as FBNet's, some
 * of other kinds, with odd channels, strides, groups and sizes.
 *
 * @param graph with the loss and every wanted gradient as outputs
 * @param description what was drawn
 */
record RandomSupernet(Graph graph, String description) {
  /** What is differentiated. */
  enum Wanted {
    WEIGHTS,
    THETA,
    BOTH
  }

  static RandomSupernet of(long seed) {
    return new Builder(seed, 1, false).build();
  }

  /** One whose blocks have ReLU or other activations, with squeeze-and-excitation or without. */
  static RandomSupernet ofActivations(long seed) {
    return new Builder(seed, 1, true).build();
  }

  /** The same with eight times the channels: 16 bytes in bf16, as vectors want them. */
  static RandomSupernet ofVectors(long seed) {
    return new Builder(seed, 8, false).build();
  }

  private static final class Builder {
    private final Random random;
    private final GraphBuilder b = new GraphBuilder();
    private final List<Value> weights = new ArrayList<>();
    private final StringBuilder description = new StringBuilder();
    private final Wanted wanted;

    /** What all channels but those of the images are multiples of. */
    private final int unit;

    /** Whether blocks may have other activations than ReLU, and squeeze-and-excitation. */
    private final boolean activations;

    Builder(long seed, int unit, boolean activations) {
      this.unit = unit;
      this.activations = activations;
      random = new Random(seed);
      wanted = List.of(Wanted.values()).get(random.nextInt(3));
      description.append("seed ").append(seed).append(": ").append(wanted);
    }

    private Value parameter(String name, boolean decayed, double deviation, int... shape) {
      Value v = b.parameter("weights", name, decayed, new Initial.Normal(deviation), shape);
      weights.add(v);
      return v;
    }

    private Value statistic(String name, double start, int channels) {
      return b.parameter("statistics", name, false, new Initial.Constant((float) start), channels);
    }

    private Value unit(String name, Value x, int out, int k, int stride, int groups, boolean relu) {
      int in = x.shape().get(1);
      Value w = parameter(name + ".w", true, 1, out, in / groups, k, k);
      Value y = b.convolution(x, w, stride, groups);
      return b.batchNorm(
          y,
          parameter(name + ".gamma", false, 1, out),
          parameter(name + ".beta", false, 1, out),
          statistic(name + ".mean", 0, out),
          statistic(name + ".variance", 1, out),
          wanted == Wanted.THETA ? null : b.control("momentum", Type.F32),
          1e-3f,
          relu);
    }

    /** A unit whose ReLU may be another activation in its place. */
    private Value activated(
        String name, Value x, int out, int k, int stride, int groups, Op.Function activation) {
      Value y = unit(name, x, out, k, stride, groups, activation == Op.Function.RELU);
      return activation == Op.Function.RELU ? y : b.pointwise(y, activation);
    }

    private Value squeezeAndExcitation(String name, Value x) {
      int channels = x.shape().get(1);
      int narrow = 1 + random.nextInt(channels);
      Value squeezed =
          b.linear(
              b.globalPool(x),
              parameter(name + ".w1", true, 1, narrow, channels),
              parameter(name + ".b1", false, 1, narrow));
      Value gate =
          b.linear(
              b.pointwise(squeezed, Op.Function.RELU),
              parameter(name + ".w2", true, 1, channels, narrow),
              parameter(name + ".b2", false, 1, channels));
      return b.scaleChannels(x, b.pointwise(gate, Op.Function.HARD_SIGMOID));
    }

    private Value block(String name, Value x, int out, int stride, boolean expands) {
      int in = x.shape().get(1);
      int groups = random.nextInt(3) == 0 && in % 2 == 0 && out % 2 == 0 ? 2 : 1;
      int inner = in * (expands ? 1 + random.nextInt(3) : 1);
      int k = random.nextBoolean() ? 3 : 5;
      Op.Function activation =
          switch (activations ? random.nextInt(4) : 0) {
            case 1 -> Op.Function.SWISH;
            case 2 -> Op.Function.HARD_SWISH;
            default -> Op.Function.RELU;
          };
      boolean squeezes = activations && random.nextInt(3) == 0;
      description.append(" k%d_e%d_g%d%s".formatted(k, inner / in, groups, expands ? "" : "!"));
      description.append(activations ? "_" + activation + (squeezes ? "_se" : "") : "");
      Value y = x;
      if (expands) {
        y = activated(name + ".expand", y, inner, 1, 1, groups, activation);
        y = groups > 1 ? b.channelShuffle(y, groups) : y;
      }
      y = activated(name + ".depthwise", y, inner, k, stride, inner, activation);
      y = squeezes ? squeezeAndExcitation(name + ".se", y) : y;
      y = unit(name + ".project", y, out, 1, 1, groups, false);
      return stride == 1 && in == out ? b.sum(List.of(x, y)) : y;
    }

    private Value candidate(String name, Value x, int out, int stride) {
      boolean keeps = stride == 1 && x.shape().get(1) == out;
      return switch (random.nextInt(8)) {
        case 0 -> {
          description.append(" skip");
          yield keeps ? x : unit(name + ".skip", x, out, 1, stride, 1, true);
        }
        case 1 -> {
          description.append(" conv3");
          yield unit(name + ".conv", x, out, 3, stride, 1, true);
        }
        case 2 -> block(name, x, out, stride, false);
        default -> block(name, x, out, stride, true);
      };
    }

    RandomSupernet build() {
      int batch = 2 + random.nextInt(4);
      int size = 5 + random.nextInt(5);
      boolean perImage = random.nextBoolean();
      int layers = 1 + random.nextInt(3);
      int candidates = 2 + random.nextInt(random.nextInt(4) == 0 ? 10 : 4);
      description.append(
          " batch %d %dx%d%s".formatted(batch, size, size, perImage ? " per image" : ""));
      Value theta = b.parameter("theta", "theta", true, new Initial.Normal(1), layers, candidates);
      List<Value> m =
          b.unstack(
              b.gumbelSoftmax(
                  theta,
                  b.control("tau", Type.F32),
                  b.control("seed", Type.I64),
                  b.control("step", Type.I64),
                  perImage ? batch : 1,
                  1));
      int channels = unit * (unit == 1 ? 3 + random.nextInt(14) : 1 + random.nextInt(4));
      Value x = b.input("images", Type.F32, batch, 3, size, size);
      // Without a stem the first layer's input has no gradient.
      if (unit > 1 || random.nextInt(3) > 0) {
        x = unit("stem", x, channels, 3, 1, 1, true);
      }
      for (int layer = 0; layer < layers; layer++) {
        int stride = 1 + random.nextInt(2);
        int out =
            random.nextBoolean() && stride == 1
                ? x.shape().get(1)
                : unit * (unit == 1 ? 2 + random.nextInt(15) : 1 + random.nextInt(4));
        description.append(" | %d->%d s%d:".formatted(x.shape().get(1), out, stride));
        List<Value> results = new ArrayList<>();
        for (int k = 0; k < candidates; k++) {
          results.add(candidate(layer + "." + k, x, out, stride));
        }
        x = b.weightedSum(results, m.get(layer));
      }
      int classes = 5;
      Value logits =
          b.linear(
              b.globalPool(
                  b.convolution(x, parameter("head.w", true, 1, 9, x.shape().get(1), 1, 1), 1, 1)),
              parameter("fc.w", true, 1, classes, 9),
              parameter("fc.b", false, 1, classes));
      Value loss = b.mean(b.crossEntropy(logits, b.input("labels", Type.I32, batch)));
      b.output("loss", loss);
      List<Value> all = new ArrayList<>(wanted == Wanted.THETA ? List.of() : weights);
      if (wanted != Wanted.WEIGHTS) {
        all.add(theta);
      }
      Map<Value, Value> gradients = Autodiff.gradients(b, loss, all);
      gradients.forEach((p, g) -> b.output("d " + p.name(), g));
      return new RandomSupernet(b.build(), description.toString());
    }
  }
}
