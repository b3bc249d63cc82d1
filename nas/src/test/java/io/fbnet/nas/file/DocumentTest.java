package io.fbnet.nas.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.ThreadMXBean;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DocumentTest {
  @Test
  void aByteOrderMarkIsNoPartOfTheText(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("bom");
    Files.writeString(file, "\uFEFF{\"a\": 1}");
    assertEquals(1, Document.json(file).fields("a").required("a").integer(0, 9));
    Files.writeString(file, "\uFEFFa: 2\n");
    assertEquals(2, Document.yaml(file).fields("a").required("a").integer(0, 9));
    Files.writeString(file, "\uFEFFrows");
    assertEquals("rows", Document.text(file));
  }

  @Test
  void everyValueKnowsItsLine() {
    Node node = Document.yaml("x.yaml", "# a comment\na: 1\nb:\n  - c: two\n  - c: 3.5\n");
    Node.Fields fields = node.fields("a", "b");
    assertEquals(2, fields.required("a").line());
    List<Node> items = fields.required("b").list(2, 2);
    Node last = items.get(1).fields("c").required("c");
    assertEquals(5, last.line());
    assertEquals("b[1].c", last.key());
    assertEquals(3.5, last.number(0, 4));
    assertEquals("two", items.get(0).fields("c").required("c").text());
  }

  @Test
  void jsonKnowsItsLinesToo() {
    Node node = Document.json("x.json", "{\n \"a\": [1,\n  true]\n}");
    List<Node> items = node.fields("a").required("a").list(1, 9);
    assertEquals(3, items.get(1).line());
    assertTrue(items.get(1).flag());
  }

  @Test
  void wrongTextIsRefusedWithItsLine() {
    Refusals.data(() -> Document.yaml("x.yaml", "a: 1\nb: [1, 2\n"), "x.yaml, line ", "YAML");
    Refusals.data(() -> Document.yaml("x.yaml", "a: 1\n\tb: 2\n"), "x.yaml, line 2");
    Refusals.data(() -> Document.yaml("x.yaml", "a: \u0007\n"), "x.yaml");
    Refusals.data(() -> Document.yaml("x.yaml", ""), "empty");
    Refusals.data(() -> Document.yaml("x.yaml", "a: 1\na: 2\n"), "line 2", "second time", "line 1");
    Refusals.data(() -> Document.yaml("x.yaml", "a: &n [1]\nb: *n\n"), "line 2", "alias");
    Refusals.data(() -> Document.yaml("x.yaml", "a: 1\n---\nb: 1\n"), "more text");
    Refusals.data(() -> Document.yaml("x.yaml", "a: 1\nb: .inf\n"), "line 2", ".inf");
    Refusals.data(() -> Document.json("x.json", "{\"a\": 1,}"), "x.json, line 1", "JSON");
    Refusals.data(() -> Document.json("x.json", "{\"a\": NaN}"), "line 1");
    Refusals.data(() -> Document.json("x.json", "{\"a\": 1} x"), "line 1");
    Refusals.data(() -> Document.json("x.json", "{\"a\": 1, \"a\": 1}"), "second time");
    Refusals.data(() -> Document.json("x.json", "{\"a\": "), "line 1");
    Refusals.data(() -> Document.json("x.json", "[".repeat(100_000)), "line 1");
  }

  @Test
  void refusalsSpeakOfTheFileAlone() {
    Refusals.data(() -> Document.yaml("x.yaml", "a: 1\n? [b, c]\n: 2\n"), "x.yaml, line 2");
    for (String text : List.of("? [b, c]\n: 2\n", "? {b: c}\n: 2\n", "[".repeat(5000))) {
      String message = Refusals.data(() -> Document.yaml("x.yaml", text), "x.yaml, line 1");
      assertFalse(message.contains("yaml.org") || message.contains("get"), message);
      assertFalse(message.contains("org."), message);
    }
  }

  /** It could not be written again: Java writes half a character as a question mark. */
  @Test
  void halfACharacterIsRefused() {
    Refusals.data(() -> Document.json("x.json", "{\"a\": \"\\ud83d\"}"), "line 1", "\\ud83d");
    Refusals.data(() -> Document.json("x.json", "{\n\"\\ude00\": 1}"), "line 2", "\\ude00");
    Node whole = Document.json("x.json", "{\"a\": \"\\ud83d\\ude00\"}");
    assertEquals("\ud83d\ude00", whole.fields("a").required("a").text());
  }

  /** A chain of keys costs no more than it has bytes, though each value could name all above it. */
  @Test
  void deepValuesOfLongKeysAreCheap() {
    int depth = 900;
    String key = "k".repeat(10_000);
    String text = ("{\"" + key + "\": ").repeat(depth) + "1" + "}".repeat(depth);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    Node node = Document.json("x.json", text);
    long bytes = threads.getCurrentThreadAllocatedBytes() - before;
    assertTrue(bytes < 20L * text.length(), bytes + " bytes for " + text.length());
    for (int i = 0; i < depth; i++) {
      node = node.mapping().get(key);
    }
    assertEquals(depth * (key.length() + 1) - 1, node.key().length());
  }

  /** Comparing two words takes memory by the product of their lengths. */
  @Test
  void aLongUnknownKeyIsComparedWithNone() {
    String key = "k".repeat(1 << 21);
    Node node = Document.yaml("x.yaml", "? " + key + "\n: 1\n");
    Refusals.data(() -> node.fields("k", "kk"), "unknown key 'kkk", "known: k, kk");
  }

  @Test
  void wrongValuesAreRefusedWithTheirKey() {
    Node.Fields f =
        Document.yaml("x.yaml", "n: 99999999999999999999\nt: text\nr: .nope\nl: [1]\nm: {}\ne:\n")
            .fields("n", "t", "r", "l", "m", "e");
    Refusals.data(() -> f.required("n").integer(0, 9), "'n'", "between 0 and 9");
    Refusals.data(() -> f.required("t").integer(0, 9), "line 2", "whole number", "\"text\"");
    Refusals.data(() -> f.required("t").number(0, 9), "must be a number");
    Refusals.data(() -> f.required("t").flag(), "true or false");
    Refusals.data(() -> f.required("r").number(0, 9), "a number");
    Refusals.data(() -> f.required("l").list(2, 3), "2 to 3 elements", "has 1");
    Refusals.data(() -> f.required("l").text(), "must be a text", "a list");
    Refusals.data(() -> f.required("m").list(0, 1), "must be a list", "mapping");
    Refusals.data(() -> f.required("l").mapping(), "named fields");
    Refusals.data(() -> f.required("e").text(), "empty");
    Refusals.data(() -> f.required("absent"), "lacks", "absent");
  }

  @Test
  void unknownKeysNameTheNearest() {
    Node node = Document.yaml("x.yaml", "epoch: 1\nstide: 2\n");
    Refusals.data(() -> node.fields("epoch", "stride"), "line 2", "'stide'", "'stride'");
    Refusals.data(() -> node.fields("epoch", "q"), "'stide'", "known: epoch, q");
  }

  @Test
  void wrongFilesAreRefused(@TempDir Path folder) throws IOException {
    Refusals.data(() -> Document.json(folder), "folder");
    Refusals.data(() -> Document.json(folder.resolve("none")), "no file");
    Path binary = Files.write(folder.resolve("binary"), new byte[] {(byte) 0xff, (byte) 0xfe, 0});
    Refusals.data(() -> Document.json(binary), "UTF-8");
    Path big = folder.resolve("big");
    try (var channel = FileChannel.open(big, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.allocate(1), 20L << 20);
    }
    Refusals.data(() -> Document.json(big), "bytes");
  }

  @Test
  void nearestCountsSwapsAsOne() {
    assertEquals(1, Nearest.distance("srtide", "stride"));
    assertEquals(3, Nearest.distance("kitten", "sitting"));
    assertEquals("k3_e1", Nearest.to("k3e1", List.of("skip", "k3_e1", "k5_e6")).orElseThrow());
    assertTrue(Nearest.to("entirely", List.of("skip", "k3_e1")).isEmpty());
  }

  @Test
  void textIsReplacedAsAWhole(@TempDir Path folder) throws IOException {
    Path target = folder.resolve("deep/file.json");
    AtomicFile.writeText(target, "one");
    AtomicFile.writeText(target, "two");
    assertEquals("two", Files.readString(target));
    try (var files = Files.list(target.getParent())) {
      assertEquals(1, files.count());
    }
    Path below = target.resolve("child");
    Refusals.refused(ExitCode.STORAGE, () -> AtomicFile.writeText(below, "x"), "cannot write");
    Path nonEmpty = Files.createDirectories(folder.resolve("taken/inside")).getParent();
    Refusals.refused(ExitCode.STORAGE, () -> AtomicFile.writeText(nonEmpty, "x"), "taken");
    try (var files = Files.list(folder)) {
      assertEquals(2, files.count(), "a temporary file was left");
    }
  }

  @Test
  void jsonTextReadsBack() throws IOException {
    var mapper = new ObjectMapper();
    var tree =
        mapper.readTree(
            "{\"a\":[1,2.5,null],\"b\":{\"c,"
                + " \\\"d\":[\"x,y\",\"z\"],\"e\":{}},\"f\":[[1,2],[3,4]]}");
    String text = JsonText.of(tree);
    assertEquals(tree, mapper.readTree(text));
    assertTrue(text.contains("[1, 2.5, null]"), text);
    assertTrue(text.contains("    [3, 4]\n"), text);
  }
}
