package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.function.Function;

/** Optimiser updates over a set's flat buffers, and the check that guards them. */
final class CpuUpdates {
  private CpuUpdates() {}

  static Kernel allFinite(CpuContext context, Op.AllFinite f, Function<Value, MemorySegment> m) {
    MemorySegment[] xs = f.xs().stream().map(m).toArray(MemorySegment[]::new);
    MemorySegment finite = m.apply(f.finite());
    Loops[] loops = f.xs().stream().map(context::loops).toArray(Loops[]::new);
    boolean[] good = new boolean[context.team.threads()];
    return () -> {
      boolean all = true;
      for (int i = 0; i < xs.length; i++) {
        MemorySegment x = xs[i];
        Loops over = loops[i];
        long unit = (long) over.lanes() * over.elementBytes();
        int units = Math.toIntExact(x.byteSize() / unit);
        java.util.Arrays.fill(good, true);
        context.parallel(
            units,
            unit,
            (from, to, thread) -> good[thread] = over.finite(x, from * unit, (to - from) * unit));
        for (boolean g : good) {
          all &= g;
        }
        for (long o = units * unit; o < x.byteSize(); o += Float.BYTES) {
          all &= Float.isFinite(x.get(JAVA_FLOAT, o));
        }
      }
      finite.set(JAVA_FLOAT, 0, all ? 1 : 0);
    };
  }

  static Kernel sgd(CpuContext context, Op.SgdUpdate s, Function<Value, MemorySegment> m) {
    MemorySegment value = m.apply(s.value());
    MemorySegment gradient = m.apply(s.gradient());
    MemorySegment velocity = m.apply(s.velocity());
    MemorySegment rate = m.apply(s.rate());
    MemorySegment finite = m.apply(s.finite());
    long unit = 4L * context.loops.lanes();
    int units = Math.toIntExact(s.value().shape().elements() * Float.BYTES / unit);
    int decayed = Math.toIntExact(s.decayed() * Float.BYTES / unit);
    CpuContext.Body body =
        (from, to, thread) -> {
          float r = rate.get(JAVA_FLOAT, 0);
          int border = Math.clamp(decayed, from, to);
          context.loops.sgd(
              value,
              gradient,
              velocity,
              from * unit,
              (border - from) * unit,
              r,
              s.momentum(),
              s.weightDecay());
          context.loops.sgd(
              value, gradient, velocity, border * unit, (to - border) * unit, r, s.momentum(), 0);
        };
    return () -> {
      if (finite.get(JAVA_FLOAT, 0) == 1) {
        context.parallel(units, unit, body);
      }
    };
  }

  static Kernel blend(CpuContext context, Op.Blend b, Function<Value, MemorySegment> m) {
    MemorySegment target = m.apply(b.target());
    MemorySegment source = m.apply(b.source());
    MemorySegment keep = m.apply(b.keep());
    MemorySegment share = m.apply(b.share());
    MemorySegment finite = m.apply(b.finite());
    long unit = 4L * context.loops.lanes();
    int units = Math.toIntExact(b.target().shape().elements() * Float.BYTES / unit);
    CpuContext.Body body =
        (from, to, thread) ->
            context.loops.blend(
                target,
                source,
                from * unit,
                (to - from) * unit,
                keep.get(JAVA_FLOAT, 0),
                share.get(JAVA_FLOAT, 0));
    return () -> {
      if (finite.get(JAVA_FLOAT, 0) == 1) {
        context.parallel(units, unit, body);
      }
    };
  }

  /** Theta has a few hundred elements: a plain loop. */
  static Kernel adam(Op.AdamUpdate a, Function<Value, MemorySegment> m) {
    MemorySegment value = m.apply(a.value());
    MemorySegment gradient = m.apply(a.gradient());
    MemorySegment first = m.apply(a.first());
    MemorySegment second = m.apply(a.second());
    MemorySegment rate = m.apply(a.rate());
    MemorySegment count = m.apply(a.count());
    MemorySegment finite = m.apply(a.finite());
    return () -> {
      if (finite.get(JAVA_FLOAT, 0) != 1) {
        return;
      }
      double t = count.get(JAVA_FLOAT, 0);
      double correction1 = 1 - StrictMath.pow(a.beta1(), t);
      double correction2 = 1 - StrictMath.pow(a.beta2(), t);
      double step = rate.get(JAVA_FLOAT, 0) / correction1;
      for (long i = 0; i < a.value().shape().elements(); i++) {
        float w = value.getAtIndex(JAVA_FLOAT, i);
        float g = gradient.getAtIndex(JAVA_FLOAT, i) + a.weightDecay() * w;
        float v = a.beta1() * first.getAtIndex(JAVA_FLOAT, i) + (1 - a.beta1()) * g;
        float q = a.beta2() * second.getAtIndex(JAVA_FLOAT, i) + (1 - a.beta2()) * g * g;
        first.setAtIndex(JAVA_FLOAT, i, v);
        second.setAtIndex(JAVA_FLOAT, i, q);
        double deviation = Math.sqrt(q / correction2) + a.epsilon();
        value.setAtIndex(JAVA_FLOAT, i, (float) (w - step * v / deviation));
      }
    };
  }
}
