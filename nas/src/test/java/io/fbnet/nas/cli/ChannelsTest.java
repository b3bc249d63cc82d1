package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.data.TestArrays;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every verb on images of seven channels, of bytes and of floats. */
class ChannelsTest {
  @TempDir Path folder;
  private SmallRuns runs;
  private Path space;
  private Path table;

  @BeforeEach
  void write() throws IOException {
    runs = new SmallRuns(folder);
    String seven = SmallRuns.SPACE.replace("channels: 3, height: 16", "channels: 7, height: 13");
    space = Files.writeString(folder.resolve("seven.yaml"), seven);
    table = folder.resolve("seven.json");
    SmallRuns.run(
            "latency",
            "import",
            folder.resolve("tiny.txt").toString(),
            "--space=" + space,
            "--out=" + table)
        .succeeded();
  }

  private Outcome search(Path data, String name, String... more) {
    String[] flags = new String[more.length + 4];
    System.arraycopy(more, 0, flags, 4, more.length);
    flags[0] = "--space=" + space;
    flags[1] = "--lut=" + table;
    flags[2] = "--data=" + data;
    flags[3] = "--out=" + folder.resolve(name);
    return runs.search(flags);
  }

  private Path data(String descr) throws IOException {
    return TestArrays.folder(folder.resolve("arrays"), descr, 12, 7, 13, 16);
  }

  @Test
  void floatsAreSearchedTrainedTestedAndExported() throws IOException {
    Path data = data("<u2");
    SmallRuns.run("data", "check", "--data=" + data, "--space=" + space).succeeded();
    search(data, "search", "--cutout=5").succeeded();
    Outcome trained =
        SmallRuns.run(
                "train",
                folder.resolve("search/architecture.json").toString(),
                "--data=" + data,
                "--device=cpu",
                "--threads=1",
                "--epochs=4",
                "--batch=8",
                "--mixup=0.2",
                "--out=" + folder.resolve("run"))
            .succeeded();
    assertTrue(trained.out().contains("test"), trained.out());
    Outcome tested =
        SmallRuns.run(
                "evaluate",
                folder.resolve("run").toString(),
                "--data=" + data,
                "--device=cpu",
                "--no-latency",
                "--json")
            .succeeded();
    assertEquals(1, new ObjectMapper().readTree(tested.out()).get("top1").asDouble(), tested.out());
    // A step too small to unlearn anything.
    Outcome tuned =
        SmallRuns.run(
                "train",
                "--from=" + folder.resolve("run"),
                "--data=" + data,
                "--device=cpu",
                "--threads=1",
                "--epochs=1",
                "--batch=8",
                "--rate=1e-6",
                "--out=" + folder.resolve("tuned"))
            .succeeded();
    assertTrue(tuned.out().contains(": 1.0000"), tuned.out());
    for (String how : new String[] {"--normalise", "--int8"}) {
      String[] flags = {
        "export",
        folder.resolve("run/model.safetensors").toString(),
        how,
        "--out=" + folder.resolve(how + ".onnx")
      };
      if (how.equals("--int8")) {
        flags = new String[] {flags[0], flags[1], flags[2], flags[3], "--data=" + data};
      }
      SmallRuns.run(flags).succeeded();
    }
  }

  @Test
  void aRunGoesOnWhereItWasStopped() throws IOException {
    Path data = data("<f4");
    search(data, "whole").succeeded();
    search(data, "parts").succeeded();
    Map<String, String> whole = SmallRuns.results(folder.resolve("whole"));
    SmallRuns.removeNewest(folder.resolve("parts/checkpoints"));
    SmallRuns.run("search", "--resume", folder.resolve("parts").toString()).succeeded();
    Map<String, String> parts = SmallRuns.results(folder.resolve("parts"));
    whole.remove("config.yaml");
    parts.remove("config.yaml");
    assertEquals(whole, parts);
  }

  @Test
  void bytesTravelAsBytesUnlessFloatsAreAskedFor() throws IOException {
    Path data = data("|u1");
    search(data, "bytes", "--crop-padding=3").succeeded();
    search(data, "floats", "--crop-padding=3", "--pixels=f32").succeeded();
    String config = Files.readString(folder.resolve("floats/config.yaml"));
    assertTrue(config.contains("pixels: \"f32\""), config);
  }

  @Test
  void photographsAndColoursAreRefused() throws IOException {
    Path data = data("<u2");
    search(data, "jitter", "--jitter=0.2").refusedAtTheEnd(2, "--jitter", "7x13x16 f32");
    search(data, "drawn", "--rand-augment=2,9").refusedAtTheEnd(2, "--rand-augment");
    Path photos = folder.resolve("photos");
    for (String place : new String[] {"train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg"}) {
      TestArrays.photograph(photos.resolve(place));
    }
    search(photos, "none")
        .refused(3, photos + " holds images", "takes 7 channels", ".npy", "train/a/1.jpg");
    Outcome check = SmallRuns.run("data", "check", "--data=" + photos, "--space=" + space);
    assertEquals(3, check.code());
    assertTrue(check.out().contains("takes 7 channels"), check.out());
    Path huge =
        Files.writeString(
            folder.resolve("huge.yaml"),
            Files.readString(space)
                .replace(
                    "channels: 7, height: 13, width: 16",
                    "channels: 64, height: 4096, width: 4096"));
    SmallRuns.run("data", "check", "--data=" + data, "--space=" + huge)
        .refused(3, "64x4096x4096", "2^29");
    runs.search("--pixels=f32").refused(3, "8 bits", "--pixels f32");
  }
}
