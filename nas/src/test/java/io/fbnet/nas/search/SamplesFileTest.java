package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.train.Evaluation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SamplesFileTest {
  @TempDir Path folder;

  private static Score score(int block, double loss) {
    int[] choice = new int[9];
    choice[0] = block;
    Architecture network = Architecture.of("", SearchSpace.load("fashion"), choice);
    return new Score(network, 0.5 + block, 0.7, 1, loss);
  }

  @Test
  void whatIsWrittenIsReadAndOneOfEqualDrawsIsTheBest() {
    List<Score> drawn = List.of(score(1, 2), score(3, 1), score(3, 1));
    SamplesFile written =
        SamplesFile.of(
            "theta", drawn, List.of(score(3, 1)), drawn.get(2), new Evaluation(0.625, 1), 1000);
    Path file = folder.resolve("samples.json");
    written.write(file);
    SamplesFile read = SamplesFile.read(file);
    assertEquals(written, read);
    assertEquals(
        List.of(false, true, false, false),
        read.samples().stream().map(SamplesFile.Sample::best).toList());
    assertTrue(read.samples().getLast().uniform());
    assertEquals("k3_e6", read.samples().get(1).blocks().getFirst().name());
    assertEquals(0.625, read.testAccuracy());
    assertEquals(1000, read.testImages());
  }

  @Test
  void aLossThatIsNoNumberSurvives() {
    Path file = folder.resolve("samples.json");
    SamplesFile.of(
            "rnn", List.of(score(1, Double.NaN)), List.of(), score(1, 0), new Evaluation(0, 1), 1)
        .write(file);
    assertTrue(Double.isNaN(SamplesFile.read(file).samples().getFirst().loss()));
  }

  @Test
  void wrongFilesAreRefused() throws IOException {
    String good =
        """
        {"format": 1, "test_accuracy": 0.5, "test_images": 10, "samples": [
        {"drawn": "theta", "best": true, "latency_ms": 1, "accuracy": 0.5, "loss": 1,
        "blocks": ["k3_e1"]},
        {"drawn": "uniform", "best": false, "latency_ms": 1, "accuracy": 0.5, "loss": 1,
        "blocks": ["skip"]}]}
        """;
    Path file = folder.resolve("samples.json");
    Files.writeString(file, good);
    assertEquals(2, SamplesFile.read(file).samples().size());
    for (String[] change :
        new String[][] {
          {"\"format\": 1", "\"format\": 2", "version"},
          {"false", "true", "second best"},
          {"uniform", "by hand", "theta"},
          {"skip", "skipp", "no block"},
          {"\"accuracy\": 0.5", "\"accuracy\": 2", "between"},
          {"test_images", "tests", "unknown key"},
        }) {
      Files.writeString(file, good.replace(change[0], change[1]));
      Refusals.data(() -> SamplesFile.read(file), change[2]);
    }
  }
}
