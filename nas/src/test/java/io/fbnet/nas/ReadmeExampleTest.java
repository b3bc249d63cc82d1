package io.fbnet.nas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.nas.space.Architecture;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The README's Java as a reader copies it, imports and all: it compiles, runs and learns. */
class ReadmeExampleTest {
  private static final Path README = Path.of("..", "README.md");

  @TempDir Path folder;

  @Test
  void theExampleLearns() throws Exception {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    String text = between(Files.readString(README), "```java\n", "```");
    Path source = Files.writeString(folder.resolve("Example.java"), text);
    ByteArrayOutputStream complaints = new ByteArrayOutputStream();
    String[] flags = {
      "-Xlint:all,-path",
      "-Werror",
      "-proc:none",
      "-cp",
      System.getProperty("java.class.path"),
      "-d",
      folder.toString(),
      source.toString()
    };
    int code = ToolProvider.getSystemJavaCompiler().run(null, complaints, complaints, flags);
    assertEquals(0, code, complaints.toString(StandardCharsets.UTF_8));
    List<Float> losses = run().lines().map(Float::valueOf).toList();
    assertEquals(50, losses.size());
    assertTrue(losses.getLast() < losses.getFirst() / 2, losses.toString());
  }

  /** What its main method prints. */
  private String run() throws Exception {
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    PrintStream out = System.out;
    try (URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()})) {
      Class<?> example = loader.loadClass("Example");
      var constructor = example.getDeclaredConstructor();
      constructor.setAccessible(true);
      Method main = example.getDeclaredMethod("main");
      main.setAccessible(true);
      System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
      main.invoke(constructor.newInstance());
    } finally {
      System.setOut(out);
    }
    return printed.toString(StandardCharsets.UTF_8);
  }

  @Test
  void theArchitectureOfTheTrainingProofIsRead() {
    Path file = Path.of("..", "docs", "examples", "fixed-fashion.json");
    assertEquals(9, Architecture.load(file.toString()).blocks().size());
  }

  /** What stands between the first {@code begin} and the next {@code end}. */
  private static String between(String text, String begin, String end) {
    int start = text.indexOf(begin) + begin.length();
    return text.substring(start, text.indexOf(end, start));
  }
}
