package io.fbnet.engine.reference;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.random.GumbelNoise;
import io.fbnet.engine.random.Philox;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntUnaryOperator;

/** Operations on vectors and matrices: coefficients, losses, the classifier, optimisers. */
final class ReferenceVectors {
  private ReferenceVectors() {}

  static Kernel prepare(Op op, Function<Value, Tensor> t) {
    return switch (op) {
      case Op.Sum s -> sum(s.xs().stream().map(t).toList(), t.apply(s.y()));
      case Op.GumbelSoftmax g -> gumbelSoftmax(g, t);
      case Op.GumbelSoftmaxBackward g -> gumbelSoftmaxBackward(g, t);
      case Op.HardMax h -> hardMax(t.apply(h.x()), t.apply(h.y()));
      case Op.Unstack u -> unstack(t.apply(u.x()), u.ys().stream().map(t).toList());
      case Op.Stack s -> stack(s, t);
      case Op.Linear l -> linear(t.apply(l.x()), t.apply(l.w()), t.apply(l.b()), t.apply(l.y()));
      case Op.LinearBackwardData l ->
          linearBackwardData(t.apply(l.dy()), t.apply(l.w()), t.apply(l.dx()));
      case Op.LinearBackwardWeights l ->
          linearBackwardWeights(t.apply(l.x()), t.apply(l.dy()), t.apply(l.dw()), t.apply(l.db()));
      case Op.CrossEntropy c ->
          crossEntropy(t.apply(c.logits()), t.apply(c.labels()), t.apply(c.loss()), c.smoothing());
      case Op.CrossEntropyBackward c -> crossEntropyBackward(c, t);
      case Op.LabelRank r -> labelRank(t.apply(r.logits()), t.apply(r.labels()), t.apply(r.rank()));
      case Op.DotConstants d ->
          dotConstants(t.apply(d.x()), d.constants(), d.offset(), t.apply(d.y()));
      case Op.DotConstantsBackward d ->
          dotConstantsBackward(t.apply(d.dy()), d.constants(), t.apply(d.dx()));
      case Op.Pointwise p -> pointwise(p, t.apply(p.x()), t.apply(p.y()));
      case Op.PointwiseBackward p ->
          pointwiseBackward(p, t.apply(p.x()), t.apply(p.dy()), t.apply(p.dx()));
      case Op.Multiply m -> multiply(t.apply(m.a()), t.apply(m.b()), t.apply(m.y()));
      case Op.Mean m -> mean(t.apply(m.x()), t.apply(m.y()));
      case Op.MeanBackward m -> {
        Tensor dy = t.apply(m.dy());
        Tensor dx = t.apply(m.dx());
        yield () -> fill(dx, dy.get(0) / dx.size());
      }
      case Op.Fill f -> {
        Tensor y = t.apply(f.y());
        yield () -> fill(y, f.constant());
      }
      case Op.AllFinite f -> allFinite(f.xs().stream().map(t).toList(), t.apply(f.finite()));
      case Op.SgdUpdate s -> sgd(s, t);
      case Op.Blend b -> blend(b, t);
      case Op.AdamUpdate a -> adam(a, t);
      default ->
          throw new IllegalArgumentException(
              "the reference back end has no kernel for " + op.getClass().getSimpleName());
    };
  }

  private static void fill(Tensor t, double v) {
    for (int i = 0; i < t.size(); i++) {
      t.set(i, v);
    }
  }

  private static Kernel sum(List<Tensor> xs, Tensor y) {
    return () -> {
      for (int i = 0; i < y.size(); i++) {
        double s = 0;
        for (Tensor x : xs) {
          s += x.get(i);
        }
        y.set(i, s);
      }
    };
  }

