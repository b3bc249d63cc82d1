package io.fbnet.nas.network;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.util.List;
import org.junit.jupiter.api.Test;

class DescriptionTest {
  private static Description c(int head) {
    Architecture c = Architecture.load("fbnet-c");
    return Description.of(new Architecture("", c.space().withHead(head), c.blocks()));
  }

  @Test
  void fbnetCMatchesItsPublishedCounts() {
    assertEquals(376.2, c(1504).macs() / 1e6, 0.05);
    assertEquals(4.922, c(1504).parameters() / 1e6, 0.0005);
    assertEquals(385.0, c(1984).macs() / 1e6, 0.05);
    assertEquals(5.572, c(1984).parameters() / 1e6, 0.0005);
  }

  @Test
  void publishedSizesAreNearThePapers() {
    assertEquals(249, Description.of(Architecture.load("fbnet-a")).macs() / 1e6, 5);
    assertEquals(295, Description.of(Architecture.load("fbnet-b")).macs() / 1e6, 5);
  }

  private static Description.Layer single(
      BlockType block, int width, int stride, boolean alwaysPw) {
    SearchSpace space =
        new SearchSpace(
            "one",
            new SearchSpace.Input(3, 8, 8),
            10,
            new SearchSpace.Stem(8, 1),
            List.of(new SearchSpace.Stage(width, 1, stride)),
            16,
            List.of(block),
            alwaysPw);
    return Description.of(Architecture.of("", space, new int[] {0})).layers().get(1);
  }

  @Test
  void blocksAreCountedByHand() {
    Description.Layer identity = single(BlockType.SKIP, 8, 1, true);
    assertEquals(0, identity.macs());
    assertEquals(0, identity.parameters());
    Description.Layer wider = single(BlockType.SKIP, 12, 1, true);
    assertEquals(8 * 12 * 64, wider.macs());
    assertEquals(8 * 12 + 24, wider.parameters());
    Description.Layer strided = single(BlockType.SKIP, 8, 2, true);
    assertEquals(8 * 8 * 16, strided.macs());

    // 8 -> 24 at 8x8, 3x3 depthwise to 4x4, 24 -> 12 at 4x4.
    Description.Layer block = single(BlockType.parse("k3_e3"), 12, 2, true);
    assertEquals(8 * 24 * 64 + 24 * 9 * 16 + 24 * 12 * 16, block.macs());
    assertEquals(8 * 24 + 48 + 24 * 9 + 48 + 24 * 12 + 24, block.parameters());
    Description.Layer grouped = single(BlockType.parse("k5_e1_g2"), 12, 1, true);
    assertEquals((4 * 8 + 8 * 25 + 4 * 12) * 64, grouped.macs());
    assertEquals(4 * 8 + 16 + 8 * 25 + 16 + 4 * 12 + 24, grouped.parameters());
    // Its 24 inner channels are squeezed to 8.
    Description.Layer squeezed = single(BlockType.parse("k3_e3_se_hswish"), 12, 2, true);
    assertEquals(block.macs() + 2 * 24 * 8, squeezed.macs());
    assertEquals(block.parameters() + 2 * 24 * 8 + 8 + 24, squeezed.parameters());
    Description.Layer dropped = single(BlockType.parse("k5_e1"), 12, 1, false);
    assertEquals((8 * 25 + 8 * 12) * 64, dropped.macs());
    Description.Layer kept = single(BlockType.parse("k5_e3"), 12, 1, false);
    assertEquals((8 * 24 + 24 * 25 + 24 * 12) * 64, kept.macs());
  }

  @Test
  void jsonAndTextHoldTheTotals() {
    Description plain = c(1984);
    assertFalse(plain.json().has("latency_ms"));
    Description timed = plain.withLatency(28.1);
    assertEquals(28.1, timed.json().get("latency_ms").asDouble());
    assertEquals(timed.macs(), timed.json().get("macs").asLong());
    assertEquals(25, timed.json().get("layers").size());
    assertEquals("[3,224,224]", timed.json().get("layers").get(0).get("input").toString());
    assertTrue(timed.text().contains("385.0M MACs, 5.572M parameters, 28.100 ms"), timed.text());
  }
}
