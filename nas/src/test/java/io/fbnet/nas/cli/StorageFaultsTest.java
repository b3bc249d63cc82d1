package io.fbnet.nas.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/**
 * One operation on files fails in a search, a training, a sampling and an evaluation: it ends in
 * one sentence, its last checkpoint is whole, and resumed it ends as if nothing had been.
 */
@EnabledOnOs(OS.LINUX)
class StorageFaultsTest {
  @TempDir Path folder;

  /** What a process whose files are {@link FaultyFiles} says, and whether it ended well. */
  private String sweep(int expected, String... arguments) throws Exception {
    Path work = Files.createDirectories(folder.resolve("work"));
    Path temporary = Files.createDirectories(folder.resolve("tmp"));
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("-Djava.nio.file.spi.DefaultFileSystemProvider=" + FaultyFiles.class.getName());
    command.add("-Djava.io.tmpdir=" + temporary);
    command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "-Xmx1g"));
    command.add("--add-modules=jdk.incubator.vector");
    command.addAll(
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
            .filter(flag -> flag.startsWith("-XX:"))
            .toList());
    command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    command.add(FaultSweep.class.getName());
    command.add(work.toString());
    command.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().put("XDG_CACHE_HOME", folder.resolve("cache").toString());
    Process process = builder.start();
    String said = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertEquals(expected, process.waitFor(), said);
    return said;
  }

  @Test
  void aFaultNowAndThenCostsNothing() throws Exception {
    String said = sweep(0, "short");
    System.out.println(said);
    assertTrue(said.lines().toList().getLast().matches("\\d{2,} faults, 0 ended wrongly"), said);
  }

  /** A native library is unpacked elsewhere where it cannot be unpacked here. */
  private void starts(int... operations) throws Exception {
    for (int nth : operations) {
      delete(folder);
      String last = sweep(0, "start", Integer.toString(nth)).lines().toList().getLast();
      System.out.println(last);
      assertTrue(last.contains(folder + "/cache") && last.endsWith("exit code 0"), last);
      try (Stream<Path> files = Files.walk(folder)) {
        List<Path> parts =
            files.filter(f -> f.getFileName().toString().startsWith("part")).toList();
        assertTrue(parts.isEmpty() || last.startsWith("DELETE"), last + " left " + parts);
      }
    }
  }

  private static void delete(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        if (!file.equals(folder)) {
          Files.delete(file);
        }
      }
    }
  }

  @Test
  void aNativeLibraryThatCannotBeUnpackedHereIsUnpackedElsewhere() throws Exception {
    starts(6, 700);
  }

  @Test
  @Tag("full")
  @Tag("sweep")
  void whereverItsUnpackingFails() throws Exception {
    starts(IntStream.rangeClosed(1, 50).toArray());
    starts(60, 75, 95, 125, 165, 220, 300, 400, 530, 700, 930, 1240, 1650);
  }

  @Test
  @Tag("full")
  @Tag("sweep")
  void noFaultAnywhereCostsAnything() throws Exception {
    String said = sweep(0, "full");
    System.out.println(said);
    assertTrue(said.lines().toList().getLast().matches("\\d{3,} faults, 0 ended wrongly"), said);
  }
}
