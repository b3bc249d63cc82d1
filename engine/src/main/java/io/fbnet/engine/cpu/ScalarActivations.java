package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** The loops one number at a time. */
final class ScalarActivations implements Activations {
  private final ScalarLoops loops;

  ScalarActivations(ScalarLoops loops) {
    this.loops = loops;
  }

  @Override
  public void forward(
      Op.Function f, MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes) {
    for (long o = 0; o < bytes; o += loops.elementBytes()) {
      loops.set(y, yAt + o, (float) f.of(loops.get(x, xAt + o), 0));
    }
  }

  @Override
  public void backward(
      Op.Function f,
      MemorySegment x,
      long xAt,
      MemorySegment dy,
      long dyAt,
      MemorySegment dx,
      long dxAt,
      long bytes) {
    for (long o = 0; o < bytes; o += loops.elementBytes()) {
      double slope = f.slope(loops.get(x, xAt + o), 0);
      loops.set(dx, dxAt + o, (float) (slope * loops.get(dy, dyAt + o)));
    }
  }

  @Override
  public void scale(
      MemorySegment x, long xAt, MemorySegment y, long yAt, int pixels, float[] factors) {
    for (long i = 0; i < (long) pixels * loops.lanes(); i++) {
      long o = i * loops.elementBytes();
      loops.set(y, yAt + o, factors[(int) (i % loops.lanes())] * loops.get(x, xAt + o));
    }
  }

  @Override
  public void dot(MemorySegment x, long xAt, MemorySegment y, long yAt, int pixels, float[] sums) {
    Arrays.fill(sums, 0, loops.lanes(), 0);
    for (long i = 0; i < (long) pixels * loops.lanes(); i++) {
      long o = i * loops.elementBytes();
      sums[(int) (i % loops.lanes())] += loops.get(x, xAt + o) * loops.get(y, yAt + o);
    }
  }
}
