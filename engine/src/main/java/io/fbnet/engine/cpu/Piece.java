package io.fbnet.engine.cpu;

/**
 * A kernel that treats every image by itself: the team's threads call it side by side, each with
 * the images of its share, a few at a time and in order.
 */
interface Piece {
  /** Reads the parameters, before any image. */
  default void begin() {}

  /** Treats the images {@code [from, to)}, a chunk of this thread's share. */
  void images(int from, int to, int thread);

  /** Combines what the threads have summed up, after all images. */
  default void finish() {}

  /** A piece that treats every block of channels of an image by itself, too. */
  abstract class ByBlock implements Piece {
    final ImageLayout layout;

    ByBlock(ImageLayout layout) {
      this.layout = layout;
    }

    /**
     * Treats the blocks {@code [first, last)} of an image of the chunk that starts at {@code from}.
     */
    abstract void blocks(int image, int first, int last, int from, int thread);

    @Override
    public final void images(int from, int to, int thread) {
      for (int n = from; n < to; n++) {
        blocks(n, 0, layout.blocks(), from, thread);
      }
    }
  }
}
