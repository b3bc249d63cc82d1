package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.random.GumbelNoise;
import io.fbnet.engine.random.Philox;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Operations on a few thousand numbers at most: one thread, sums in double. */
final class CpuVectors {
  private CpuVectors() {}

  static Kernel prepare(Op op, Function<Value, MemorySegment> m) {
    return switch (op) {
      case Op.GumbelSoftmax g -> gumbelSoftmax(g, m);
      case Op.GumbelSoftmaxBackward g -> gumbelSoftmaxBackward(g, m);
      case Op.HardMax h -> hardMax(h, m);
      case Op.Unstack u -> unstack(u, m);
      case Op.Stack s -> stack(s, m);
      case Op.CrossEntropy c -> crossEntropy(c, m);
      case Op.CrossEntropyBackward c -> crossEntropyBackward(c, m);
      case Op.LabelRank r -> labelRank(r, m);
      case Op.DotConstants d -> dotConstants(d, m);
      case Op.DotConstantsBackward d -> dotConstantsBackward(d, m);
      case Op.Pointwise p -> pointwise(p, m);
      case Op.PointwiseBackward p -> pointwiseBackward(p, m);
      case Op.Multiply p -> multiply(p, m);
      case Op.Mean p -> mean(p, m);
      case Op.MeanBackward p -> {
        MemorySegment dy = m.apply(p.dy());
        MemorySegment dx = m.apply(p.dx());
        int n = size(p.dx());
        yield () -> fill(dx, n, get(dy, 0) / n);
      }
      case Op.Fill f -> {
        MemorySegment y = m.apply(f.y());
        int n = size(f.y());
        yield () -> fill(y, n, f.constant());
      }
      default ->
          throw new IllegalArgumentException(
              "the cpu back end has no kernel for " + op.getClass().getSimpleName());
    };
  }

  private static int size(Value v) {
    return Math.toIntExact(v.shape().elements());
  }

  private static float get(MemorySegment s, long i) {
    return s.getAtIndex(JAVA_FLOAT, i);
  }

  private static void set(MemorySegment s, long i, double v) {
    s.setAtIndex(JAVA_FLOAT, i, (float) v);
  }

  private static void fill(MemorySegment s, int n, float v) {
    for (long i = 0; i < n; i++) {
      s.setAtIndex(JAVA_FLOAT, i, v);
    }
  }

