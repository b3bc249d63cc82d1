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

/** Sums, weighted sums, channel shuffle and pooling. */
final class CudaMix {
  /** Pointers that the kernels' struct has room for; longer sums go in several launches. */
  private static final int POINTERS = 16;

  private static final String WEIGHTED = "weighted_sum";
  private static final int LEAST_ELEMENTS = 4096;

  private CudaMix() {}

  private interface Piece {
    Kernel of(List<MemorySegment> pointers, int first);
  }

  /** Kernels for at most as many values as one launch takes. */
  private static Kernel pieces(List<Value> xs, Function<Value, MemorySegment> m, Piece piece) {
    List<Kernel> kernels = new ArrayList<>();
    for (int first = 0; first < xs.size(); first += POINTERS) {
      List<MemorySegment> pointers =
          xs.subList(first, Math.min(xs.size(), first + POINTERS)).stream().map(m).toList();
      kernels.add(piece.of(pointers, first));
    }
    return CudaContext.sequence(kernels.toArray(Kernel[]::new));
  }

  static Kernel sum(CudaContext context, Op.Sum s, Function<Value, MemorySegment> m) {
    long n = s.y().shape().elements();
    return pieces(
        s.xs(),
        m,
        (pointers, first) ->
            context.elements(
                context
                    .work(Family.MIX)
                    .reads(pointers.size() + (first == 0 ? 0 : 1), s.y())
                    .writes(s.y()),
                "sum",
                context.typed("sum", s.y()),
                n / 4 + 1,
                new CudaArguments()
                    .pointers(POINTERS, pointers)
                    .i32(pointers.size())
                    .pointer(m.apply(s.y()))
                    .i64(n)
                    .i32(first == 0 ? 0 : 1)));
  }

  static Kernel weightedSum(
      CudaContext context, Op.WeightedSum w, Function<Value, MemorySegment> m) {
    long n = w.y().shape().elements();
    int batch = w.y().shape().get(0);
    return pieces(
        w.xs(),
        m,
        (pointers, first) ->
            context.elements(
                context
                    .work(Family.MIX)
                    .reads(pointers.size() + (first == 0 ? 0 : 1), w.y())
                    .reads(w.m())
                    .writes(w.y()),
                WEIGHTED,
                context.typed("weighted_sum_forward", w.y()),
                n / 4 + 1,
                new CudaArguments()
                    .pointers(POINTERS, pointers)
                    .i32(pointers.size())
                    .i32(first)
                    .pointer(m.apply(w.m()))
                    .i32(w.xs().size())
                    .pointer(m.apply(w.y()))
                    .i64(n / batch)
                    .i32(batch)
                    .i32(perImage(w.m()))
                    .i32(first == 0 ? 0 : 1)));
  }

  private static int perImage(Value m) {
    return m.shape().get(0) > 1 ? 1 : 0;
  }

  static Kernel backwardInput(
      CudaContext context, Op.WeightedSumBackwardInput w, Function<Value, MemorySegment> m) {
    long n = w.dx().shape().elements();
    int batch = w.dx().shape().get(0);
    return context.elements(
        context.work(Family.MIX).reads(w.dy(), w.m()).writes(w.dx()),
        WEIGHTED,
        context.typed("weighted_sum_backward_input", w.dx()),
        n / 4 + 1,
        new CudaArguments()
            .pointer(m.apply(w.dy()))
            .pointer(m.apply(w.m()))
            .i32(w.m().shape().get(1))
            .i32(w.k())
            .pointer(m.apply(w.dx()))
            .i64(n / batch)
            .i32(batch)
            .i32(perImage(w.m())));
  }

  static Kernel backwardCoefficients(
      CudaContext context, Op.WeightedSumBackwardCoefficients w, Function<Value, MemorySegment> m) {
    int rows = w.dm().shape().get(0);
    return pieces(
        w.xs(),
        m,
        (pointers, first) ->
            coefficients(
                context, pointers, w.dy(), m, m.apply(w.dm()), rows, w.xs().size(), first));
  }

