package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.util.stream.IntStream;

/** Walks all pixels of a split, in order, a few images at a time. */
final class PixelBlocks {
  private static final int BYTES = 1 << 22;

  /** Takes images that lie one behind the other at the beginning of an array. */
  interface Visitor {
    void visit(byte[] images, int count);
  }

  private PixelBlocks() {}

  static void forEach(ImageSet set, Visitor visitor) {
    int bytes = set.shape().bytes();
    int most = Math.max(1, BYTES / bytes);
    byte[] images = new byte[Math.min(most, Math.max(1, set.size())) * bytes];
    for (int from = 0; from < set.size(); from += most) {
      int count = Math.min(most, set.size() - from);
      set.copy(IntStream.range(from, from + count).toArray(), MemorySegment.ofArray(images));
      visitor.visit(images, count);
    }
  }
}
