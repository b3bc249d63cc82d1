package io.fbnet.nas.examples;

// Example begins
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockProvider;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** Finds bottlenecks by their names. */
public final class BottleneckProvider implements BlockProvider {
  @Override
  public Optional<Block> block(String name) {
    return Stream.of(2, 4).<Block>map(Bottleneck::new).filter(b -> b.name().equals(name)).findAny();
  }

  @Override
  public List<String> examples() {
    return List.of("bottleneck2", "bottleneck4");
  }
}
// Example ends
