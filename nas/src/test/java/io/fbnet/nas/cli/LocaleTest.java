package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.cli.MainTest.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is written and read does not depend on where the program runs. */
class LocaleTest {
  private final Locale before = Locale.getDefault();

  @TempDir Path folder;

  @AfterEach
  void restore() {
    Locale.setDefault(before);
  }

  /** Digits, decimal points and dotless letters that are not ASCII's. */
  @ParameterizedTest
  @ValueSource(strings = {"fa-IR", "ar-EG", "tr-TR", "hi-IN-u-nu-deva"})
  void aSearchIsWrittenResumedSampledAndExportedInAnyLocale(String language) throws IOException {
    SmallRuns runs = new SmallRuns(folder);
    Path here = folder.resolve("here");
    runs.search("--epochs=2", "--warmup-epochs=1", "--out=" + here).succeeded();
    Locale.setDefault(Locale.forLanguageTag(language));
    if (!language.startsWith("tr")) {
      assertNotEquals("1.5", String.format(Locale.getDefault(), "%.1f", 1.5), language);
    }
    Path there = folder.resolve("there");
    Outcome searched = runs.search("--epochs=2", "--warmup-epochs=1", "--out=" + there);
    searched.succeeded();
    assertEquals(names(here.resolve("checkpoints")), names(there.resolve("checkpoints")));
    for (String file : List.of("architecture.json", "samples.json", "latency.json")) {
      assertEquals(Files.readString(here.resolve(file)), Files.readString(there.resolve(file)));
    }
    Outcome resumed = SmallRuns.run("search", "--resume", there.toString()).succeeded();
    assertTrue(resumed.err().contains("resumed after step 18"), resumed.err());
    assertFalse(resumed.err().contains("passing over"), resumed.err());
    assertTrue(resumed.out().chars().allMatch(c -> c < 128), resumed.out());
    SmallRuns.run("sample", there.toString(), "--count=2").succeeded();
    for (String form : List.of("text", "json")) {
      Path exported = folder.resolve("table." + form);
      SmallRuns.run(
              "latency", "export", runs.table.toString(), "--format", form, "--out=" + exported)
          .succeeded();
      Path again = folder.resolve(form + ".json");
      SmallRuns.run(
              "latency", "import", exported.toString(), "--space=" + runs.space, "--out=" + again)
          .succeeded();
    }
  }

  @Test
  void aTableOfProxylessNasKeepsItsKeys() throws IOException {
    Locale.setDefault(Locale.forLanguageTag("fa-IR"));
    Path space =
        Files.writeString(
            folder.resolve("plain.yaml"),
            SmallRuns.SPACE.replace("k3_e1, k3_e3, k5_e1", "k3_e3, k5_e3") + "always_pw: false\n");
    Path text =
        Files.writeString(
            folder.resolve("plain.txt"), "unit us\ndevice b\nfixed 9\n1 2 0\n3 4 1\n5 6 0\n");
    Path table = folder.resolve("plain.json");
    SmallRuns.run("latency", "import", text.toString(), "--space=" + space, "--out=" + table)
        .succeeded();
    Path exported = folder.resolve("plain.proxyless");
    SmallRuns.run(
            "latency",
            "export",
            table.toString(),
            "--format=proxyless",
            "--space=" + space,
            "--out=" + exported)
        .succeeded();
    assertTrue(Files.readString(exported).chars().allMatch(c -> c < 128));
    SmallRuns.run(
            "latency",
            "import",
            exported.toString(),
            "--space=" + space,
            "--device=b",
            "--fixed=0.009",
            "--out=" + folder.resolve("back.json"))
        .succeeded();
  }

  private static List<String> names(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }
}
