package io.fbnet.engine.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * Has Java compile the vector loops before the first step needs them, on a thread of its own.
 * Uncompiled they run a thousand times slower, and the compiler takes a second for all of them:
 * meanwhile graphs are built, programs compiled and weights drawn. It ends when every loop is
 * compiled, or after three seconds where none of them ever is.
 */
final class LoopWarmUp implements Runnable {
  /** Pixels of a row and of a column. */
  private static final int SIDE = 8;

  private static final int PIXELS = SIDE * SIDE;

  private static final int TAPS = 25;

  /** Nanoseconds a pixel: a compiled loop takes about one, an uncompiled one a thousand. */
  private static final long COMPILED = 60;

  private static final long GIVE_UP = 3_000_000_000L;

  private record Call(Runnable loop, int pixels) {
    /** Runs the loop and says whether it was as fast as compiled code is. */
    boolean isCompiled() {
      long start = System.nanoTime();
      loop.run();
      return System.nanoTime() - start < COMPILED * pixels;
    }
  }

  private final Loops images;
  private final Loops parameters;

  /**
   * Calls every loop that a training step runs often.
   *
   * @param images loops over images
   * @param parameters loops over parameters
   */
  LoopWarmUp(Loops images, Loops parameters) {
    this.images = images;
    this.parameters = parameters;
  }

  @Override
  public void run() {
    try (Arena arena = Arena.ofConfined()) {
      List<Call> left = calls(arena);
      long begun = System.nanoTime();
      while (!left.isEmpty() && System.nanoTime() - begun < GIVE_UP) {
        left.removeIf(Call::isCompiled);
      }
    }
  }

  private List<Call> calls(Arena arena) {
    int lanes = images.lanes();
    long bytes = (long) PIXELS * lanes * images.elementBytes();
    long wide = (long) PIXELS * lanes * Float.BYTES;
    MemorySegment x = arena.allocate(wide, wide);
    MemorySegment y = arena.allocate(wide, wide);
    MemorySegment z = arena.allocate(wide, wide);
    // As many as make sums of three and of one.
    MemorySegment[] xs = {x, x, x, x, x, x, x};
    float[] weights = new float[xs.length];
    float[] c = new float[lanes];
    float[] acc = new float[2 * lanes];
    float[] taps = new float[TAPS * lanes];
    int frame = SIDE + 4;
    float[] padded = new float[frame * frame * lanes];
    List<Call> calls = new ArrayList<>();
    for (boolean relu : new boolean[] {true, false}) {
      add(calls, () -> images.normalise(x, 0, y, 0, PIXELS, c, c, c, 0, relu));
      add(calls, () -> images.backwardMoments(x, 0, y, 0, PIXELS, c, c, c, 0, relu, acc));
      add(calls, () -> images.backwardNormalise(x, 0, y, 0, z, 0, PIXELS, c, c, c, c, c, 0, relu));
    }
    add(calls, () -> images.moments(x, 0, PIXELS, c, 0, acc));
    add(calls, () -> images.weightedSum(xs, new long[xs.length], weights, 0, y, 0, bytes));
    calls.add(
        new Call(
            () -> images.depthwise5Weights(padded, frame, y, 0, SIDE, SIDE, 1, taps, 0),
            TAPS * PIXELS));
    add(calls, () -> images.scale(x, 0, 1, y, 0, bytes));
    add(calls, () -> images.dot(x, 0, y, 0, bytes, acc));
    add(calls, () -> images.read(x, 0, bytes, padded, 0));
    add(calls, () -> parameters.sgd(x, y, z, 0, wide, 0, 0, 0));
    if (images.elementBytes() != Float.BYTES) {
      add(calls, () -> images.widen(x, 0, y, 0, bytes));
      add(calls, () -> images.narrow(x, 0, y, 0, bytes));
    }
    return calls;
  }

  private static void add(List<Call> calls, Runnable loop) {
    calls.add(new Call(loop, PIXELS));
  }
}
