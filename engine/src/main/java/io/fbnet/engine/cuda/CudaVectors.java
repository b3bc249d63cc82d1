package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CublasLtMatmul;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Operations on vectors and matrices, f32 always: coefficients, losses, the classifier. */
final class CudaVectors {
  private static final String FILE = "vectors";

  /** Pointers that the kernels of Stack and Unstack take at once. */
  private static final int MANY = 64;

  private static final int WARP = 32;
  private static final int[] ONE = {1, 1, 1};

  private CudaVectors() {}

  /** The kernel of an operation, or null where it is none of these. */
  static Kernel prepare(CudaContext context, Op op, Function<Value, MemorySegment> m) {
    return switch (op) {
      case Op.GumbelSoftmax g -> gumbelSoftmax(context, g, m);
      case Op.GumbelSoftmaxBackward g -> gumbelSoftmaxBackward(context, g, m);
      case Op.HardMax h -> hardMax(context, h, m);
      case Op.Unstack u -> unstack(context, u, m);
      case Op.Stack s -> stack(context, s, m);
      case Op.Linear l -> linear(context, l, m);
      case Op.LinearBackwardData l -> linearBackwardData(context, l, m);
      case Op.LinearBackwardWeights l -> linearBackwardWeights(context, l, m);
      case Op.CrossEntropy c ->
          rows(
              context,
              c,
              "cross_entropy_forward",
              c.logits(),
              rowArguments(c.logits(), m, c.logits(), c.labels(), c.loss()).f32(c.smoothing()));
      case Op.CrossEntropyBackward c ->
          rows(
              context,
              c,
              "cross_entropy_backward",
              c.logits(),
              rowArguments(c.logits(), m, c.logits(), c.labels(), c.dloss(), c.dlogits())
                  .f32(c.smoothing()));
      case Op.LabelRank r ->
          rows(
              context,
              r,
              "label_rank",
              r.logits(),
              rowArguments(r.logits(), m, r.logits(), r.labels(), r.rank()));
      case Op.DotConstants d -> dotConstants(context, d, m);
      case Op.DotConstantsBackward d -> dotConstantsBackward(context, d, m);
      case Op.Pointwise p ->
          context.elements(
              work(context, p),
              FILE,
              "pointwise_forward",
              p.y().shape().elements(),
              function(new CudaArguments().pointer(m.apply(p.x())), p.function(), p.p())
                  .pointer(m.apply(p.y()))
                  .i64(p.y().shape().elements()));
      case Op.PointwiseBackward p ->
          context.elements(
              work(context, p),
              FILE,
              "pointwise_backward",
              p.dx().shape().elements(),
              function(
                      new CudaArguments().pointer(m.apply(p.x())).pointer(m.apply(p.dy())),
                      p.function(),
                      p.p())
                  .pointer(m.apply(p.dx()))
                  .i64(p.dx().shape().elements()));
      case Op.Multiply p -> multiply(context, p, m);
      case Op.Mean p ->
          context.kernel(
              work(context, p),
              FILE,
              "mean_forward",
              ONE,
              CudaContext.THREADS,
              new CudaArguments()
                  .pointer(m.apply(p.x()))
                  .pointer(m.apply(p.y()))
                  .i64(p.x().shape().elements()));
      case Op.MeanBackward p ->
          context.elements(
              work(context, p),
              FILE,
              "mean_backward",
              p.dx().shape().elements(),
              new CudaArguments()
                  .pointer(m.apply(p.dy()))
                  .pointer(m.apply(p.dx()))
                  .i64(p.dx().shape().elements()));
      case Op.Fill f ->
          context.elements(
              work(context, f),
              FILE,
              "fill",
              f.y().shape().elements(),
              new CudaArguments()
                  .pointer(m.apply(f.y()))
                  .f32(f.constant())
                  .i64(f.y().shape().elements()));
      default -> null;
    };
  }

  private static CudaArguments function(CudaArguments arguments, Op.Function function, float p) {
    return arguments.i32(CudaActivations.code(function)).f32(p);
  }

  /** Each input once and each output once. */
  private static Work work(CudaContext context, Op op) {
    return context
        .work(Family.VECTORS)
        .reads(op.inputs().toArray(Value[]::new))
        .writes(op.outputs().toArray(Value[]::new));
  }

