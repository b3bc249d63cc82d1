package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.cli.Surroundings.Folder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Surroundings that are made up, not those of the machine that runs the test. */
class SurroundingsTest {
  private static final long GIB = 1L << 30;
  private static final Instant BUILT = Instant.parse("2026-03-04T05:06:07Z");
  private static final Folder GOOD =
      new Folder("temporary files", Path.of("/t"), true, false, GIB, "name another");

  @TempDir Path folder;

  private static Surroundings with(
      Folder folder, String encoding, OptionalLong memory, long heap, Instant now) {
    return new Surroundings(List.of(folder), encoding, memory, heap, now, Optional.of(BUILT));
  }

  private static void warns(Surroundings here, String... words) {
    List<String> warnings = here.warnings();
    assertEquals(1, warnings.size(), warnings.toString());
    for (String word : words) {
      assertTrue(warnings.getFirst().contains(word), "no '" + word + "' in " + warnings);
    }
  }

  private static Surroundings folder(boolean writable, boolean noexec, long free) {
    Folder bad = new Folder("temporary files", Path.of("/t"), writable, noexec, free, "name one");
    return with(bad, "UTF-8", OptionalLong.empty(), GIB, BUILT);
  }

  @Test
  void goodSurroundingsWarnOfNothing() {
    assertEquals(List.of(), with(GOOD, "UTF-8", OptionalLong.of(4 * GIB), GIB, BUILT).warnings());
    Surroundings unknown =
        new Surroundings(
            List.of(GOOD), "utf-8", OptionalLong.empty(), GIB, Instant.EPOCH, Optional.empty());
    assertEquals(List.of(), unknown.warnings());
  }

  @Test
  void foldersThatHurtAreNamedWithTheRemedy() {
    warns(folder(false, true, 0), "temporary files, /t, cannot be written", "name one");
    warns(folder(true, true, GIB), "/t", "noexec", "libraries", "name one");
    warns(folder(true, false, 255L << 20), "/t", "255 MiB free", "name one");
    assertEquals(2, folder(true, true, 0).warnings().size());
  }

  @Test
  void aLocaleThatLosesNamesIsNamed() {
    warns(
        with(GOOD, "ISO-8859-1", OptionalLong.empty(), GIB, BUILT),
        "ISO-8859-1",
        "LC_ALL",
        "UTF-8");
    warns(with(GOOD, "ANSI_X3.4-1968", OptionalLong.empty(), GIB, BUILT), "ANSI_X3.4-1968");
  }

  @Test
  void aSmallMemoryLimitIsNamed() {
    warns(
        with(GOOD, "UTF-8", OptionalLong.of(512L << 20), 128L << 20, BUILT),
        "512 MiB",
        "--dry-run",
        "--memory lean");
    warns(
        with(GOOD, "UTF-8", OptionalLong.of(4 * GIB), 8 * GIB, BUILT), "8192 MiB", "4096", "-Xmx");
  }

  @Test
  void aClockThatIsFarOffIsNamed() {
    Instant day = BUILT.minus(Duration.ofDays(1));
    assertEquals(List.of(), with(GOOD, "UTF-8", OptionalLong.empty(), GIB, day).warnings());
    warns(
        with(GOOD, "UTF-8", OptionalLong.empty(), GIB, Instant.EPOCH),
        "1970-01-01T00:00:00Z",
        "before",
        "2026-03-04T05:06:07Z");
    warns(
        with(GOOD, "UTF-8", OptionalLong.empty(), GIB, Instant.parse("2099-01-01T00:00:00Z")),
        "2099",
        "20 years after");
  }

  @Test
  void theLastMountOnTheWayDecidesWhetherLibrariesLoad() {
    List<String> mounts =
        List.of(
            "22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw",
            "30 22 0:25 / /tmp rw,nosuid,nodev,noexec shared:5 - tmpfs tmpfs rw",
            "31 30 0:26 / /tmp/my\\040files rw,relatime - tmpfs tmpfs rw",
            "32 22 0:27 / /x rw,noexec - tmpfs tmpfs rw",
            "33 22 0:28 / /x rw - tmpfs tmpfs rw",
            "torn");
    assertTrue(Folder.isNoexec(Path.of("/tmp/a"), mounts));
    assertTrue(Folder.isNoexec(Path.of("/tmp"), mounts));
    assertFalse(Folder.isNoexec(Path.of("/tmp/my files/a"), mounts));
    assertFalse(Folder.isNoexec(Path.of("/tmpfiles"), mounts), "another folder");
    assertFalse(Folder.isNoexec(Path.of("/x"), mounts), "the later mount covers the earlier");
    assertFalse(Folder.isNoexec(Path.of("/tmp"), List.of()));
  }

  @Test
  void aFolderThatIsNotThereYetIsItsParents() throws IOException {
    Folder below = Folder.of("x", folder.resolve("a/b"), List.of(), "r");
    assertTrue(below.writable() && !below.noexec() && below.free() > 0, below.toString());
    Path file = Files.writeString(folder.resolve("file"), "");
    assertFalse(Folder.of("x", file, List.of(), "r").writable(), "a file is no folder");
  }

