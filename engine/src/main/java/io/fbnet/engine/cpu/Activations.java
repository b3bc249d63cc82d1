package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;

/**
 * The inner loops of activations by themselves and of what squeeze-and-excitation does to images,
 * which lie as {@link Loops} says.
 */
interface Activations {
  /**
   * y = f(x), f an activation.
   *
   * @throws IllegalArgumentException where f is none
   */
  void forward(Op.Function f, MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes);

  /** dx = f'(x) dy. It may take the place of one of the two. */
  void backward(
      Op.Function f,
      MemorySegment x,
      long xAt,
      MemorySegment dy,
      long dyAt,
      MemorySegment dx,
      long dxAt,
      long bytes);

  /** y = factors[lane] x, for the pixels of one block. */
  void scale(MemorySegment x, long xAt, MemorySegment y, long yAt, int pixels, float[] factors);

  /** sums[lane] = the sum over the pixels of one block of x y. */
  void dot(MemorySegment x, long xAt, MemorySegment y, long yAt, int pixels, float[] sums);
}
