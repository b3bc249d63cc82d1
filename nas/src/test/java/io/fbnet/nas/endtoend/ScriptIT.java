package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.endtoend.Fbnet.Outcome;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The script {@code fbnet} and the archive it makes: faster with it, and otherwise the same. */
@EnabledOnOs(OS.LINUX)
class ScriptIT {
  private static final long LONGEST_SECONDS = 300;
  private static final String PREPARING = "fbnet: preparing later starts (once a build)\n";

  /** A folder like the project's that has the script and the jar alone. */
  @TempDir Path project;

  private Outcome script(String javaOptions, String... arguments)
      throws IOException, InterruptedException {
    return run(List.of(project.resolve("fbnet").toString()), javaOptions, arguments);
  }

  private Outcome run(List<String> program, String javaOptions, String... arguments)
      throws IOException, InterruptedException {
    Path out = project.resolve("out");
    Path err = project.resolve("err");
    ProcessBuilder builder =
        new ProcessBuilder()
            .command(new ArrayList<>(program))
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    builder.command().addAll(List.of(arguments));
    builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
    builder.environment().keySet().removeAll(List.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"));
    builder.environment().put("_JAVA_OPTIONS", javaOptions);
    Process process = builder.start();
    boolean ended = process.waitFor(LONGEST_SECONDS, TimeUnit.SECONDS);
    if (!ended) {
      process.destroyForcibly();
    }
    assertTrue(ended, "hangs: " + List.of(arguments));
    return new Outcome(process.exitValue(), Files.readString(out), Files.readString(err));
  }

  @Test
  void theArchiveIsUsedAndADamagedOneChangesNothing() throws Exception {
    Path target = Files.createDirectories(project.resolve("nas").resolve("target"));
    Files.createSymbolicLink(target.resolve("fbnet-engine.jar"), Fbnet.jar());
    Files.copy(Path.of("..", "fbnet"), project.resolve("fbnet"));
    assertTrue(project.resolve("fbnet").toFile().setExecutable(true));
    Path archive = target.resolve("fbnet-engine.jsa");

    Outcome first = script("", "doctor", "--json");
    assertEquals(0, first.code(), first.err());
    assertEquals(PREPARING, first.err());
    try (var files = Files.list(target)) {
      assertEquals(
          List.of("fbnet-engine.jar", "fbnet-engine.jsa"),
          files.map(f -> f.getFileName().toString()).sorted().toList());
    }
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    List<String> plain = List.of(java.toString(), "-jar", Fbnet.jar().toString());
    assertEquals(run(plain, "", "doctor", "--json").out(), first.out());

    Path loaded = project.resolve("loaded");
    String log = "-Xlog:class+load:file=" + loaded;
    assertEquals(first.out(), script(log, "doctor", "--json").out());
    assertTrue(isShared(loaded, "io.fbnet.nas.cli.DoctorCommand"));
    // Of an old class file, and so archived only where nothing links it too early.
    assertTrue(isShared(loaded, "picocli.CommandLine"));
    assertEquals(0, script(log, "search", "--help").code());
    assertTrue(isShared(loaded, "io.fbnet.nas.cli.SearchCommand"));

    byte[] whole = Files.readAllBytes(archive);
    byte[] flipped = whole.clone();
    for (int i = 4096; i < flipped.length; i += 100_003) {
      flipped[i] ^= 0x55;
    }
    for (byte[] damaged :
        List.of(
            new byte[0],
            "no archive".getBytes(StandardCharsets.US_ASCII),
            Arrays.copyOf(whole, whole.length / 2),
            flipped)) {
      Files.write(archive, damaged);
      Outcome outcome = script("", "doctor", "--json");
      assertEquals(0, outcome.code());
      assertEquals(first.out(), outcome.out());
      assertEquals("", outcome.err(), damaged.length + " bytes");
      assertEquals(damaged.length, Files.size(archive), "it is made once a jar, not once a start");
    }
  }

  private static boolean isShared(Path log, String name) throws IOException {
    return Files.readAllLines(log).stream()
        .anyMatch(l -> l.contains(" " + name + " ") && l.contains("shared objects file"));
  }
}
