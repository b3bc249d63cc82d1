package io.fbnet.nas.measure;

import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;

/** What makes two blocks the same work, wherever they stand; blocks are told apart by name. */
public record Work(int in, int out, int stride, int height, int width, String block) {
  /** The work of a block in a layer. */
  public static Work of(LayerSpec l, Block block) {
    return new Work(
        l.inChannels(), l.outChannels(), l.stride(), l.inHeight(), l.inWidth(), block.name());
  }

  /** Whether there is none: a skip that keeps the shape is the input itself. */
  public static boolean none(LayerSpec layer, Block block) {
    return block.isSkip() && layer.keepsShape();
  }
}
