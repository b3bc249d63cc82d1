package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.run.RunFolder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunConfigTest {
  @TempDir Path folder;

  @Test
  void runsOfTheSameSecondGetAFolderEach() throws InterruptedException {
    Path parent = folder.resolve("runs");
    Instant now = Instant.parse("2026-03-01T23:30:59Z");
    int many = 8;
    Set<RunFolder> open = ConcurrentHashMap.newKeySet();
    Thread[] threads =
        IntStream.range(0, many)
            .mapToObj(
                i ->
                    Thread.ofPlatform()
                        .start(() -> open.add(RunConfig.newFolder(parent, "tiny", now))))
            .toArray(Thread[]::new);
    for (Thread thread : threads) {
      thread.join();
    }
    Set<Path> made = open.stream().map(RunFolder::root).collect(Collectors.toSet());
    assertEquals(many, made.size(), made.toString());
    assertTrue(made.contains(parent.resolve("tiny-20260301-233059")), made.toString());
    assertTrue(made.contains(parent.resolve("tiny-20260301-233059-8")), made.toString());
    assertEquals(many, made.stream().filter(Files::isDirectory).count());
    open.forEach(RunFolder::close);
    assertEquals(0, made.stream().filter(Files::exists).count(), "none became a run");
  }
}
