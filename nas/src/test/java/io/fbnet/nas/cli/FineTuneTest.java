package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.model.TrainedNetwork;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Trainings that go on from a trained network, as a user asks for them. */
class FineTuneTest {
  @TempDir Path folder;
  private SmallRuns runs;
  private Path architecture;
  private Path model;
  private Path fruit;

  @BeforeEach
  void trainOnTwoClasses() throws IOException {
    runs = new SmallRuns(folder);
    architecture = runs.architecture();
    train("first", architecture.toString(), "--data=" + runs.data).succeeded();
    model = folder.resolve("first/model.safetensors");
    fruit = photos("fruit", "apple", "cherry", "plum");
  }

  /** Colour images in a folder a class, each class of a brightness of its own. */
  private Path photos(String name, String... classes) throws IOException {
    Path root = folder.resolve(name);
    Random random = new Random(7);
    for (String split : List.of("train", "test")) {
      for (int c = 0; c < classes.length; c++) {
        Path place = Files.createDirectories(root.resolve(split).resolve(classes[c]));
        for (int i = 0; i < (split.equals("train") ? 8 : 3); i++) {
          ByteArrayOutputStream image = new ByteArrayOutputStream();
          image.writeBytes("P6 16 16 255\n".getBytes(StandardCharsets.US_ASCII));
          for (int p = 0; p < 3 * 256; p++) {
            image.write(random.nextInt(100) + 60 * c);
          }
          Files.write(place.resolve(i + ".ppm"), image.toByteArray());
        }
      }
    }
    return root;
  }

  private Outcome train(String out, String... more) {
    List<String> all =
        new ArrayList<>(
            List.of("train", "--device=cpu", "--threads=1", "--out=" + folder.resolve(out)));
    if (Arrays.stream(more).noneMatch(flag -> flag.startsWith("--epochs"))) {
      all.add("--epochs=2");
    }
    all.add("--batch=4");
    all.addAll(List.of(more));
    return SmallRuns.run(all.toArray(String[]::new));
  }

  private Outcome tune(String out, String... more) {
    List<String> all = new ArrayList<>(List.of("--from=" + model, "--data=" + fruit));
    all.addAll(List.of(more));
    return train(out, all.toArray(String[]::new));
  }

  private TrainedNetwork read(String run) {
    return TrainedNetwork.read(folder.resolve(run).resolve("model.safetensors"));
  }

  @Test
  void otherClassesGetAClassifierAndTheRestIsKept() {
    Outcome outcome = tune("tuned", "--freeze=1", "--backbone-rate=0.1").succeeded();
    assertTrue(
        outcome.err().contains("whose 2 classes are not the data's 3: its classifier is made anew"),
        outcome.err());
    TrainedNetwork from = TrainedNetwork.read(model);
    TrainedNetwork tuned = read("tuned");
    assertEquals(List.of("apple", "cherry", "plum"), tuned.classes());
    assertEquals(from.normalisation(), tuned.normalisation());
    assertEquals(from.architecture().blocks(), tuned.architecture().blocks());
    int kept = 0;
    for (String name : from.tensors().keySet()) {
      boolean frozen = name.startsWith("stem.") || name.startsWith("layers.0.");
      float[] before = from.tensors().get(name);
      float[] after = tuned.tensors().get(name);
      assertEquals(frozen, Arrays.equals(before, after), name);
      kept += frozen ? 1 : 0;
      if (!frozen && !name.startsWith("classifier.")) {
        // Not drawn anew: a small rate has not carried it far.
        double distance = 0;
        double size = 0;
        for (int i = 0; i < before.length; i++) {
          distance += Math.pow(after[i] - before[i], 2);
          size += Math.pow(before[i], 2);
        }
        assertTrue(name.endsWith(".bias") || name.contains("running") || distance < size / 4, name);
      }
    }
    assertEquals(5 + 15, kept);
  }

  @Test
  void theSameClassesKeepTheClassifierInWhateverOrder() throws IOException {
    tune("tuned").succeeded();
    TrainedNetwork before = read("tuned");
    // The data's classes are in the order of their names, so the model's are turned.
    TrainedNetwork other =
        new TrainedNetwork(
            before.architecture(),
            before.tensors(),
            before.normalisation(),
            before.classes().reversed(),
            "",
            before.latency(),
            before.testAccuracy());
    model = folder.resolve("other.safetensors");
    other.write(model);
    // A rate at which nothing moves shows what the training begins with.
    Outcome outcome = tune("again", "--rate=1e-30").succeeded();
    assertTrue(outcome.err().contains("whose 3 classes are the data's"), outcome.err());
    TrainedNetwork again = read("again");
    assertEquals(before.classes(), again.classes());
    float[] had = before.tensors().get("classifier.weight");
    float[] has = again.tensors().get("classifier.weight");
    int head = had.length / 3;
    for (int c = 0; c < 3; c++) {
      assertArrayEquals(
          Arrays.copyOfRange(had, (2 - c) * head, (3 - c) * head),
          Arrays.copyOfRange(has, c * head, (c + 1) * head));
    }
    assertNotEquals(had[0], had[2 * head]);
  }

