package io.fbnet.nas.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.fbnet.nas.network.Description;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** NAS-Bench-Macro's space by a file and one block of one's own, counted as its authors do. */
class MacroSpaceTest {
  @Test
  void itsLargestAndSmallestNetworksCountAsPublished() {
    SearchSpace space = SearchSpace.load("../docs/examples/nas-bench-macro.yaml");
    assertEquals(new Identity(), space.blocks().getFirst());
    int[] choice = new int[space.layerCount()];
    assertEquals(7_713_280, Description.of(Architecture.of("", space, choice)).macs());
    Arrays.fill(choice, 2);
    assertEquals(105_660_928, Description.of(Architecture.of("", space, choice)).macs());
  }
}
