package io.fbnet.nas.data;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The two ways of fetching: against a server in this process and against pretended commands. */
class FetchersTest {
  @TempDir private Path folder;
  private final List<String> notices = TestFiles.notices();

  @Test
  void httpFetchesFilesAndLeavesNoPartOfAFailedOne() throws Exception {
    CountDownLatch over = new CountDownLatch(1);
    HttpServer server =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext(
        "/",
        exchange -> {
          String path = exchange.getRequestURI().getPath();
          byte[] body = "hello".getBytes(UTF_8);
          if (path.equals("/stalls.gz")) {
            exchange.sendResponseHeaders(200, 1000);
            exchange.getResponseBody().write(body);
            exchange.getResponseBody().flush();
            try {
              over.await();
            } catch (InterruptedException e) {
              Thread.currentThread().interrupt();
            }
          } else {
            exchange.sendResponseHeaders(path.equals("/good.gz") ? 200 : 404, body.length);
            exchange.getResponseBody().write(body);
          }
          exchange.close();
        });
    server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
    server.start();
    try {
      String address = "http://127.0.0.1:" + server.getAddress().getPort() + "/";
      // Half a minute, as a busy machine may take seconds over its first answer.
      HttpFetcher fetcher = new HttpFetcher(address, 31, Duration.ofSeconds(30), Map.of());
      fetcher.fetch(List.of("good"), folder, notices::add);
      assertEquals("hello", Files.readString(folder.resolve("good.gz")));
      assertEquals(List.of("fetching 1 files from " + address + " (31 MB)"), notices);
      IOException absent =
          assertThrows(
              IOException.class, () -> fetcher.fetch(List.of("absent"), folder, notices::add));
      assertTrue(absent.getMessage().contains("404"), absent.getMessage());
      IOException stalled =
          assertThrows(
              IOException.class,
              () ->
                  new HttpFetcher(address, 31, Duration.ofSeconds(1), Map.of())
                      .fetch(List.of("stalls"), folder, notices::add));
      assertTrue(stalled.getMessage().contains("within 1 s"), stalled.getMessage());
      assertEquals(List.of("good.gz"), names());
    } finally {
      over.countDown();
      server.stop(0);
    }
  }

  @Test
  void aDebianPackageIsToldOfDownloadedAndUnpacked() throws Exception {
    for (boolean dpkg : new boolean[] {true, false}) {
      notices.clear();
      List<String> commands = new ArrayList<>();
      new DebianPackageFetcher(
              "some-data", (at, command, s) -> pretend(at, command, commands, dpkg))
          .fetch(List.of("images"), folder, notices::add);
      assertEquals("packed", Files.readString(folder.resolve("images.gz")));
      assertEquals(List.of("images.gz"), names(), "no scratch folder is left");
      assertEquals(1, notices.size());
      assertTrue(
          notices.getFirst().contains("http://deb.example/some-data.deb (31 MB"),
          notices.getFirst());
      assertEquals(dpkg ? 3 : 5, commands.size(), "" + commands);
    }
  }

  @Test
  void aDebianPackageThatCannotBeHadSaysWhy() throws IOException {
    DebianPackageFetcher fetcher =
        new DebianPackageFetcher(
            "some-data",
            (at, command, seconds) -> {
              throw new IOException("apt-get failed: E: Unable to locate package some-data");
            });
    IOException e =
        assertThrows(
            IOException.class, () -> fetcher.fetch(List.of("images"), folder, notices::add));
    assertTrue(e.getMessage().contains("Unable to locate"), e.getMessage());
    assertEquals(List.of(), notices, "nothing was fetched, nothing is told");
    assertEquals(List.of(), names());
  }

  private static String pretend(Path at, List<String> command, List<String> commands, boolean dpkg)
      throws IOException {
    commands.add(command.getFirst());
    switch (command.getFirst()) {
      case "apt-get" -> {
        if (command.contains("--print-uris")) {
          return "'http://deb.example/some-data.deb' some-data_1.deb 30900652 SHA256:00\n";
        }
        Files.writeString(at.resolve("some-data_1.deb"), "");
      }
      case "dpkg-deb" -> {
        if (!dpkg) {
          throw new DebianPackageFetcher.MissingCommandException("dpkg-deb");
        }
        unpackInto(Path.of(command.getLast()));
      }
      case "ar" -> Files.writeString(at.resolve("data.tar.xz"), "");
      case "tar" -> unpackInto(Path.of(command.getLast()));
      default -> throw new AssertionError(command);
    }
    return "";
  }

  private static void unpackInto(Path content) throws IOException {
    TestFiles.write(content.resolve("usr/share/images.gz"), "packed".getBytes(UTF_8));
  }

  private List<String> names() throws IOException {
    try (Stream<Path> list = Files.list(folder)) {
      return list.map(p -> p.getFileName().toString()).sorted().toList();
    }
  }
}
