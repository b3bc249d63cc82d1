package io.fbnet.nas.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.measure.LatencyMeter;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockBuilder;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A block that the program does not know, from a file and as an object. */
class CustomBlockTest {
  @TempDir Path folder;

  private Path file(String blocks) throws IOException {
    Path file = folder.resolve("mine.yaml");
    Files.writeString(
        file,
        """
        name: mine
        input: {channels: 3, height: 12, width: 10}
        classes: 5
        stem: {width: 8, stride: 2}
        stages:
          - {width: 8, layers: 1, stride: 1}
          - {width: 16, layers: 2, stride: 2}
        head: 32
        blocks: [%s]
        """
            .formatted(blocks));
    return file;
  }

  @Test
  void aFileNamesItAndEverythingTakesIt() throws IOException {
    SearchSpace space = SearchSpace.load(file("k3_e3, bottleneck4, skip").toString());
    assertEquals(new Bottleneck(4), space.blocks().get(1));
    Architecture network = Architecture.of("mine", space, new int[] {1, 1, 1});
    Description.Layer strided = Description.of(network).layers().get(2);
    // 8 -> 4 on 6x5 pixels, 4 -> 4 by 3x3 and 4 -> 16 on 3x3.
    assertEquals(8 * 4 * 30 + 4 * 4 * 9 * 9 + 4 * 16 * 9, strided.macs());
    assertEquals(8 * 4 + 8 + 4 * 4 * 9 + 8 + 4 * 16 + 32, strided.parameters());

    Path written = folder.resolve("network.json");
    network.write(written);
    assertEquals(network, Architecture.load(written.toString()));

    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    try (Backend cpu = CpuBackend.open(1)) {
      LatencyTable table = new LatencyMeter(cpu, 1).measure(space, (done, total, what) -> {});
      assertTrue(table.ms(1, 1) > 0);
      Path saved = folder.resolve("table.json");
      table.write(saved);
      LatencyTable.load(saved.toString()).requireFits(space, warning -> {});
    }
  }

  @Test
  void itsWidthsAreChecked() {
    SearchSpace cifar = SearchSpace.load("cifar");
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> with(cifar, new Bottleneck(5)));
    assertTrue(refused.getMessage().contains("bottleneck5 needs"), refused.getMessage());
  }

  @Test
  void anOutputOfAnotherShapeIsRefusedByName() {
    Block wrong =
        new Block() {
          @Override
          public String name() {
            return "wrong";
          }

          @Override
          public Value build(BlockBuilder b, LayerSpec layer, Value x) {
            return x;
          }
        };
    SearchSpace space = with(SearchSpace.load("cifar"), wrong);
    LayerSpec shrinks = space.layers().get(5);
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class, () -> Description.layer(space, shrinks, wrong));
    assertTrue(refused.getMessage().contains("wrong gives"), refused.getMessage());
    assertTrue(refused.getMessage().contains("layer L6"), refused.getMessage());
  }

  @Test
  void anUnknownNameSuggestsTheProviders() throws IOException {
    Path file = file("k3_e3, bottleneck3, skip");
    Refusals.data(() -> SearchSpace.load(file.toString()), "bottleneck3", "did you mean");
  }

  private static SearchSpace with(SearchSpace space, Block block) {
    return new SearchSpace(
        "mine",
        space.input(),
        space.classes(),
        space.stem(),
        space.stages(),
        space.head(),
        List.of(BlockType.SKIP, block),
        true);
  }
}