  private static int size(Value v) {
    return Math.toIntExact(v.shape().elements());
  }

  private static Kernel gumbelSoftmax(
      CudaContext context, Op.GumbelSoftmax g, Function<Value, MemorySegment> m) {
    int rows = g.m().shape().get(0);
    int layers = g.m().shape().get(1);
    return context.elements(
        work(context, g),
        "gumbel_softmax",
        "gumbel_softmax_forward",
        (long) WARP * rows * layers,
        new CudaArguments()
            .pointer(m.apply(g.theta()))
            .pointer(m.apply(g.tau()))
            .pointer(m.apply(g.seed()))
            .pointer(m.apply(g.step()))
            .pointer(m.apply(g.m()))
            .i32(rows)
            .i32(layers)
            .i32(g.m().shape().get(2))
            .i32(g.stream())
            .i64(g.firstIndex()));
  }

  private static Kernel hardMax(
      CudaContext context, Op.HardMax h, Function<Value, MemorySegment> m) {
    int rows = h.x().shape().get(0) * h.x().shape().get(1);
    return context.elements(
        work(context, h),
        "gumbel_softmax",
        "hard_max",
        rows,
        new CudaArguments()
            .pointer(m.apply(h.x()))
            .pointer(m.apply(h.y()))
            .i32(rows)
            .i32(h.x().shape().get(2)));
  }

  private static Kernel gumbelSoftmaxBackward(
      CudaContext context, Op.GumbelSoftmaxBackward g, Function<Value, MemorySegment> m) {
    int layers = g.m().shape().get(1);
    return context.elements(
        work(context, g),
        "gumbel_softmax",
        "gumbel_softmax_backward",
        (long) WARP * layers,
        new CudaArguments()
            .pointer(m.apply(g.m()))
            .pointer(m.apply(g.dm()))
            .pointer(m.apply(g.tau()))
            .pointer(m.apply(g.dtheta()))
            .i32(g.m().shape().get(0))
            .i32(layers)
            .i32(g.m().shape().get(2)));
  }

  private static Kernel unstack(
      CudaContext context, Op.Unstack u, Function<Value, MemorySegment> m) {
    List<MemorySegment> ys = u.ys().stream().map(m).toList();
    return layers(
        context,
        ys,
        u.x().shape().get(0),
        u.x().shape().get(2),
        "unstack",
        pointers -> new CudaArguments().pointer(m.apply(u.x())).pointers(MANY, pointers));
  }

  private static Kernel stack(CudaContext context, Op.Stack s, Function<Value, MemorySegment> m) {
    List<MemorySegment> xs = new ArrayList<>();
    s.xs().forEach(v -> xs.add(v == null ? null : m.apply(v)));
    return layers(
        context,
        xs,
        s.y().shape().get(0),
        s.y().shape().get(2),
        "stack",
        pointers -> new CudaArguments().pointers(MANY, pointers).pointer(m.apply(s.y())));
  }

  private static Kernel layers(
      CudaContext context,
      List<MemorySegment> layers,
      int rows,
      int k,
      String name,
      Function<List<MemorySegment>, CudaArguments> begin) {
    List<Kernel> kernels = new ArrayList<>();
    for (int first = 0; first < layers.size(); first += MANY) {
      List<MemorySegment> some = layers.subList(first, Math.min(layers.size(), first + MANY));
      kernels.add(
          context.elements(
              context
                  .work(Family.VECTORS)
                  .reads(4L * rows * some.size() * k)
                  .writes(4L * rows * some.size() * k),
              FILE,
              name,
              (long) rows * some.size() * k,
              begin.apply(some).i32(rows).i32(layers.size()).i32(first).i32(some.size()).i32(k)));
    }
    return CudaContext.sequence(kernels.toArray(Kernel[]::new));
  }

  /** A kernel with one warp a row of logits. */
  private static Kernel rows(
      CudaContext context, Op op, String name, Value logits, CudaArguments arguments) {
    return context.elements(
        work(context, op), "cross_entropy", name, (long) WARP * logits.shape().get(0), arguments);
  }

  /** Pointers, then rows and columns of the logits. */
  private static CudaArguments rowArguments(
      Value logits, Function<Value, MemorySegment> m, Value... pointers) {
    CudaArguments arguments = new CudaArguments();
    for (Value v : pointers) {
      arguments.pointer(m.apply(v));
    }
    return arguments.i32(logits.shape().get(0)).i32(logits.shape().get(1));
  }

