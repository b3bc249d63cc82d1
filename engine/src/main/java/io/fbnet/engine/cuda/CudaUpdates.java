package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** The finite flag, and optimisers that obey it: one kernel over a whole flat buffer. */
final class CudaUpdates {
  private static final int[] ONE = {1, 1, 1};

  private CudaUpdates() {}

  static Kernel allFinite(CudaContext context, Op.AllFinite f, Function<Value, MemorySegment> m) {
    List<Kernel> kernels = new ArrayList<>();
    MemorySegment flag = m.apply(f.finite());
    kernels.add(
        context.kernel(
            context.work(Family.VECTORS).writes(f.finite()),
            "all_finite",
            "all_finite_begin",
            ONE,
            ONE,
            new CudaArguments().pointer(flag)));
    for (Value x : f.xs()) {
      long n = x.shape().elements();
      kernels.add(
          context.elements(
              context.work(Family.VECTORS).reads(x).writes(f.finite()),
              "all_finite",
              context.typed("all_finite", x),
              n / 4 + 1,
              new CudaArguments().pointer(m.apply(x)).i64(n).pointer(flag)));
    }
    return CudaContext.sequence(kernels.toArray(Kernel[]::new));
  }

  static Kernel sgd(CudaContext context, Op.SgdUpdate s, Function<Value, MemorySegment> m) {
    long n = s.value().shape().elements();
    return context.elements(
        context
            .work(Family.VECTORS)
            .reads(s.value(), s.gradient(), s.velocity())
            .writes(s.value(), s.velocity()),
        "sgd",
        "sgd_update",
        n,
        new CudaArguments()
            .pointer(m.apply(s.value()))
            .pointer(m.apply(s.gradient()))
            .pointer(m.apply(s.velocity()))
            .pointer(m.apply(s.rate()))
            .pointer(m.apply(s.finite()))
            .i64(n)
            .i64(s.decayed())
            .f32(s.momentum())
            .f32(s.weightDecay()));
  }

  static Kernel blend(CudaContext context, Op.Blend b, Function<Value, MemorySegment> m) {
    long n = b.target().shape().elements();
    return context.elements(
        context.work(Family.VECTORS).reads(b.target(), b.source()).writes(b.target()),
        "blend",
        "blend_update",
        n,
        new CudaArguments()
            .pointer(m.apply(b.target()))
            .pointer(m.apply(b.source()))
            .pointer(m.apply(b.keep()))
            .pointer(m.apply(b.share()))
            .pointer(m.apply(b.finite()))
            .i64(n));
  }

  static Kernel adam(CudaContext context, Op.AdamUpdate a, Function<Value, MemorySegment> m) {
    long n = a.value().shape().elements();
    return context.elements(
        context
            .work(Family.VECTORS)
            .reads(a.value(), a.gradient(), a.first(), a.second())
            .writes(a.value(), a.first(), a.second()),
        "adam",
        "adam_update",
        n,
        new CudaArguments()
            .pointer(m.apply(a.value()))
            .pointer(m.apply(a.gradient()))
            .pointer(m.apply(a.first()))
            .pointer(m.apply(a.second()))
            .pointer(m.apply(a.rate()))
            .pointer(m.apply(a.count()))
            .pointer(m.apply(a.finite()))
            .i64(n)
            .f32(a.beta1())
            .f32(a.beta2())
            .f32(a.epsilon())
            .f32(a.weightDecay()));
  }
}
