package io.fbnet.nas.examples;

// Example begins
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockBuilder;
import io.fbnet.nas.space.LayerSpec;
import java.util.List;

/** A plain 3x3 convolution between two 1x1 ones, on a fraction of the channels. */
public record Bottleneck(int shrink) implements Block {
  @Override
  public String name() {
    return "bottleneck" + shrink;
  }

  @Override
  public int divisor() {
    return shrink;
  }

  @Override
  public Value build(BlockBuilder b, LayerSpec layer, Value x) {
    int inner = layer.outChannels() / shrink;
    Value y = b.norm("in_bn", b.convolution("in", x, inner, 1, 1, 1), true);
    y = b.norm("mid_bn", b.convolution("mid", y, inner, 3, layer.stride(), 1), true);
    y = b.norm("out_bn", b.convolution("out", y, layer.outChannels(), 1, 1, 1), false);
    return layer.keepsShape() ? b.graph().sum(List.of(x, y)) : y;
  }
}
// Example ends
