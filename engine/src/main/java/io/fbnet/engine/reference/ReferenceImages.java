package io.fbnet.engine.reference;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.RankMeans;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** Operations on images, row-major N, C, H, W. */
final class ReferenceImages {
  private ReferenceImages() {}

  /** The kernel of an image operation, or null for any other. */
  static Kernel prepare(Op op, Function<Value, Tensor> t, Communicator ranks) {
    return switch (op) {
      case Op.NormaliseImages p -> normaliseImages(p, t);
      case Op.Convolution c -> {
        Taps taps =
            new Taps(t.apply(c.x()), t.apply(c.w()), t.apply(c.y()), c.stride(), c.groups());
        yield taps::forward;
      }
      case Op.ConvolutionBackwardData c -> {
        Taps taps =
            new Taps(t.apply(c.dx()), t.apply(c.w()), t.apply(c.dy()), c.stride(), c.groups());
        yield taps::backwardData;
      }
      case Op.ConvolutionBackwardWeights c -> {
        Taps taps =
            new Taps(t.apply(c.x()), t.apply(c.dw()), t.apply(c.dy()), c.stride(), c.groups());
        yield taps::backwardWeights;
      }
      case Op.BatchNorm bn -> batchNorm(bn, t, ranks);
      case Op.BatchNormApply bn -> batchNormApply(bn, t);
      case Op.BatchNormInference bn -> batchNormInference(bn, t);
      case Op.BatchNormBackward bn -> batchNormBackward(bn, t, ranks);
      case Op.ChannelShuffle s -> channelShuffle(t.apply(s.x()), t.apply(s.y()), s.groups());
      case Op.WeightedSum w -> weightedSum(w, t);
      case Op.WeightedSumBackwardInput w ->
          weightedSumBackwardInput(t.apply(w.dy()), t.apply(w.m()), w.k(), t.apply(w.dx()));
      case Op.WeightedSumBackwardCoefficients w -> weightedSumBackwardCoefficients(w, t);
      case Op.GlobalPool p -> globalPool(t.apply(p.x()), t.apply(p.y()));
      case Op.GlobalPoolBackward p -> globalPoolBackward(t.apply(p.dy()), t.apply(p.dx()));
      case Op.ScaleChannels s -> scaleChannels(t.apply(s.x()), t.apply(s.s()), t.apply(s.y()));
      case Op.ScaleChannelsBackwardFactors s ->
          scaleChannelsBackwardFactors(t.apply(s.x()), t.apply(s.dy()), t.apply(s.ds()));
      default -> null;
    };
  }

  private static Kernel normaliseImages(Op.NormaliseImages op, Function<Value, Tensor> t) {
    Tensor pixels = t.apply(op.pixels());
    Tensor windows = t.apply(op.windows());
    Tensor y = t.apply(op.y());
    int channels = y.dim(1);
    int height = y.dim(2);
    int width = y.dim(3);
    return () -> {
      for (int at = 0; at < y.size(); at++) {
        int plane = at / (height * width);
        int window = plane / channels * 3;
        int j = at % width;
        int column = windows.label(window + 2) != 0 ? width - 1 - j : j;
        int row = at / width % height + windows.label(window);
        column += windows.label(window + 1);
        boolean inside = row >= 0 && row < height && column >= 0 && column < width;
        int pixel = inside ? pixels.pixel((plane * height + row) * width + column) : 0;
        int c = plane % channels;
        y.set(at, (pixel / 255.0 - op.mean().get(c)) / op.deviation().get(c));
      }
    };
  }

  /** The index arithmetic that a convolution and its two gradients share. */
  private record Taps(Tensor x, Tensor w, Tensor y, int stride, int groups) {
    private interface Body {
      void at(int xi, int wi, int yi);
    }

    private void each(Body body) {
      int n = x.dim(0);
      int c = x.dim(1);
      int h = x.dim(2);
      int wd = x.dim(3);
      int o = y.dim(1);
      int oh = y.dim(2);
      int ow = y.dim(3);
      int k = w.dim(2);
      int cg = c / groups;
      int og = o / groups;
      for (int in = 0; in < n; in++) {
        for (int io = 0; io < o; io++) {
          for (int ic = 0; ic < cg; ic++) {
            int channel = io / og * cg + ic;
            for (int r = 0; r < oh * ow; r++) {
              int yi = (in * o + io) * oh * ow + r;
              for (int tap = 0; tap < k * k; tap++) {
                int ih = r / ow * stride + tap / k - k / 2;
                int iw = r % ow * stride + tap % k - k / 2;
                if (ih >= 0 && ih < h && iw >= 0 && iw < wd) {
                  body.at(
                      ((in * c + channel) * h + ih) * wd + iw, (io * cg + ic) * k * k + tap, yi);
                }
              }
            }
          }
        }
      }
    }

    void forward() {
      zero(y);
      each((xi, wi, yi) -> y.data[y.offset + yi] += x.get(xi) * w.get(wi));
    }

    void backwardData() {
      zero(x);
      each((xi, wi, yi) -> x.data[x.offset + xi] += y.get(yi) * w.get(wi));
    }

