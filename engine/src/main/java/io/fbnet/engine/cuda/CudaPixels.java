package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.function.Function;

/** Images made of the bytes that came from the host. */
final class CudaPixels {
  private CudaPixels() {}

  static Kernel normalise(
      CudaContext context, Op.NormaliseImages p, Function<Value, MemorySegment> m) {
    int n = p.y().shape().get(0);
    int height = p.y().shape().get(2);
    int width = p.y().shape().get(3);
    return context.elements(
        context.work(Family.MIX).reads(p.pixels(), p.windows()).writes(p.y()).rounds(2),
        "pixels",
        context.typed("normalise_images", p.y()),
        (long) n * height * width,
        new CudaArguments()
            .pointer(m.apply(p.pixels()))
            .pointer(m.apply(p.windows()))
            .pointer(CudaVectors.constants(context, p.table()))
            .pointer(m.apply(p.y()))
            .i32(n)
            .i32(p.y().shape().get(1))
            .i32(height)
            .i32(width));
  }
}
