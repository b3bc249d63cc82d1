package io.fbnet.nas.data;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Sha256;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FashionMnistFilesTest {
  private static final List<String> NAMES = List.of("images", "labels");
  @TempDir private Path folder;
  private final List<String> notices = TestFiles.notices();
  private final List<String> calls = new ArrayList<>();
  private Optional<Path> named = Optional.empty();

  @Test
  void looksInFoldersBeforeTheCacheAndFetchesNothing() throws IOException {
    put(folder.resolve("second"), true);
    put(cache(), false);
    Map<String, byte[]> found = locate(false, List.of(working("net")), "first", "second");
    assertEquals("content of images", new String(found.get("images"), UTF_8));
    assertEquals(List.of(), calls);
    assertEquals(List.of(), notices);
  }

  @Test
  void fetchesInOrderTellsBeforeAndKeepsWhatItFetched() throws IOException {
    Map<String, byte[]> found =
        locate(false, List.of(failing("first way"), working("second way"), working("third")), "no");
    assertEquals(2, found.size());
    assertEquals(List.of("first way", "second way"), calls);
    assertEquals(List.of("fetching from second way"), notices);
    try (Stream<Path> list = Files.list(cache())) {
      assertEquals(
          List.of("images.gz", "labels.gz"),
          list.map(p -> p.getFileName().toString()).sorted().toList(),
          "nothing temporary is left");
    }
    assertEquals(2, locate(true, List.of(), "no").size(), "the next time without a network");
  }

  @Test
  void wrongChecksumsAreSaidAndPassedOver() throws IOException {
    put(folder.resolve("first"), false);
    Files.writeString(folder.resolve("first").resolve("labels"), "something else");
    put(folder.resolve("second"), false);
    assertEquals(2, locate(true, List.of(), "first", "second").size());
    assertEquals(1, notices.size());
    assertTrue(notices.getFirst().contains("wrong checksum"), notices.getFirst());
  }

  @Test
  void aFolderThatTheUserNamedServesOrIsAnError() throws IOException {
    put(folder.resolve("other"), false);
    put(cache(), false);
    Path own = folder.resolve("own");
    named = Optional.of(own);
    refused("no such files");
    put(own, true);
    assertEquals(2, locate(true, List.of(), "other").size());
    Files.write(own.resolve("labels"), new byte[100]);
    refused("labels has a wrong checksum");
    Files.delete(own.resolve("labels"));
    Files.delete(own.resolve("labels.gz"));
    refused("lacks labels");
    assertEquals(List.of(), notices);
    assertEquals(List.of(), calls);
  }

  private void refused(String words) {
    UserException e =
        assertThrows(UserException.class, () -> locate(false, List.of(working("net")), "other"));
    assertEquals(ExitCode.DATA_OR_CONFIGURATION, e.exitCode());
    assertTrue(e.getMessage().contains("--data-dir " + named.orElseThrow()), e.getMessage());
    assertTrue(e.getMessage().contains(words), e.getMessage());
  }

  @Test
  void whatIsFetchedIsCheckedToo() {
    FileFetcher liar = fetcher("liar", into -> Files.writeString(into.resolve("images"), "junk"));
    UserException e = assertThrows(UserException.class, () -> locate(false, List.of(liar), "no"));
    assertTrue(e.getMessage().contains("liar: what came is not Fashion-MNIST"), e.getMessage());
    assertFalse(Files.exists(cache().resolve("images")));
  }

  @Test
  void namesEveryWayThatFailed() {
    UserException e =
        assertThrows(
            UserException.class,
            () -> locate(false, List.of(failing("way one"), failing("way two")), "nowhere"));
    assertEquals(ExitCode.DATA_OR_CONFIGURATION, e.exitCode());
    for (String word :
        List.of("nowhere: no such files", "way one: it is closed", "way two", "--data shapes")) {
      assertTrue(e.getMessage().contains(word), word + " in " + e.getMessage());
    }
    UserException offline =
        assertThrows(UserException.class, () -> locate(true, List.of(working("net")), "nowhere"));
    assertTrue(offline.getMessage().contains("net: not tried, --offline"), offline.getMessage());
    assertFalse(calls.contains("net"));
  }

  @Test
  void worksWithoutAWritableCache() throws IOException {
    Files.writeString(cache(), "a file where the folder should be");
    assertEquals(2, locate(false, List.of(working("net")), "no").size());
    assertTrue(notices.stream().anyMatch(n -> n.contains("not kept")), "" + notices);
  }

  private Path cache() {
    return folder.resolve("cache");
  }

  private Map<String, byte[]> locate(
      boolean offline, List<FileFetcher> fetchers, String... folders) {
    Map<String, String> digests = new HashMap<>();
    NAMES.forEach(n -> digests.put(n, Sha256.hex(("content of " + n).getBytes(UTF_8))));
    List<Path> places = Stream.of(folders).map(folder::resolve).toList();
    return new FashionMnistFiles(digests, named, places, cache(), fetchers, offline, notices::add)
        .locate();
  }

  private static void put(Path into, boolean packed) throws IOException {
    Files.createDirectories(into);
    for (String name : NAMES) {
      byte[] content = ("content of " + name).getBytes(UTF_8);
      if (packed) {
        IdxFileTest.writeGzip(into.resolve(name + ".gz"), content);
      } else {
        Files.write(into.resolve(name), content);
      }
    }
  }

  private FileFetcher working(String name) {
    return fetcher(
        name,
        into -> {
          notices.add("fetching from " + name);
          put(into, true);
        });
  }

  private FileFetcher failing(String name) {
    return fetcher(
        name,
        into -> {
          throw new IOException("it is closed");
        });
  }

  private interface Step {
    void run(Path into) throws IOException;
  }

  private FileFetcher fetcher(String name, Step step) {
    return new FileFetcher() {
      @Override
      public String name() {
        return name;
      }

      @Override
      public void fetch(List<String> files, Path into, Consumer<String> sink) throws IOException {
        assertEquals(NAMES, files);
        calls.add(name);
        step.run(into);
      }
    };
  }
}