  private static Kernel gumbelSoftmax(Op.GumbelSoftmax g, Function<Value, MemorySegment> m) {
    MemorySegment theta = m.apply(g.theta());
    MemorySegment tau = m.apply(g.tau());
    MemorySegment seed = m.apply(g.seed());
    MemorySegment step = m.apply(g.step());
    MemorySegment out = m.apply(g.m());
    int k = g.theta().shape().get(1);
    int perRow = size(g.theta());
    int total = size(g.m());
    double[] scores = new double[k];
    return () -> {
      long s = seed.get(JAVA_LONG, 0);
      long t = step.get(JAVA_LONG, 0);
      for (int at = 0; at < total; at += k) {
        double max = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < k; i++) {
          float noise =
              g.stream() == Op.GumbelSoftmax.NO_NOISE
                  ? 0
                  : GumbelNoise.of(Philox.word(s, g.stream(), t, g.firstIndex() + at + i));
          scores[i] = ((double) get(theta, at % perRow + i) + noise) / get(tau, 0);
          max = Math.max(max, scores[i]);
        }
        double sum = 0;
        for (int i = 0; i < k; i++) {
          scores[i] = Math.exp(scores[i] - max);
          sum += scores[i];
        }
        for (int i = 0; i < k; i++) {
          set(out, at + i, scores[i] / sum);
        }
      }
    };
  }

  private static Kernel hardMax(Op.HardMax h, Function<Value, MemorySegment> m) {
    MemorySegment x = m.apply(h.x());
    MemorySegment y = m.apply(h.y());
    int k = h.x().shape().get(2);
    int total = size(h.x());
    return () -> {
      for (int at = 0; at < total; at += k) {
        int best = 0;
        float sum = 0;
        for (int i = 0; i < k; i++) {
          best = get(x, at + i) > get(x, at + best) ? i : best;
          sum += get(x, at + i);
        }
        for (int i = 0; i < k; i++) {
          set(y, at + i, Float.isNaN(sum) ? Float.NaN : i == best ? 1 : 0);
        }
      }
    };
  }

  private static Kernel gumbelSoftmaxBackward(
      Op.GumbelSoftmaxBackward g, Function<Value, MemorySegment> mem) {
    MemorySegment m = mem.apply(g.m());
    MemorySegment dm = mem.apply(g.dm());
    MemorySegment tau = mem.apply(g.tau());
    MemorySegment dtheta = mem.apply(g.dtheta());
    int k = g.dtheta().shape().get(1);
    int total = size(g.m());
    double[] sums = new double[size(g.dtheta())];
    return () -> {
      java.util.Arrays.fill(sums, 0);
      for (int at = 0; at < total; at += k) {
        double dot = 0;
        for (int i = 0; i < k; i++) {
          dot += (double) get(m, at + i) * get(dm, at + i);
        }
        for (int i = 0; i < k; i++) {
          sums[(at + i) % sums.length] += get(m, at + i) * (get(dm, at + i) - dot) / get(tau, 0);
        }
      }
      for (int i = 0; i < sums.length; i++) {
        set(dtheta, i, sums[i]);
      }
    };
  }

  private static Kernel unstack(Op.Unstack u, Function<Value, MemorySegment> m) {
    MemorySegment x = m.apply(u.x());
    List<MemorySegment> ys = u.ys().stream().map(m).toList();
    int k = u.x().shape().get(2);
    int total = size(u.x());
    return () -> {
      for (int i = 0; i < total; i++) {
        int row = i / (k * ys.size());
        set(ys.get(i / k % ys.size()), (long) row * k + i % k, get(x, i));
      }
    };
  }

  private static Kernel stack(Op.Stack s, Function<Value, MemorySegment> m) {
    List<MemorySegment> xs = new ArrayList<>();
    s.xs().forEach(v -> xs.add(v == null ? null : m.apply(v)));
    MemorySegment y = m.apply(s.y());
    int k = s.y().shape().get(2);
    int total = size(s.y());
    return () -> {
      for (int i = 0; i < total; i++) {
        int row = i / (k * xs.size());
        MemorySegment x = xs.get(i / k % xs.size());
        set(y, i, x == null ? 0 : get(x, (long) row * k + i % k));
      }
    };
  }

  private static double logSumExp(MemorySegment x, long at, int n) {
    double max = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < n; i++) {
      max = Math.max(max, get(x, at + i));
    }
    double total = 0;
    for (int i = 0; i < n; i++) {
      total += Math.exp(get(x, at + i) - max);
    }
    return max + Math.log(total);
  }

  private static boolean isClass(int label, int classes) {
    return label >= 0 && label < classes;
  }

  private static Kernel crossEntropy(Op.CrossEntropy c, Function<Value, MemorySegment> m) {
    MemorySegment logits = m.apply(c.logits());
    MemorySegment labels = m.apply(c.labels());
    MemorySegment loss = m.apply(c.loss());
    int batch = size(c.loss());
    int classes = c.logits().shape().get(1);
    double smoothing = c.smoothing();
    return () -> {
      for (int n = 0; n < batch; n++) {
        long at = (long) n * classes;
        double lse = logSumExp(logits, at, classes);
        int label = labels.getAtIndex(JAVA_INT, n);
        double nll = isClass(label, classes) ? lse - get(logits, at + label) : Double.NaN;
        if (smoothing > 0) {
          double all = 0;
          for (int i = 0; i < classes; i++) {
            all += lse - get(logits, at + i);
          }
          nll = (1 - smoothing) * nll + smoothing * all / classes;
        }
        set(loss, n, nll);
      }
    };
  }

  private static Kernel crossEntropyBackward(
      Op.CrossEntropyBackward c, Function<Value, MemorySegment> m) {
    MemorySegment logits = m.apply(c.logits());
    MemorySegment labels = m.apply(c.labels());
    MemorySegment dloss = m.apply(c.dloss());
    MemorySegment dlogits = m.apply(c.dlogits());
    int batch = size(c.dloss());
    int classes = c.logits().shape().get(1);
    double smoothing = c.smoothing();
    return () -> {
      for (int n = 0; n < batch; n++) {
        long at = (long) n * classes;
        double lse = logSumExp(logits, at, classes);
        int label = labels.getAtIndex(JAVA_INT, n);
        double scale = isClass(label, classes) ? get(dloss, n) : Double.NaN;
        for (int i = 0; i < classes; i++) {
          double p = Math.exp(get(logits, at + i) - lse);
          double target = (i == label ? 1 - smoothing : 0) + smoothing / classes;
          set(dlogits, at + i, (p - target) * scale);
        }
      }
    };
  }

  private static Kernel labelRank(Op.LabelRank r, Function<Value, MemorySegment> m) {
    MemorySegment logits = m.apply(r.logits());
    MemorySegment labels = m.apply(r.labels());
    MemorySegment rank = m.apply(r.rank());
    int batch = size(r.rank());
    int classes = r.logits().shape().get(1);
    return () -> {
      for (int n = 0; n < batch; n++) {
        long at = (long) n * classes;
        int label = labels.getAtIndex(JAVA_INT, n);
        float own = isClass(label, classes) ? get(logits, at + label) : Float.NaN;
        int ahead = 0;
        for (int i = 0; i < classes; i++) {
          // "not smaller" counts ties and NaNs, so a dead or broken network is never called right.
          ahead += i != label && !(get(logits, at + i) < own) ? 1 : 0;
        }
        set(rank, n, ahead);
      }
    };
  }

  private static Kernel dotConstants(Op.DotConstants d, Function<Value, MemorySegment> m) {
    MemorySegment x = m.apply(d.x());
    MemorySegment y = m.apply(d.y());
    Constants constants = d.constants();
    int rows = size(d.y());
    return () -> {
      for (int r = 0; r < rows; r++) {
        double s = d.offset();
        for (int i = 0; i < constants.size(); i++) {
          s += (double) get(x, (long) r * constants.size() + i) * constants.get(i);
        }
        set(y, r, s);
      }
    };
  }

  private static Kernel dotConstantsBackward(
      Op.DotConstantsBackward d, Function<Value, MemorySegment> m) {
    MemorySegment dy = m.apply(d.dy());
    MemorySegment dx = m.apply(d.dx());
    Constants constants = d.constants();
    int total = size(d.dx());
    return () -> {
      for (int i = 0; i < total; i++) {
        set(dx, i, get(dy, i / constants.size()) * constants.get(i % constants.size()));
      }
    };
  }

  private static Kernel pointwise(Op.Pointwise p, Function<Value, MemorySegment> m) {
    MemorySegment x = m.apply(p.x());
    MemorySegment y = m.apply(p.y());
    int n = size(p.y());
    return () -> {
      for (int i = 0; i < n; i++) {
        set(y, i, p.function().of(get(x, i), p.p()));
      }
    };
  }

  private static Kernel pointwiseBackward(
      Op.PointwiseBackward p, Function<Value, MemorySegment> m) {
    MemorySegment x = m.apply(p.x());
    MemorySegment dy = m.apply(p.dy());
    MemorySegment dx = m.apply(p.dx());
    int n = size(p.dx());
    return () -> {
      for (int i = 0; i < n; i++) {
        set(dx, i, p.function().slope(get(x, i), p.p()) * get(dy, i));
      }
    };
  }

  private static Kernel multiply(Op.Multiply p, Function<Value, MemorySegment> m) {
    MemorySegment a = m.apply(p.a());
    MemorySegment b = m.apply(p.b());
    MemorySegment y = m.apply(p.y());
    int sizeA = size(p.a());
    int sizeB = size(p.b());
    int n = Math.max(sizeA, sizeB);
    boolean reduce = size(p.y()) != n;
    return () -> {
      double total = 0;
      for (int i = 0; i < n; i++) {
        double product = (double) get(a, sizeA == 1 ? 0 : i) * get(b, sizeB == 1 ? 0 : i);
        total += product;
        if (!reduce) {
          set(y, i, product);
        }
      }
      if (reduce) {
        set(y, 0, total);
      }
    };
  }

  private static Kernel mean(Op.Mean p, Function<Value, MemorySegment> m) {
    MemorySegment x = m.apply(p.x());
    MemorySegment y = m.apply(p.y());
    int n = size(p.x());
    return () -> {
      double total = 0;
      for (int i = 0; i < n; i++) {
        total += get(x, i);
      }
      set(y, 0, total / n);
    };
  }
}