  @Test
  void aFolderIsWholeAndGoesOnWithoutTheModel() throws IOException {
    String[] flags = {
      "--freeze=stem",
      "--backbone-rate=0.5",
      "--epochs=3",
      "--ema=0.9",
      "--accumulate=2",
      "--label-smoothing=0.1",
      "--mixup=0.2"
    };
    tune("unbroken", flags).succeeded();
    byte[] expected = Files.readAllBytes(folder.resolve("unbroken/model.safetensors"));
    String metrics = Files.readString(folder.resolve("unbroken/metrics.jsonl"));
    assertEquals(-1, Files.mismatch(model, folder.resolve("unbroken/from.safetensors")));
    Files.delete(model);
    Path moved = Files.move(folder.resolve("unbroken"), folder.resolve("moved"));
    for (boolean fromNothing : new boolean[] {false, true}) {
      if (fromNothing) {
        SmallRuns.remove(moved.resolve("checkpoints"));
      } else {
        SmallRuns.removeNewest(moved.resolve("checkpoints"));
      }
      Files.delete(moved.resolve("model.safetensors"));
      Outcome resumed = SmallRuns.run("train", "--resume", moved.toString()).succeeded();
      assertEquals(!fromNothing, resumed.err().contains("resumed after step"), resumed.err());
      assertFalse(resumed.err().contains("begins with"), resumed.err());
      assertArrayEquals(expected, Files.readAllBytes(moved.resolve("model.safetensors")));
      assertEquals(metrics, Files.readString(moved.resolve("metrics.jsonl")));
    }
    SmallRuns.run("train", "--resume", moved.toString(), "--from=" + moved)
        .refused(2, "--from cannot be given with --resume");
    Path copy = moved.resolve("from.safetensors");
    byte[] bytes = Files.readAllBytes(copy);
    bytes[bytes.length - 1] ^= 1;
    Files.write(copy, bytes);
    SmallRuns.run("train", "--resume", moved.toString())
        .refusedAtTheEnd(3, "the model that this run began from has changed", "from.safetensors");
    Files.delete(copy);
    SmallRuns.run("train", "--resume", moved.toString())
        .refused(3, "there is no file", "from.safetensors");
  }

  @Test
  void aFileOfFlagsSaysTheSame() throws IOException {
    tune("flags", "--freeze=2", "--backbone-rate=0.25").succeeded();
    Path config =
        Files.writeString(
            folder.resolve("c.yaml"),
            "from: " + folder.resolve("first") + "\nfreeze: 2\nbackbone-rate: 0.25\n");
    train("file", "--config=" + config, "--data=" + fruit).succeeded();
    assertEquals(
        -1,
        Files.mismatch(
            folder.resolve("flags/model.safetensors"), folder.resolve("file/model.safetensors")));
    // The run's own configuration does, beside its architecture.
    Path tuned = folder.resolve("flags");
    SmallRuns.run(
            "train",
            tuned.resolve("architecture.json").toString(),
            "--config=" + tuned.resolve("config.yaml"),
            "--from=" + tuned.resolve("from.safetensors"),
            "--out=" + folder.resolve("repeated"))
        .succeeded();
    assertEquals(
        -1,
        Files.mismatch(
            folder.resolve("flags/model.safetensors"),
            folder.resolve("repeated/model.safetensors")));
    tune("other", "--freeze=2", "--backbone-rate=0.5").succeeded();
    assertNotEquals(
        -1,
        Files.mismatch(
            folder.resolve("flags/model.safetensors"), folder.resolve("other/model.safetensors")));
  }

  @Test
  void imagesMayHaveAnotherSize() {
    tune("larger", "--resolution=20").succeeded();
    assertEquals(20, read("larger").architecture().space().input().height());
  }

  @Test
  void theSameArchitectureMayBeNamed() {
    tune("named", architecture.toString()).succeeded();
    tune("unnamed").succeeded();
    assertArrayEquals(
        read("named").tensors().get("head.conv.weight"),
        read("unnamed").tensors().get("head.conv.weight"));
  }

  @Test
  void whatCannotBeIsRefusedInASentence() throws IOException {
    train("x", "--data=" + fruit).refused(2, "NAME|FILE", "--from", "fbnet train --help");
    train("x", architecture.toString(), "--freeze=1").refused(2, "--freeze needs --from");
    train("x", architecture.toString(), "--backbone-rate=1")
        .refused(2, "--backbone-rate needs --from");
    for (String wrong : List.of("0", "-1", "3", "all", "99999999999")) {
      tune("x", "--freeze=" + wrong).refused(2, "--freeze", "from 1 to 2", "'" + wrong + "'");
    }
    for (String wrong : List.of("0", "-1", "NaN", "Infinity")) {
      tune("x", "--backbone-rate=" + wrong).refused(2, "--backbone-rate");
    }
    String[] others = {"--width=2", "--head=24", "--no-always-pw", "--skips=not_first"};
    for (String changed : others) {
      tune("x", changed).refused(2, "is not the one in", "leave out the architecture");
    }
    Path blocks =
        Files.writeString(
            folder.resolve("other.json"), Files.readString(architecture).replace("k3_e3", "k5_e1"));
    tune("x", blocks.toString()).refused(2, "is not the one in", "k3_e1 | k3_e3 skip");
    tune("x", "fbnet-a").refused(2, "is not the one in");

    byte[] whole = Files.readAllBytes(model);
    Path wrong = folder.resolve("wrong.safetensors");
    model = wrong;
    tune("x").refused(3, "there is no file", "wrong.safetensors");
    Files.writeString(wrong, "no tensors at all");
    tune("x").refused(3, "wrong.safetensors");
    Files.write(wrong, Arrays.copyOf(whole, whole.length - 8));
    tune("x").refused(3, "wrong.safetensors");
    Files.write(
        wrong,
        new String(whole, StandardCharsets.ISO_8859_1)
            .replace("fbnet_format", "other_format")
            .getBytes(StandardCharsets.ISO_8859_1));
    tune("x").refused(3, "wrong.safetensors", "no architecture", "fbnet import");
    model = fruit;
    tune("x").refused(3, "holds no model.safetensors");
    assertFalse(Files.exists(folder.resolve("x")));
  }
}
