package io.fbnet.nas.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A file is replaced as a whole; what is no file is never replaced by one. */
@EnabledOnOs(OS.LINUX)
class AtomicFileTest {
  @TempDir Path folder;

  private List<String> names() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void aSymbolicLinkStaysOne() throws IOException {
    Path real = Files.writeString(folder.resolve("real"), "before");
    Path link = Files.createSymbolicLink(folder.resolve("link"), Path.of("real"));
    AtomicFile.writeText(link, "after");
    assertTrue(Files.isSymbolicLink(link));
    assertEquals("after", Files.readString(real));
    Path nowhere = Files.createSymbolicLink(folder.resolve("nowhere"), Path.of("gone"));
    Refusals.refused(
        ExitCode.STORAGE, () -> AtomicFile.writeText(nowhere, "x"), "leads nowhere", "nowhere");
    assertEquals(List.of("link", "nowhere", "real"), names());
  }

  @Test
  void aPipeGetsTheBytes() throws Exception {
    Path pipe = folder.resolve("pipe");
    assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
    CompletableFuture<String> read =
        CompletableFuture.supplyAsync(
            () -> {
              try {
                return Files.readString(pipe);
              } catch (IOException e) {
                return e.toString();
              }
            });
    AtomicFile.writeText(pipe, "through");
    assertEquals("through", read.get(10, TimeUnit.SECONDS));
    assertFalse(Files.isRegularFile(pipe));
    assertEquals(List.of("pipe"), names());
  }

  @Test
  void aDeviceIsWrittenThroughOrSaysWhyNot() throws IOException {
    AtomicFile.writeText(Path.of("/dev/null"), "x");
    assertFalse(Files.isRegularFile(Path.of("/dev/null")));
    Path full = Path.of("/dev/full");
    if (Files.exists(full)) {
      Refusals.refused(ExitCode.STORAGE, () -> AtomicFile.writeText(full, "x"), "/dev/full");
      assertFalse(Files.isRegularFile(full));
    }
    Refusals.refused(ExitCode.STORAGE, () -> AtomicFile.writeText(folder, "x"), "is a folder");
  }
}
