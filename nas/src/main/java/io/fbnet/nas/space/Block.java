package io.fbnet.nas.space;

import io.fbnet.engine.graph.Value;

/**
 * A candidate block of a search space: a name and how it is built. The paper's are {@link
 * BlockType}; others come as objects, or by name from a {@link BlockProvider}. Blocks of equal
 * names are taken to be equal; a name is letters, digits and underscores, and stands in tables,
 * files and the names of parameters.
 */
public interface Block {
  /** {@return the name, such as {@code k3_e6}} */
  String name();

  /**
   * Appends the block to a graph.
   *
   * @param b what it is built with
   * @param layer its place
   * @param x its input, f32 [N, layer.inChannels, layer.inHeight, layer.inWidth]
   * @return its output, f32 [N, layer.outChannels, layer.outHeight, layer.outWidth]
   */
  Value build(BlockBuilder b, LayerSpec layer, Value x);

  /** {@return what every width of a space with this block must be divisible by, 1 or more} */
  default int divisor() {
    return 1;
  }

  /** {@return whether this is the block that does nothing where it can} */
  default boolean isSkip() {
    return false;
  }
}
