package io.fbnet.nas.measure;

import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;

/**
 * What makes two blocks the same work, wherever they stand.
 *
 * @param in channels
 * @param out channels
 * @param stride of the block
 * @param height of its input
 * @param width of its input
 * @param block its name, which tells blocks apart
 */
public record Work(int in, int out, int stride, int height, int width, String block) {
  /**
   * {@return the work of a block in a layer}
   *
   * @param l the layer
   * @param block one of its candidates
   */
  public static Work of(LayerSpec l, Block block) {
    return new Work(
        l.inChannels(), l.outChannels(), l.stride(), l.inHeight(), l.inWidth(), block.name());
  }

  /**
   * {@return whether there is none: a skip that keeps the shape is the input itself}
   *
   * @param layer the layer
   * @param block one of its candidates
   */
  public static boolean none(LayerSpec layer, Block block) {
    return block.isSkip() && layer.keepsShape();
  }
}
