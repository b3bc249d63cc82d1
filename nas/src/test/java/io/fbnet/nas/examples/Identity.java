package io.fbnet.nas.examples;

import io.fbnet.engine.graph.Value;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockBuilder;
import io.fbnet.nas.space.LayerSpec;

/**
 * NAS-Bench-Macro's block that does nothing: where the shape changes a 1x1 convolution and a batch
 * norm, without the ReLU that {@code skip} has there.
 */
public record Identity() implements Block {
  @Override
  public String name() {
    return "identity";
  }

  @Override
  public boolean isSkip() {
    return true;
  }

  @Override
  public Value build(BlockBuilder b, LayerSpec layer, Value x) {
    return layer.keepsShape()
        ? x
        : b.norm("bn", b.convolution("conv", x, layer.outChannels(), 1, layer.stride(), 1), false);
  }
}
