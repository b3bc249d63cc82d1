package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.nas.file.Sha256;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.Description;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A training's card says what the run was, and nothing of the machine's folders. */
class TrainingCardTest {
  /** Names that Markdown would take for a table's border, a link, a tag and an entity. */
  private static final List<String> ODD =
      List.of("a|b", "c\n## d", "[e](http://f)", "<script>", "&lt;*g*");

  @TempDir Path folder;
  private SmallRuns runs;
  private Path architecture;
  private Path photos;

  @BeforeEach
  void write() throws IOException {
    runs = new SmallRuns(folder);
    architecture = runs.architecture();
    photos = folder.resolve("holi_day|photos");
    Random random = new Random(11);
    for (String split : List.of("train", "test")) {
      for (int c = 0; c < ODD.size(); c++) {
        // A folder's name has no slash.
        Path place = photos.resolve(split).resolve(ODD.get(c).replace('/', '-'));
        Files.createDirectories(place);
        for (int i = 0; i < (split.equals("train") ? 10 + c : 2 + c); i++) {
          ByteArrayOutputStream image = new ByteArrayOutputStream();
          image.writeBytes("P5 16 16 255\n".getBytes(StandardCharsets.US_ASCII));
          for (int p = 0; p < 256; p++) {
            image.write(random.nextInt(100) + 30 * c);
          }
          Files.write(place.resolve(i + ".pgm"), image.toByteArray());
        }
      }
    }
  }

  private Path train(String out, String... more) {
    Path run = folder.resolve(out);
    List<String> all =
        new ArrayList<>(List.of("train", "--device=cpu", "--threads=1", "--epochs=2", "--batch=4"));
    all.add("--out=" + run);
    all.addAll(List.of(more));
    SmallRuns.run(all.toArray(String[]::new)).succeeded();
    return run;
  }

  private static String card(Path run) throws IOException {
    return Files.readString(run.resolve("card.md"));
  }

  /** The cells of the row that begins with a name, unescaped. */
  private static List<String> row(String card, String first) {
    for (String line : card.lines().toList()) {
      if (line.startsWith("| ")) {
        List<String> cells =
            Stream.of(line.substring(2, line.length() - 2).split(" \\| "))
                .map(cell -> cell.replaceAll("\\\\(\\p{Punct})", "$1"))
                .toList();
        if (cells.getFirst().equals(first)) {
          return cells.subList(1, cells.size());
        }
      }
    }
    throw new AssertionError("no row '" + first + "' in:\n" + card);
  }

  private static String share(JsonNode tree, String key) {
    return String.format(Locale.ROOT, "%.4f", tree.path(key).asDouble());
  }