    void backwardWeights() {
      zero(w);
      each((xi, wi, yi) -> w.data[w.offset + wi] += y.get(yi) * x.get(xi));
    }
  }

  private static void zero(Tensor t) {
    Arrays.fill(t.data, t.offset, t.offset + t.size(), 0);
  }

  private interface ChannelBody {
    void at(int i);
  }

  private static void eachOfChannel(Tensor x, int channel, ChannelBody body) {
    int plane = x.dim(2) * x.dim(3);
    for (int n = 0; n < x.dim(0); n++) {
      int base = (n * x.dim(1) + channel) * plane;
      for (int i = 0; i < plane; i++) {
        body.at(base + i);
      }
    }
  }

  private static Kernel batchNorm(Op.BatchNorm bn, Function<Value, Tensor> t, Communicator ranks) {
    Tensor x = t.apply(bn.x());
    Tensor gamma = t.apply(bn.gamma());
    Tensor beta = t.apply(bn.beta());
    Tensor y = t.apply(bn.y());
    Tensor mean = t.apply(bn.mean());
    Tensor inverse = t.apply(bn.inverseDeviation());
    boolean moves = bn.momentum() != null;
    Tensor runningMean = moves ? t.apply(bn.runningMean()) : null;
    Tensor runningVariance = moves ? t.apply(bn.runningVariance()) : null;
    Tensor momentum = moves ? t.apply(bn.momentum()) : null;
    Communicator all = bn.overRanks() ? ranks : Communicator.alone();
    int own = x.size() / x.dim(1);
    long count = (long) own * all.size();
    return () -> {
      for (int c = 0; c < x.dim(1); c++) {
        double[] sum = new double[1];
        eachOfChannel(x, c, i -> sum[0] += x.get(i));
        RankMeans.of(all, sum);
        double m = sum[0] / own;
        double[] squares = new double[1];
        eachOfChannel(x, c, i -> squares[0] += (x.get(i) - m) * (x.get(i) - m));
        RankMeans.of(all, squares);
        double variance = squares[0] / own;
        double inv = 1 / Math.sqrt(variance + bn.epsilon());
        mean.set(c, m);
        inverse.set(c, inv);
        normalise(x, c, m, inv, gamma.get(c), beta.get(c), bn.relu(), y);
        if (moves) {
          double p = momentum.get(0);
          double unbiased = count > 1 ? variance * count / (count - 1) : variance;
          runningMean.set(c, (1 - p) * runningMean.get(c) + p * m);
          runningVariance.set(c, (1 - p) * runningVariance.get(c) + p * unbiased);
        }
      }
    };
  }

  private static Kernel batchNormApply(Op.BatchNormApply bn, Function<Value, Tensor> t) {
    Tensor x = t.apply(bn.x());
    Tensor y = t.apply(bn.y());
    Tensor gamma = t.apply(bn.gamma());
    Tensor beta = t.apply(bn.beta());
    Tensor mean = t.apply(bn.mean());
    Tensor inverse = t.apply(bn.inverseDeviation());
    return () -> {
      for (int c = 0; c < x.dim(1); c++) {
        normalise(x, c, mean.get(c), inverse.get(c), gamma.get(c), beta.get(c), bn.relu(), y);
      }
    };
  }

  private static void normalise(
      Tensor x, int c, double m, double inv, double g, double b, boolean relu, Tensor y) {
    eachOfChannel(
        x,
        c,
        i -> {
          double v = (x.get(i) - m) * inv * g + b;
          y.set(i, relu ? Math.max(0, v) : v);
        });
  }

  private static Kernel batchNormInference(Op.BatchNormInference bn, Function<Value, Tensor> t) {
    Tensor x = t.apply(bn.x());
    Tensor y = t.apply(bn.y());
    Tensor gamma = t.apply(bn.gamma());
    Tensor beta = t.apply(bn.beta());
    Tensor mean = t.apply(bn.runningMean());
    Tensor variance = t.apply(bn.runningVariance());
    return () -> {
      for (int c = 0; c < x.dim(1); c++) {
        double scale = gamma.get(c) / Math.sqrt(variance.get(c) + bn.epsilon());
        double shift = beta.get(c) - mean.get(c) * scale;
        eachOfChannel(
            x,
            c,
            i -> {
              double v = x.get(i) * scale + shift;
              y.set(i, bn.relu() ? Math.max(0, v) : v);
            });
      }
    };
  }

