package io.fbnet.nas.latency;

import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.List;

/**
 * What a table remembers of the search space it was measured for: enough to tell whether it fits
 * another.
 *
 * @param name the space's name, for people
 * @param input shape of one image
 * @param classes of the classifier, part of the fixed share
 * @param stem the first convolution
 * @param widths output channels of every searchable layer
 * @param strides of every searchable layer
 * @param head channels, part of the fixed share
 * @param blocks names of the candidates in the order of the columns
 * @param alwaysPw whether the first 1x1 convolution stands at expansion 1
 */
public record SpaceKey(
    String name,
    SearchSpace.Input input,
    int classes,
    SearchSpace.Stem stem,
    List<Integer> widths,
    List<Integer> strides,
    int head,
    List<String> blocks,
    boolean alwaysPw) {

  /** Copies the lists. */
  public SpaceKey {
    widths = List.copyOf(widths);
    strides = List.copyOf(strides);
    blocks = List.copyOf(blocks);
    if (widths.size() != strides.size()) {
      throw new IllegalArgumentException("as many widths as strides are needed");
    }
  }

  /** The key of a space. */
  public static SpaceKey of(SearchSpace space) {
    return new SpaceKey(
        space.name(),
        space.input(),
        space.classes(),
        space.stem(),
        space.layers().stream().map(LayerSpec::outChannels).toList(),
        space.layers().stream().map(LayerSpec::stride).toList(),
        space.head(),
        space.blockNames(),
        space.alwaysPw());
  }
}