  @Test
  void itSaysWhatTheRunWas() throws IOException {
    Path run =
        train(
            "run",
            architecture.toString(),
            "--data=" + runs.data,
            "--lut=" + runs.table,
            "--hold-out=0.25",
            "--label-smoothing=0.1",
            "--ema=0.5");
    String card = card(run);
    assertTrue(card.startsWith("# net\n\nTells 2 classes of colour images of 16x16 apart."), card);
    JsonNode evaluated =
        new ObjectMapper()
            .readTree(
                SmallRuns.run(
                        "evaluate",
                        run.toString(),
                        "--data=" + runs.data,
                        "--device=cpu",
                        "--threads=1",
                        "--no-latency",
                        "--json")
                    .succeeded()
                    .out());
    assertEquals(
        List.of("10", share(evaluated, "top1"), "-", share(evaluated, "balanced_accuracy")),
        row(card, "test"));
    assertEquals("10", row(card, "held out of training").getFirst());
    assertTrue(card.contains("All are of the moving average"), card);
    TrainedNetwork network = TrainedNetwork.read(run.resolve("model.safetensors"));
    Description description = Description.of(network.architecture());
    assertEquals(List.of(Long.toString(description.macs())), row(card, "multiply-adds"));
    assertEquals(List.of(Long.toString(description.parameters())), row(card, "parameters"));
    assertEquals(
        List.of(
            String.format(
                Locale.ROOT,
                "%.4f ms an image on bench, by the table tiny.json",
                network.latency().orElseThrow().ms())),
        row(card, "latency"));
    assertEquals(List.of("grey"), row(card, "name"));
    assertEquals(List.of("30 of 40"), row(card, "training images"));
    assertEquals(List.of("15", "5", "5"), row(card, "0"));
    assertTrue(card.contains("`sha256:"), card);
    assertEquals(List.of("0.1"), row(card, "label-smoothing"));
    assertEquals(List.of("1"), row(card, "seed"));
    assertEquals(List.of("cosine"), row(card, "schedule"));
    assertEquals(List.of("2"), row(card, "crop-padding"));
    assertFalse(card.contains("Begun from"), card);
    assertFalse(card.contains(folder.toString()), card);

    // What it tells to do again gives the same network, and the same card.
    String again =
        card.lines().filter(line -> line.startsWith("fbnet train")).findFirst().orElseThrow();
    List<String> words = new ArrayList<>(List.of(again.split(" ")));
    words.removeFirst();
    words.replaceAll(
        word ->
            Files.exists(run.resolve(word))
                ? run.resolve(word).toString()
                : word.equals("DIR")
                    ? runs.data.toString()
                    : word.equals("../again") ? folder.resolve("again").toString() : word);
    SmallRuns.run(words.toArray(String[]::new)).succeeded();
    // The name of the table is another.
    assertArrayEquals(
        network.tensors().get("head.conv.weight"),
        TrainedNetwork.read(folder.resolve("again/model.safetensors"))
            .tensors()
            .get("head.conv.weight"));
    assertEquals(card.replace("tiny.json", "latency.json"), card(folder.resolve("again")));
  }

  @Test
  void namesAreShownAsTheyAre() throws IOException {
    String card = card(train("run", architecture.toString(), "--data=" + photos));
    assertEquals(List.of("holi_day|photos"), row(card, "name"));
    for (int c = 0; c < ODD.size(); c++) {
      String name = ODD.get(c).replace('/', '-').replace('\n', ' ');
      assertEquals(List.of("" + (10 + c), "0", "" + (2 + c)), row(card, name));
    }
    assertEquals(
        List.of("# net", "## Accuracy", "## Network", "## Data", "## Recipe", "## Again"),
        card.lines().filter(line -> line.startsWith("#")).toList());
    for (String raw : List.of("<script", "[e", "](", "|b", "|photos", "&lt;", "*g", "http:")) {
      // Behind a backslash each is a letter.
      assertFalse(card.replaceAll("\\\\\\p{Punct}", "").contains(raw), raw + " in " + card);
    }
    assertTrue(row(card, "latency").getFirst().startsWith("not known"), card);
  }

  @Test
  void aFineTuningNamesItsModel() throws IOException {
    Path first = train("first", architecture.toString(), "--data=" + runs.data);
    Path run =
        train("tuned", "--from=" + first, "--freeze=1", "--backbone-rate=0.5", "--data=" + photos);
    String card = card(run);
    assertEquals(List.of("first"), row(card, "model"));
    assertEquals(
        List.of("`" + Sha256.of(first.resolve("model.safetensors")) + "`"), row(card, "SHA-256"));
    assertEquals(List.of("grey"), row(card, "trained on"));
    assertTrue(row(card, "classifier").getFirst().startsWith("made anew"), card);
    assertEquals(List.of("1"), row(card, "freeze"));
    assertEquals(List.of("0.5"), row(card, "backbone-rate"));
    assertTrue(row(card, "normalisation").getFirst().contains("of the model"), card);
    assertFalse(card.contains(folder.toString()), card);
    // A run that goes on behind its end writes the same.
    Files.delete(run.resolve("card.md"));
    SmallRuns.run("train", "--resume", run.toString()).succeeded();
    assertEquals(card, card(run));
  }
}
