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
import org.junit.jupiter.api.Tag;
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

  private static String withoutHeap(String doctor) {
    String without = doctor.replaceFirst("\"java_heap\": [0-9]+", "");
    assertTrue(without.length() < doctor.length(), doctor);
    return without;
  }

  @Test
  @Tag("full")
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
    // A collector counts its heap without what it keeps free, and which one it is differs here.
    assertEquals(withoutHeap(run(plain, "", "doctor", "--json").out()), withoutHeap(first.out()));

    Path loaded = project.resolve("loaded");
    String log = "-Xlog:class+load:file=" + loaded;
    assertEquals(withoutHeap(first.out()), withoutHeap(script(log, "doctor", "--json").out()));
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
      assertEquals(withoutHeap(first.out()), withoutHeap(outcome.out()));
      assertEquals("", outcome.err(), damaged.length + " bytes");
      assertEquals(damaged.length, Files.size(archive), "it is made once a jar, not once a start");
    }
  }

  /** The script beside a jar and an archive, so that it neither builds nor prepares. */
  private Path ready() throws IOException {
    Path target = Files.createDirectories(project.resolve("nas").resolve("target"));
    Files.createSymbolicLink(target.resolve("fbnet-engine.jar"), Fbnet.jar());
    Path script = project.resolve("fbnet");
    Files.copy(Path.of("..", "fbnet"), script);
    assertTrue(script.toFile().setExecutable(true));
    Files.createFile(target.resolve("fbnet-engine.jsa"));
    return script;
  }

  /** Runs a shell's words in an environment of nothing but these variables. */
  private Outcome shell(String words, String... variables) throws Exception {
    Path out = project.resolve("shell.out");
    Path err = project.resolve("shell.err");
    ProcessBuilder builder =
        new ProcessBuilder("sh", "-c", words)
            .directory(project.toFile())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    builder.environment().clear();
    builder.environment().put("PATH", "/usr/bin:/bin");
    builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
    for (String variable : variables) {
      String[] pair = variable.split("=", 2);
      builder.environment().put(pair[0], pair[1]);
    }
    Process process = builder.start();
    assertTrue(process.waitFor(LONGEST_SECONDS, TimeUnit.SECONDS), "hangs: " + words);
    return new Outcome(process.exitValue(), Files.readString(out), Files.readString(err));
  }

  @Test
  void itRunsWhereverItIsCalledFrom() throws Exception {
    Path script = ready();
    Path elsewhere = Files.createDirectories(project.resolve("bin"));
    Path link = Files.createSymbolicLink(elsewhere.resolve("fbnet-link"), script);
    Files.createSymbolicLink(elsewhere.resolve("again"), link);
    for (String call :
        new String[] {script.toString(), link.toString(), "bin/again", "./fbnet", "sh fbnet"}) {
      Outcome outcome = shell(call + " --version", "CDPATH=" + elsewhere + ":/");
      assertEquals(0, outcome.code(), call + ": " + outcome.err());
      assertTrue(outcome.out().startsWith("fbnet "), outcome.out());
      assertEquals("", outcome.err(), call);
    }
    Outcome byPath = shell("fbnet-link --version", "PATH=" + elsewhere + ":/usr/bin:/bin");
    assertEquals(0, byPath.code(), byPath.err());
  }

  @Test
  void itSaysWhyJavaCannotStartAndRunsWithoutStandardError() throws Exception {
    ready();
    for (String variable :
        new String[] {
          "JAVA_TOOL_OPTIONS=-XX:+Bogus", "JDK_JAVA_OPTIONS=-XX:+Bogus", "_JAVA_OPTIONS=-Xmx1q"
        }) {
      Outcome outcome = shell("./fbnet --version", variable);
      assertEquals(4, outcome.code(), outcome.err());
      assertTrue(outcome.err().startsWith("fbnet: Java cannot start: "), outcome.err());
      assertTrue(outcome.err().contains("Bogus") || outcome.err().contains("-Xmx1q"));
    }
    Outcome limited = shell("ulimit -v 300000; ./fbnet --version");
    assertEquals(4, limited.code(), limited.err());
    assertTrue(limited.err().startsWith("fbnet: Java cannot start: "), limited.err());
    Outcome closed = shell("./fbnet --version 2>&-");
    assertEquals(0, closed.code());
    assertTrue(closed.out().startsWith("fbnet "), closed.out());
    assertEquals(2, shell("./fbnet nonsense 2>&-").code());
  }

  @Test
  @Tag("full")
  void lostResultsAreAStorageError() throws Exception {
    ready();
    String jar = System.getProperty("java.home") + "/bin/java -jar " + Fbnet.jar();
    for (String program : new String[] {"./fbnet", jar}) {
      for (String verb : new String[] {"--help", "--version", "describe fbnet-a", "latency list"}) {
        Outcome outcome = shell(program + " " + verb + " >/dev/full");
        assertEquals(5, outcome.code(), verb + ": " + outcome.err());
        assertEquals(1, outcome.err().lines().count(), outcome.err());
        assertTrue(outcome.err().contains("could not be written"), outcome.err());
      }
      Outcome head = shell(program + " latency list | head -n 1");
      assertEquals("", head.err());
    }
  }

  @Test
  void lettersBeyondAsciiAreReadInAnyLocale() throws Exception {
    ready();
    String java = System.getProperty("java.home") + "/bin/java ";
    Path folder = Files.createDirectories(project.resolve("B\u00e4ume").resolve("\u00dcbung"));
    Files.writeString(folder.resolve("net.json"), ARCHITECTURE);
    String verb = " describe 'B\u00e4ume/\u00dcbung/net.json' --json";
    for (String locale : new String[] {"LC_ALL=C", "LC_ALL=POSIX", "LANG=", "LC_ALL=C.UTF-8"}) {
      for (String program : new String[] {"./fbnet", java + "-jar " + Fbnet.jar()}) {
        Outcome outcome = shell(program + verb, locale);
        assertEquals(0, outcome.code(), locale + ": " + outcome.err());
        assertTrue(outcome.out().contains("\"macs\""), outcome.out());
      }
    }
    // Where Java was already told everything, it cannot be started again, and says so.
    Outcome told =
        shell(
            java
                + "--add-modules=jdk.incubator.vector -cp "
                + Fbnet.jar()
                + " io.fbnet.nas.cli.Main"
                + verb,
            "LC_ALL=C");
    assertEquals(2, told.code(), told.err());
    assertTrue(told.err().contains("set LC_ALL"), told.err());
  }

  private static final String ARCHITECTURE =
      "{\"space\": \"cifar\", \"blocks\": [\"k3_e1\"" + ", \"skip\"".repeat(21) + "]}";

  private static boolean isShared(Path log, String name) throws IOException {
    return Files.readAllLines(log).stream()
        .anyMatch(l -> l.contains(" " + name + " ") && l.contains("shared objects file"));
  }
}