  private OptionalLong limit(String groups) throws IOException {
    return MemoryLimit.of(Files.writeString(folder.resolve("self"), groups), folder.resolve("fs"));
  }

  private void says(String file, String text) throws IOException {
    Path path = folder.resolve("fs").resolve(file);
    Files.createDirectories(path.getParent());
    Files.writeString(path, text + "\n");
  }

  @Test
  void groupsOfTheSecondVersion() throws IOException {
    assertEquals(OptionalLong.empty(), limit("0::/a/b\n"));
    says("a/memory.max", "3000");
    says("a/b/memory.max", "max");
    assertEquals(OptionalLong.of(3000), limit("0::/a/b\n"), "the group around it limits it");
    says("a/b/memory.max", "2000");
    assertEquals(OptionalLong.of(2000), limit("0::/a/b\n"));
    says("memory.max", "1000");
    assertEquals(OptionalLong.of(1000), limit("0::/docker/0123\n"), "a container's own view");
    assertEquals(OptionalLong.of(1000), limit("0::/\n"));
    assertEquals(OptionalLong.of(1000), limit("0::/../../elsewhere\n"));
  }

  @Test
  void groupsOfTheFirstVersion() throws IOException {
    String groups = "12:cpu,cpuacct:/x\n5:memory:/x/y\n1:name=systemd:/z\n0::/z\n";
    says("memory/memory.limit_in_bytes", "9223372036854771712");
    assertEquals(OptionalLong.empty(), limit(groups), "no limit is a large number there");
    says("memory/x/memory.limit_in_bytes", "5000");
    says("memory/x/y/memory.limit_in_bytes", "9223372036854771712");
    assertEquals(OptionalLong.of(5000), limit(groups));
    says("unified/z/memory.max", "4000");
    assertEquals(OptionalLong.of(4000), limit(groups), "both versions at once");
    assertEquals(OptionalLong.empty(), limit("5:memory\nnonsense\n"));
    assertEquals(
        OptionalLong.empty(), MemoryLimit.of(folder.resolve("none"), folder.resolve("fs")));
  }

  private static ObjectNode report(boolean dnnl) {
    ObjectNode report = JsonNodeFactory.instance.objectNode();
    report.putObject("java").put("version", "25").put("vector_module", true).put("remedy", "");
    report.put("system", "Linux").put("processor", "chip").put("processors", 2);
    report.putArray("libraries").addObject().put("name", "oneDNN").put("found", dnnl);
    var backends = report.putArray("backends");
    backends.addObject().put("name", "reference").put("device", "reference").put("works", true);
    backends.addObject().put("name", "cpu").put("works", dnnl).put("remedy", "install oneDNN");
    backends.addObject().put("name", "cuda").put("works", false).put("remedy", "no driver");
    return report;
  }

  private static void auto(ObjectNode report, String device, String why) {
    DoctorCommand.auto(report);
    assertEquals(device, report.at("/auto/device").asText());
    assertTrue(report.at("/auto/why").asText().contains(why), report.at("/auto").toString());
  }

  @Test
  void autoIsSaidInOneLine() {
    auto(report(true), "cpu", "no driver");
    auto(report(false), "reference", "install oneDNN");
    ObjectNode gpu = report(true);
    ((ObjectNode) gpu.at("/backends/2")).put("device", "NVIDIA H200").put("kernel_error", 1e-6);
    auto(gpu, "cuda", "as the reference does");
    ObjectNode wrong = report(true);
    ((ObjectNode) wrong.at("/backends/2")).put("device", "NVIDIA H200").put("kernel_error", 0.5);
    auto(wrong, "cpu", "NVIDIA H200 differs from the reference by 0.50");
  }

  /** Whatever the machine-readable form says, the form for people says too. */
  @Test
  void bothFormsSayTheSame() {
    ObjectNode report = report(true);
    DoctorCommand.auto(report);
    DoctorCommand.add(report, with(GOOD, "latin", OptionalLong.of(GIB), 99 * GIB, Instant.EPOCH));
    String text = DoctorCommand.text(report);
    for (String at :
        List.of(
            "/auto/device", "/auto/why", "/folders/0/use", "/folders/0/path", "/names", "/made")) {
      assertTrue(text.contains(report.at(at).asText()), at + " is not in " + text);
    }
    assertTrue(text.contains("limited to 1024 MiB") && text.contains("101376 MiB"), text);
    assertEquals(3, report.path("warnings").size());
    for (JsonNode warning : report.path("warnings")) {
      assertTrue(text.contains("Warning    " + warning.asText() + "\n"), text);
    }
    DoctorCommand.add(report, with(GOOD, "UTF-8", OptionalLong.empty(), GIB, BUILT));
    assertTrue(DoctorCommand.text(report).contains("no limit set"), text);
    assertTrue(report.path("memory_limit").isNull() && report.path("warnings").isEmpty());
  }
}