  /** A row-major matrix of its own. */
  private static Operand matrix(Value v, Function<Value, MemorySegment> m) {
    int columns = v.shape().get(1);
    return new Operand(m.apply(v), CublasLtMatmul.Type.F32, v.shape().get(0), columns, columns, 0);
  }

  private static Kernel linear(CudaContext context, Op.Linear l, Function<Value, MemorySegment> m) {
    int n = l.y().shape().get(0);
    int o = l.y().shape().get(1);
    return CudaContext.sequence(
        CudaProduct.of(
            context,
            Family.CLASSIFIER,
            matrix(l.x(), m),
            false,
            matrix(l.w(), m),
            true,
            matrix(l.y(), m),
            1),
        context.elements(
            context.work(Family.VECTORS).reads(l.y(), l.b()).writes(l.y()),
            "linear",
            "add_bias",
            (long) n * o,
            new CudaArguments().pointer(m.apply(l.y())).pointer(m.apply(l.b())).i32(n).i32(o)));
  }

  private static Kernel linearBackwardData(
      CudaContext context, Op.LinearBackwardData l, Function<Value, MemorySegment> m) {
    return CudaProduct.of(
        context,
        Family.CLASSIFIER,
        matrix(l.dy(), m),
        false,
        matrix(l.w(), m),
        false,
        matrix(l.dx(), m),
        1);
  }

  private static Kernel linearBackwardWeights(
      CudaContext context, Op.LinearBackwardWeights l, Function<Value, MemorySegment> m) {
    int n = l.dy().shape().get(0);
    int o = l.dy().shape().get(1);
    return CudaContext.sequence(
        CudaProduct.of(
            context,
            Family.CLASSIFIER,
            matrix(l.dy(), m),
            true,
            matrix(l.x(), m),
            false,
            matrix(l.dw(), m),
            1),
        context.addedParts(
            context.work(Family.VECTORS).reads(l.dy()).writes(l.db()),
            "linear",
            "column_sums",
            o,
            new CudaArguments().pointer(m.apply(l.dy())).pointer(m.apply(l.db())).i32(n).i32(o)));
  }

  /** Constants in device memory that lives as long as the graph. */
  static MemorySegment constants(CudaContext context, Constants constants) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(4L * constants.size(), 64);
      for (int i = 0; i < constants.size(); i++) {
        host.setAtIndex(JAVA_FLOAT, i, constants.get(i));
      }
      return context.upload(host);
    }
  }

  private static Kernel dotConstants(
      CudaContext context, Op.DotConstants d, Function<Value, MemorySegment> m) {
    int rows = size(d.y());
    return context.elements(
        work(context, d),
        FILE,
        "dot_constants_forward",
        (long) WARP * rows,
        new CudaArguments()
            .pointer(m.apply(d.x()))
            .pointer(constants(context, d.constants()))
            .f32(d.offset())
            .pointer(m.apply(d.y()))
            .i32(rows)
            .i32(d.constants().size()));
  }

  private static Kernel dotConstantsBackward(
      CudaContext context, Op.DotConstantsBackward d, Function<Value, MemorySegment> m) {
    return context.elements(
        work(context, d),
        FILE,
        "dot_constants_backward",
        d.dx().shape().elements(),
        new CudaArguments()
            .pointer(m.apply(d.dy()))
            .pointer(constants(context, d.constants()))
            .pointer(m.apply(d.dx()))
            .i32(size(d.dy()))
            .i32(d.constants().size()));
  }

  private static Kernel multiply(
      CudaContext context, Op.Multiply p, Function<Value, MemorySegment> m) {
    CudaArguments arguments =
        new CudaArguments()
            .pointer(m.apply(p.a()))
            .i32(size(p.a()))
            .pointer(m.apply(p.b()))
            .i32(size(p.b()))
            .pointer(m.apply(p.y()))
            .i32(size(p.y()));
    boolean sums = size(p.y()) < Math.max(size(p.a()), size(p.b()));
    return sums
        ? context.kernel(work(context, p), FILE, "multiply", ONE, CudaContext.THREADS, arguments)
        : context.elements(work(context, p), FILE, "multiply", size(p.y()), arguments);
  }
}