  /** The dot product of dy and one tensor: of each image, or of all where there is one row. */
  static Kernel coefficients(
      CudaContext context,
      MemorySegment x,
      Value dy,
      Function<Value, MemorySegment> m,
      MemorySegment dm,
      int rows,
      int candidates,
      int first) {
    return coefficients(context, List.of(x), dy, m, dm, rows, candidates, first);
  }

  /**
   * Neighbouring columns of the gradient of mixing weights.
   *
   * @param xs tensors like dy, one a column
   * @param dm [rows, candidates]
   * @param first the first column
   */
  private static Kernel coefficients(
      CudaContext context,
      List<MemorySegment> xs,
      Value dy,
      Function<Value, MemorySegment> m,
      MemorySegment dm,
      int rows,
      int candidates,
      int first) {
    int batch = dy.shape().get(0);
    long image = dy.shape().elements() / batch;
    int parts = context.parts(image, LEAST_ELEMENTS, batch);
    long partialBytes = 4L * parts * batch * POINTERS;
    MemorySegment partial = context.scratch("partial", partialBytes);
    return CudaContext.sequence(
        context.kernel(
            context
                .work(Family.COEFFICIENTS)
                .reads(xs.size() + 1, dy)
                .writes(partialBytes)
                .over(image / 4, (long) parts * CudaContext.BLOCK)
                .rounds(xs.size()),
            WEIGHTED,
            context.typed("weighted_sum_backward_coefficients", dy),
            new int[] {parts, batch, 1},
            CudaContext.THREADS,
            new CudaArguments()
                .pointers(POINTERS, xs)
                .i32(xs.size())
                .pointer(m.apply(dy))
                .pointer(partial)
                .i64(image)),
        context.elements(
            context
                .work(Family.COEFFICIENTS_END)
                .reads(partialBytes)
                .writes((long) Float.BYTES * rows * xs.size()),
            WEIGHTED,
            "weighted_sum_backward_coefficients_finish",
            (long) CudaContext.BLOCK * rows,
            new CudaArguments()
                .pointer(partial)
                .pointer(dm)
                .i32(parts)
                .i32(batch)
                .i32(candidates)
                .i32(first)
                .i32(xs.size())
                .i32(rows > 1 ? 1 : 0)));
  }

  static Kernel channelShuffle(
      CudaContext context, Op.ChannelShuffle s, Function<Value, MemorySegment> m) {
    int c = s.x().shape().get(1);
    long n = s.x().shape().elements();
    return context.elements(
        context.work(Family.MIX).reads(s.x()).writes(s.y()),
        "channel_shuffle",
        context.typed("channel_shuffle", s.x()),
        n,
        new CudaArguments()
            .pointer(m.apply(s.x()))
            .pointer(m.apply(s.y()))
            .i64(n / c)
            .i32(c)
            .i32(s.groups()));
  }

  static Kernel globalPool(CudaContext context, Op.GlobalPool p, Function<Value, MemorySegment> m) {
    return pool(context, "global_pool_forward", p.x(), p.y().shape().elements(), m, p.x(), p.y());
  }

  static Kernel globalPoolBackward(
      CudaContext context, Op.GlobalPoolBackward p, Function<Value, MemorySegment> m) {
    return pool(
        context, "global_pool_backward", p.dx(), p.dx().shape().elements(), m, p.dy(), p.dx());
  }

  private static Kernel pool(
      CudaContext context,
      String name,
      Value images,
      long items,
      Function<Value, MemorySegment> m,
      Value from,
      Value to) {
    return context.elements(
        context.work(Family.MIX).reads(from).writes(to),
        "global_pool",
        context.typed(name, images),
        items,
        new CudaArguments()
            .pointer(m.apply(from))
            .pointer(m.apply(to))
            .i32(images.shape().get(0))
            .i32(images.shape().get(2) * images.shape().get(3))
            .i32(images.shape().get(1)));
  }
}
