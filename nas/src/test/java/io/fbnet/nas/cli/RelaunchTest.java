package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

@EnabledOnOs(OS.LINUX)
class RelaunchTest {
  @TempDir Path folder;

  /** Says what became of the process. */
  static final class Probe {
    private Probe() {}

    public static void main(String[] arguments) throws Exception {
      Relaunch.ifNeeded(Probe.class, arguments);
      System.out.println("pid " + ProcessHandle.current().pid());
      System.out.println(
          "vector " + ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent());
      System.out.println("omp " + System.getenv("OMP_WAIT_POLICY"));
      System.out.println("property " + System.getProperty("probe.property"));
      System.out.println("heap " + (Runtime.getRuntime().maxMemory() <= 80 << 20));
      System.out.println("arguments " + List.of(arguments));
      System.out.println("input " + new String(System.in.readAllBytes(), StandardCharsets.UTF_8));
      System.err.println("to standard error");
      System.exit(7);
    }
  }

  /** A verb that computes and is not said to would run its loops ten times slower. */
  @Test
  void everyVerbIsLongOrShort() throws IOException {
    Set<String> verbs =
        new TreeSet<>(FbnetCommand.forArguments("completion").getSubcommands().keySet());
    verbs.removeAll(
        List.of("report", "import", "describe", "compare-devices", "doctor", "completion"));
    assertEquals(verbs, new TreeSet<>(Relaunch.LONG_VERBS));
    String line = "  [a-z-]+( \\| [a-z-]+)+\\)";
    List<String> script =
        Files.readAllLines(Path.of("..", "fbnet")).stream().filter(l -> l.matches(line)).toList();
    assertEquals(1, script.size(), script::toString);
    String listed = script.getFirst().strip().replace(")", "");
    assertEquals(verbs, new TreeSet<>(Arrays.asList(listed.split(" \\| ", -1))));
  }

  private record Outcome(long pid, int code, List<String> out, String err) {}

  private Outcome run(Map<String, String> environment, List<String> flags, String... arguments)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(flags);
    command.addAll(
        List.of(
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            Probe.class.getName()));
    command.addAll(List.of(arguments));
    Path out = folder.resolve("out");
    Path err = folder.resolve("err");
    Path in = Files.writeString(folder.resolve("in"), "typed");
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .redirectInput(in.toFile())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    builder.environment().remove("OMP_WAIT_POLICY");
    builder.environment().putAll(environment);
    Process process = builder.start();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "the child hangs");
    return new Outcome(
        process.pid(), process.exitValue(), Files.readAllLines(out), Files.readString(err));
  }

  @Test
  void theProcessBecomesOneWithTheModule() throws Exception {
    Outcome outcome =
        run(Map.of(), List.of("-Xmx64m", "-Dprobe.property=a b"), "first", "", "--third=x y");
    assertEquals(7, outcome.code(), outcome.err());
    assertEquals(
        List.of(
            "pid " + outcome.pid(),
            "vector true",
            "omp passive",
            "property a b",
            "heap true",
            "arguments [first, , --third=x y]",
            "input typed"),
        outcome.out());
    assertEquals("to standard error\n", outcome.err());
  }

  @Test
  void withTheModuleNothingHappens() throws Exception {
    Outcome outcome =
        run(Map.of("OMP_WAIT_POLICY", "active"), List.of("--add-modules=jdk.incubator.vector"));
    assertEquals("vector true", outcome.out().get(1));
    assertEquals("omp active", outcome.out().get(2));
    assertTrue(outcome.err().contains("Using incubator modules"), outcome.err());
  }

  @Test
  void debuggingShowsWhatJavaSays() throws Exception {
    Outcome outcome = run(Map.of("FBNET_DEBUG", "1", "GOMP_SPINCOUNT", "9"), List.of());
    assertEquals("vector true", outcome.out().get(1));
    assertEquals("omp null", outcome.out().get(2), "the user has chosen another way to wait");
    assertTrue(outcome.err().contains("Using incubator modules"), outcome.err());
  }

  @Test
  void aSecondStartThatFailsEndsInOneWarning() throws Exception {
    // Where Java's own folder is not what it says, there is nothing to start.
    Outcome outcome =
        run(Map.of("FBNET_DEBUG", "1"), List.of("-Djava.home=" + folder.resolve("nowhere")));
    assertEquals(7, outcome.code());
    assertEquals("vector false", outcome.out().get(1));
    assertEquals(1, outcome.err().lines().filter(l -> l.contains("warning:")).count());
    assertTrue(outcome.err().contains("--add-modules=jdk.incubator.vector"), outcome.err());
  }

  @Test
  void aSignalReachesTheNewProcess() throws Exception {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                Probe.class.getName())
            .redirectErrorStream(true)
            .start();
    // It waits for its input once it runs; the line about its id comes before.
    var reader = process.inputReader(StandardCharsets.UTF_8);
    assertEquals("pid " + process.pid(), reader.readLine());
    // Not process.destroy(), which closes the input too and lets the probe end by itself.
    process.toHandle().destroy();
    assertTrue(process.waitFor(30, TimeUnit.SECONDS), "SIGTERM was lost");
    assertEquals(143, process.exitValue());
  }
}
