package io.fbnet.nas.cli;

import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.file.Sha256;
import io.fbnet.nas.run.Checkpoints;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;

/** Runs of the command line within the test's own process, on a space and images of a second. */
final class SmallRuns {
  static final String SPACE =
      """
      name: tiny
      input: {channels: 3, height: 16, width: 16}
      classes: 2
      stem: {width: 8, stride: 1}
      stages:
        - {width: 8, layers: 1, stride: 1}
        - {width: 16, layers: 2, stride: 2}
      head: 16
      blocks: [k3_e1, k3_e3, k5_e1, skip]
      """;
  private static final String TABLE =
      """
      unit us
      device bench
      fixed 50
      10 30 20 0
      12 35 22 8
      11 33 21 0
      """;

  final Path folder;
  final Path space;
  final Path table;
  final Path data;

  /** Writes a space, its table and a data set of 40 training and 10 test images. */
  SmallRuns(Path folder) throws IOException {
    this.folder = folder;
    space = Files.writeString(folder.resolve("tiny.yaml"), SPACE);
    table = folder.resolve("tiny.json");
    Path text = Files.writeString(folder.resolve("tiny.txt"), TABLE);
    run(
            "latency",
            "import",
            text.toString(),
            "--space",
            space.toString(),
            "--out",
            table.toString())
        .succeeded();
    data = images(folder.resolve("grey"), 40, 1);
  }

  /** Writes a network of the space that has two blocks and a skip. */
  Path architecture() throws IOException {
    return Files.writeString(
        folder.resolve("net.json"),
        "{\"name\": \"net\", \"space\": \"tiny.yaml\","
            + " \"blocks\": [\"k3_e1\", \"k3_e3\", \"skip\"]}");
  }

  /** IDX files of random images of two classes, one of them brighter. */
  static Path images(Path folder, int train, long seed) throws IOException {
    Files.createDirectories(folder);
    Random random = new Random(seed);
    for (String split : new String[] {"train", "t10k"}) {
      int count = split.equals("train") ? train : 10;
      ByteBuffer images = ByteBuffer.allocate(16 + count * 256);
      images.putInt(0x803).putInt(count).putInt(16).putInt(16);
      ByteBuffer labels = ByteBuffer.allocate(8 + count).putInt(0x801).putInt(count);
      for (int i = 0; i < count; i++) {
        labels.put((byte) (i % 2));
        for (int p = 0; p < 256; p++) {
          images.put((byte) (random.nextInt(128) + 100 * (i % 2)));
        }
      }
      Files.write(folder.resolve(split + "-images-idx3-ubyte"), images.array());
      Files.write(folder.resolve(split + "-labels-idx1-ubyte"), labels.array());
    }
    return folder;
  }

  /** The hashes of what a run computed: results, metrics, and its newest whole checkpoint. */
  static Map<String, String> results(Path run) throws IOException {
    Path newest = run;
    if (Files.isDirectory(run.resolve("checkpoints"))) {
      newest =
          new Checkpoints(run.resolve("checkpoints"), 2)
              .newestValid(l -> {})
              .orElseThrow()
              .folder();
    }
    Map<String, String> found = new TreeMap<>();
    try (Stream<Path> walk = Files.walk(run)) {
      for (Path file : walk.filter(Files::isRegularFile).toList()) {
        String name = run.relativize(file).toString();
        boolean counts =
            name.startsWith("checkpoints")
                ? file.startsWith(newest)
                : !name.endsWith(".lock")
                    // How long things took is nobody's result.
                    && !name.endsWith("cost.jsonl")
                    && !name.contains("tfevents")
                    && !name.endsWith(".html");
        if (counts) {
          found.put(name, Sha256.hex(Files.readAllBytes(file)));
        }
      }
    }
    return found;
  }

  /** Removes a run's newest checkpoint. */
  static void removeNewest(Path checkpoints) throws IOException {
    try (Stream<Path> all = Files.list(checkpoints)) {
      remove(all.sorted().reduce((a, b) -> b).orElseThrow());
    }
  }

  static void remove(Path tree) throws IOException {
    try (Stream<Path> walk = Files.walk(tree)) {
      for (Path file : walk.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }

  static Outcome run(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(arguments, new PrintWriter(out), new PrintWriter(err), false);
    return new Outcome(code, out.toString(), err.toString());
  }

  /** A short search; what is given here takes the place of what is usual. */
  Outcome search(String... given) {
    return run(searchFlags(given));
  }

  String[] searchFlags(String... given) {
    List<String> usual =
        List.of(
            "--space=" + space,
            "--lut=" + table,
            "--data=" + data,
            "--device=cpu",
            "--threads=1",
            "--epochs=2",
            "--warmup-epochs=1",
            "--batch=4",
            "--samples=2");
    List<String> all = new ArrayList<>(List.of("search"));
    for (String flag : usual) {
      String name = flag.substring(0, flag.indexOf('=') + 1);
      if (Stream.of(given).noneMatch(g -> g.startsWith(name))) {
        all.add(flag);
      }
    }
    all.addAll(List.of(given));
    return all.toArray(String[]::new);
  }
}