  private static Kernel batchNormBackward(
      Op.BatchNormBackward bn, Function<Value, Tensor> t, Communicator ranks) {
    Tensor x = t.apply(bn.x());
    Tensor dy = t.apply(bn.dy());
    Tensor gamma = t.apply(bn.gamma());
    Tensor beta = t.apply(bn.beta());
    Tensor mean = t.apply(bn.mean());
    Tensor inverse = t.apply(bn.inverseDeviation());
    Tensor dx = t.apply(bn.dx());
    Tensor dgamma = bn.dgamma() == null ? null : t.apply(bn.dgamma());
    Tensor dbeta = bn.dbeta() == null ? null : t.apply(bn.dbeta());
    Communicator all = bn.overRanks() ? ranks : Communicator.alone();
    int count = x.size() / x.dim(1);
    return () -> {
      for (int c = 0; c < x.dim(1); c++) {
        double m = mean.get(c);
        double inv = inverse.get(c);
        double g = gamma.get(c);
        double b = beta.get(c);
        double[] sums = new double[2];
        eachOfChannel(
            x,
            c,
            i -> {
              double normal = (x.get(i) - m) * inv;
              double d = bn.relu() && normal * g + b <= 0 ? 0 : dy.get(i);
              sums[0] += d;
              sums[1] += d * normal;
            });
        double[] of = sums.clone();
        RankMeans.of(all, of);
        eachOfChannel(
            x,
            c,
            i -> {
              double normal = (x.get(i) - m) * inv;
              double d = bn.relu() && normal * g + b <= 0 ? 0 : dy.get(i);
              dx.set(i, g * inv * (d - of[0] / count - normal * of[1] / count));
            });
        if (dgamma != null) {
          dgamma.set(c, sums[1]);
        }
        if (dbeta != null) {
          dbeta.set(c, sums[0]);
        }
      }
    };
  }

  private static Kernel channelShuffle(Tensor x, Tensor y, int groups) {
    int c = x.dim(1);
    int plane = x.dim(2) * x.dim(3);
    return () -> {
      for (int n = 0; n < x.dim(0); n++) {
        for (int g = 0; g < groups; g++) {
          for (int i = 0; i < c / groups; i++) {
            int from = (n * c + g * (c / groups) + i) * plane;
            int to = (n * c + i * groups + g) * plane;
            System.arraycopy(x.data, x.offset + from, y.data, y.offset + to, plane);
          }
        }
      }
    };
  }

  private static Kernel weightedSum(Op.WeightedSum w, Function<Value, Tensor> t) {
    List<Tensor> xs = w.xs().stream().map(t).toList();
    Tensor m = t.apply(w.m());
    Tensor y = t.apply(w.y());
    int image = y.size() / y.dim(0);
    return () -> {
      for (int i = 0; i < y.size(); i++) {
        int row = m.dim(0) == 1 ? 0 : i / image;
        double sum = 0;
        for (int k = 0; k < xs.size(); k++) {
          sum += m.get(row * xs.size() + k) * xs.get(k).get(i);
        }
        y.set(i, sum);
      }
    };
  }

  private static Kernel weightedSumBackwardInput(Tensor dy, Tensor m, int k, Tensor dx) {
    int image = dy.size() / dy.dim(0);
    return () -> {
      for (int i = 0; i < dy.size(); i++) {
        int row = m.dim(0) == 1 ? 0 : i / image;
        dx.set(i, m.get(row * m.dim(1) + k) * dy.get(i));
      }
    };
  }

  private static Kernel weightedSumBackwardCoefficients(
      Op.WeightedSumBackwardCoefficients w, Function<Value, Tensor> t) {
    List<Tensor> xs = w.xs().stream().map(t).toList();
    Tensor dy = t.apply(w.dy());
    Tensor dm = t.apply(w.dm());
    int image = dy.size() / dy.dim(0);
    return () -> {
      zero(dm);
      for (int i = 0; i < dy.size(); i++) {
        int row = dm.dim(0) == 1 ? 0 : i / image;
        for (int k = 0; k < xs.size(); k++) {
          int at = row * xs.size() + k;
          dm.set(at, dm.get(at) + dy.get(i) * xs.get(k).get(i));
        }
      }
    };
  }

  private static Kernel globalPool(Tensor x, Tensor y) {
    int plane = x.dim(2) * x.dim(3);
    return () -> {
      for (int i = 0; i < y.size(); i++) {
        double sum = 0;
        for (int p = 0; p < plane; p++) {
          sum += x.get(i * plane + p);
        }
        y.set(i, sum / plane);
      }
    };
  }

  private static Kernel globalPoolBackward(Tensor dy, Tensor dx) {
    int plane = dx.dim(2) * dx.dim(3);
    return () -> {
      for (int i = 0; i < dx.size(); i++) {
        dx.set(i, dy.get(i / plane) / plane);
      }
    };
  }

  private static Kernel scaleChannels(Tensor x, Tensor s, Tensor y) {
    int plane = x.dim(2) * x.dim(3);
    return () -> {
      for (int i = 0; i < y.size(); i++) {
        y.set(i, x.get(i) * s.get(i / plane));
      }
    };
  }

  private static Kernel scaleChannelsBackwardFactors(Tensor x, Tensor dy, Tensor ds) {
    int plane = x.dim(2) * x.dim(3);
    return () -> {
      for (int i = 0; i < ds.size(); i++) {
        double sum = 0;
        for (int p = 0; p < plane; p++) {
          sum += x.get(i * plane + p) * dy.get(i * plane + p);
        }
        ds.set(i, sum);
      }
    };
  }
}