  private static Kernel gumbelSoftmax(Op.GumbelSoftmax g, Function<Value, Tensor> t) {
    Tensor theta = t.apply(g.theta());
    Tensor tau = t.apply(g.tau());
    Tensor seed = t.apply(g.seed());
    Tensor step = t.apply(g.step());
    Tensor m = t.apply(g.m());
    int k = theta.dim(1);
    int perRow = theta.size();
    return () -> {
      for (int at = 0; at < m.size(); at += k) {
        double max = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < k; i++) {
          double noise =
              g.stream() == Op.GumbelSoftmax.NO_NOISE
                  ? 0
                  : GumbelNoise.of(
                      Philox.word(
                          seed.word64(), g.stream(), step.word64(), g.firstIndex() + at + i));
          double v = (theta.get(at % perRow + i) + noise) / tau.get(0);
          m.set(at + i, v);
          max = Math.max(max, v);
        }
        softmax(m, at, k, max);
      }
    };
  }

  private static Kernel hardMax(Tensor x, Tensor y) {
    int k = x.dim(2);
    return () -> {
      for (int at = 0; at < x.size(); at += k) {
        int best = 0;
        double total = 0;
        for (int i = 0; i < k; i++) {
          best = x.get(at + i) > x.get(at + best) ? i : best;
          total += x.get(at + i);
        }
        for (int i = 0; i < k; i++) {
          y.set(at + i, Double.isNaN(total) ? Double.NaN : i == best ? 1 : 0);
        }
      }
    };
  }

  private static void softmax(Tensor m, int at, int k, double max) {
    double total = 0;
    for (int i = 0; i < k; i++) {
      m.set(at + i, Math.exp(m.get(at + i) - max));
      total += m.get(at + i);
    }
    for (int i = 0; i < k; i++) {
      m.set(at + i, m.get(at + i) / total);
    }
  }

  private static Kernel gumbelSoftmaxBackward(
      Op.GumbelSoftmaxBackward g, Function<Value, Tensor> t) {
    Tensor m = t.apply(g.m());
    Tensor dm = t.apply(g.dm());
    Tensor tau = t.apply(g.tau());
    Tensor dtheta = t.apply(g.dtheta());
    int k = dtheta.dim(1);
    return () -> {
      fill(dtheta, 0);
      for (int at = 0; at < m.size(); at += k) {
        double dot = 0;
        for (int i = 0; i < k; i++) {
          dot += m.get(at + i) * dm.get(at + i);
        }
        for (int i = 0; i < k; i++) {
          int to = (at + i) % dtheta.size();
          double d = m.get(at + i) * (dm.get(at + i) - dot) / tau.get(0);
          dtheta.set(to, dtheta.get(to) + d);
        }
      }
    };
  }

  private static Kernel unstack(Tensor x, List<Tensor> ys) {
    return () -> {
      int k = x.dim(2);
      for (int i = 0; i < x.size(); i++) {
        int row = i / (k * ys.size());
        ys.get(i / k % ys.size()).set(row * k + i % k, x.get(i));
      }
    };
  }

  private static Kernel stack(Op.Stack s, Function<Value, Tensor> t) {
    List<Tensor> xs = new ArrayList<>();
    s.xs().forEach(v -> xs.add(v == null ? null : t.apply(v)));
    Tensor y = t.apply(s.y());
    return () -> {
      int k = y.dim(2);
      for (int i = 0; i < y.size(); i++) {
        int row = i / (k * xs.size());
        Tensor x = xs.get(i / k % xs.size());
        y.set(i, x == null ? 0 : x.get(row * k + i % k));
      }
    };
  }

  private static Kernel linear(Tensor x, Tensor w, Tensor b, Tensor y) {
    int c = x.dim(1);
    int o = y.dim(1);
    return () -> {
      for (int i = 0; i < y.size(); i++) {
        double s = b.get(i % o);
        for (int j = 0; j < c; j++) {
          s += x.get(i / o * c + j) * w.get(i % o * c + j);
        }
        y.set(i, s);
      }
    };
  }

  private static Kernel linearBackwardData(Tensor dy, Tensor w, Tensor dx) {
    int c = dx.dim(1);
    int o = dy.dim(1);
    return () -> {
      for (int i = 0; i < dx.size(); i++) {
        double s = 0;
        for (int j = 0; j < o; j++) {
          s += dy.get(i / c * o + j) * w.get(j * c + i % c);
        }
        dx.set(i, s);
      }
    };
  }

  private static Kernel linearBackwardWeights(Tensor x, Tensor dy, Tensor dw, Tensor db) {
    int n = x.dim(0);
    int c = x.dim(1);
    int o = dy.dim(1);
    return () -> {
      for (int i = 0; i < o; i++) {
        double bias = 0;
        for (int r = 0; r < n; r++) {
          bias += dy.get(r * o + i);
        }
        db.set(i, bias);
        for (int j = 0; j < c; j++) {
          double s = 0;
          for (int r = 0; r < n; r++) {
            s += dy.get(r * o + i) * x.get(r * c + j);
          }
          dw.set(i * c + j, s);
        }
      }
    };
  }

  private static double logSumExp(Tensor x, int at, int n) {
    double max = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < n; i++) {
      max = Math.max(max, x.get(at + i));
    }
    double total = 0;
    for (int i = 0; i < n; i++) {
      total += Math.exp(x.get(at + i) - max);
    }
    return max + Math.log(total);
  }

  private static boolean isClass(int label, int classes) {
    return label >= 0 && label < classes;
  }

  /** The logit of an image's own class, NaN where its label is no class. */
  private static double own(Tensor logits, int n, int label) {
    int classes = logits.dim(1);
    return isClass(label, classes) ? logits.get(n * classes + label) : Double.NaN;
  }

  private static Kernel crossEntropy(Tensor logits, Tensor labels, Tensor loss, double smoothing) {
    int classes = logits.dim(1);
    return () -> {
      for (int n = 0; n < loss.size(); n++) {
        double lse = logSumExp(logits, n * classes, classes);
        double nll = lse - own(logits, n, labels.label(n));
        if (smoothing > 0) {
          double all = 0;
          for (int i = 0; i < classes; i++) {
            all += lse - logits.get(n * classes + i);
          }
          nll = (1 - smoothing) * nll + smoothing * all / classes;
        }
        loss.set(n, nll);
      }
    };
  }

  private static Kernel crossEntropyBackward(Op.CrossEntropyBackward c, Function<Value, Tensor> t) {
    Tensor logits = t.apply(c.logits());
    Tensor labels = t.apply(c.labels());
    Tensor dloss = t.apply(c.dloss());
    Tensor dlogits = t.apply(c.dlogits());
    double smoothing = c.smoothing();
    int classes = logits.dim(1);
    return () -> {
      for (int n = 0; n < dloss.size(); n++) {
        double lse = logSumExp(logits, n * classes, classes);
        boolean known = isClass(labels.label(n), classes);
        for (int i = 0; i < classes; i++) {
          double p = Math.exp(logits.get(n * classes + i) - lse);
          double target = (i == labels.label(n) ? 1 - smoothing : 0) + smoothing / classes;
          dlogits.set(n * classes + i, known ? (p - target) * dloss.get(n) : Double.NaN);
        }
      }
    };
  }

  private static Kernel labelRank(Tensor logits, Tensor labels, Tensor rank) {
    int classes = logits.dim(1);
    return () -> {
      for (int n = 0; n < rank.size(); n++) {
        double own = own(logits, n, labels.label(n));
        int ahead = 0;
        for (int i = 0; i < classes; i++) {
          // "not smaller" counts ties and NaNs, so a dead or broken network is never called right.
          ahead += i != labels.label(n) && !(logits.get(n * classes + i) < own) ? 1 : 0;
        }
        rank.set(n, ahead);
      }
    };
  }

  private static Kernel dotConstants(Tensor x, Constants constants, float offset, Tensor y) {
    return () -> {
      for (int r = 0; r < y.size(); r++) {
        double s = offset;
        for (int i = 0; i < constants.size(); i++) {
          s += x.get(r * constants.size() + i) * constants.get(i);
        }
        y.set(r, s);
      }
    };
  }

  private static Kernel dotConstantsBackward(Tensor dy, Constants constants, Tensor dx) {
    return () -> {
      for (int i = 0; i < dx.size(); i++) {
        dx.set(i, dy.get(i / constants.size()) * constants.get(i % constants.size()));
      }
    };
  }

  private static Kernel pointwise(Op.Pointwise p, Tensor x, Tensor y) {
    return () -> {
      for (int i = 0; i < y.size(); i++) {
        y.set(i, p.function().of(x.get(i), p.p()));
      }
    };
  }

  private static Kernel pointwiseBackward(Op.PointwiseBackward p, Tensor x, Tensor dy, Tensor dx) {
    return () -> {
      for (int i = 0; i < dx.size(); i++) {
        dx.set(i, p.function().slope(x.get(i), p.p()) * dy.get(i));
      }
    };
  }

  private static Kernel multiply(Tensor a, Tensor b, Tensor y) {
    int n = Math.max(a.size(), b.size());
    IntUnaryOperator ia = a.size() == 1 ? i -> 0 : i -> i;
    IntUnaryOperator ib = b.size() == 1 ? i -> 0 : i -> i;
    return () -> {
      double total = 0;
      for (int i = 0; i < n; i++) {
        double product = a.get(ia.applyAsInt(i)) * b.get(ib.applyAsInt(i));
        total += product;
        if (y.size() == n) {
          y.set(i, product);
        }
      }
      if (y.size() != n) {
        y.set(0, total);
      }
    };
  }

  private static Kernel mean(Tensor x, Tensor y) {
    return () -> {
      double total = 0;
      for (int i = 0; i < x.size(); i++) {
        total += x.get(i);
      }
      y.set(0, total / x.size());
    };
  }

  private static Kernel allFinite(List<Tensor> xs, Tensor finite) {
    return () -> {
      boolean all = true;
      for (Tensor x : xs) {
        for (int i = 0; i < x.size(); i++) {
          all &= Double.isFinite(x.get(i));
        }
      }
      finite.set(0, all ? 1 : 0);
    };
  }

  private static Kernel sgd(Op.SgdUpdate s, Function<Value, Tensor> t) {
    Tensor value = t.apply(s.value());
    Tensor gradient = t.apply(s.gradient());
    Tensor velocity = t.apply(s.velocity());
    Tensor rate = t.apply(s.rate());
    Tensor finite = t.apply(s.finite());
    return () -> {
      if (finite.get(0) != 1) {
        return;
      }
      for (int i = 0; i < value.size(); i++) {
        double decay = i < s.decayed() ? s.weightDecay() : 0;
        double g = gradient.get(i) + decay * value.get(i);
        velocity.set(i, s.momentum() * velocity.get(i) + g);
        value.set(i, value.get(i) - rate.get(0) * velocity.get(i));
      }
    };
  }

  private static Kernel blend(Op.Blend b, Function<Value, Tensor> t) {
    Tensor target = t.apply(b.target());
    Tensor source = t.apply(b.source());
    Tensor keep = t.apply(b.keep());
    Tensor share = t.apply(b.share());
    Tensor finite = t.apply(b.finite());
    return () -> {
      if (finite.get(0) != 1) {
        return;
      }
      for (int i = 0; i < target.size(); i++) {
        double kept = keep.get(0) == 0 ? 0 : keep.get(0) * target.get(i);
        target.set(i, kept + share.get(0) * source.get(i));
      }
    };
  }

  private static Kernel adam(Op.AdamUpdate a, Function<Value, Tensor> t) {
    Tensor value = t.apply(a.value());
    Tensor gradient = t.apply(a.gradient());
    Tensor first = t.apply(a.first());
    Tensor second = t.apply(a.second());
    Tensor rate = t.apply(a.rate());
    Tensor count = t.apply(a.count());
    Tensor finite = t.apply(a.finite());
    return () -> {
      if (finite.get(0) != 1) {
        return;
      }
      double correction1 = 1 - Math.pow(a.beta1(), count.get(0));
      double correction2 = 1 - Math.pow(a.beta2(), count.get(0));
      for (int i = 0; i < value.size(); i++) {
        double g = gradient.get(i) + a.weightDecay() * value.get(i);
        first.set(i, a.beta1() * first.get(i) + (1 - a.beta1()) * g);
        second.set(i, a.beta2() * second.get(i) + (1 - a.beta2()) * g * g);
        double deviation = Math.sqrt(second.get(i) / correction2) + a.epsilon();
        value.set(i, value.get(i) - rate.get(0) * first.get(i) / correction1 / deviation);
      }
    };
  }
}
