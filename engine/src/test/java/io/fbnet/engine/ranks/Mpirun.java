package io.fbnet.engine.ranks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Programs of Java that a launcher of MPI starts, or nobody. */
public final class Mpirun {
  private static final long LIMIT_SECONDS = 120;

  private final Class<?> program;
  private final Path folder;

  /**
   * Starts a program.
   *
   * @param program with a main method
   * @param folder for its output
   */
  public Mpirun(Class<?> program, Path folder) {
    this.program = program;
    this.folder = folder;
  }

  /** The launchers by the names that Debian gives them, so that both can be there. */
  public enum Launcher {
    OPEN_MPI("mpirun.openmpi"),
    MPICH("mpirun.mpich");

    private final String program;

    Launcher(String program) {
      this.program = program;
    }

    private boolean found() {
      for (String folder : System.getenv("PATH").split(File.pathSeparator, -1)) {
        if (Files.isExecutable(Path.of(folder, program))) {
          return true;
        }
      }
      return false;
    }
  }

  /** How a program ended. */
  public record Outcome(int code, String output) {
    /** MPICH's mpirun may end with the code of a rank that it has ended, 9, instead. */
    public void assertCode(int expected, Launcher launcher) {
      if (launcher != Launcher.MPICH || code != 9) {
        assertEquals(expected, code, output);
      }
    }

    /** The first line that begins so. */
    public String line(String begin) {
      return output
          .lines()
          .filter(line -> line.startsWith(begin))
          .findFirst()
          .orElseThrow(() -> new AssertionError(output));
    }
  }

  /** Starts so many ranks; leaves the test out where there is no such launcher. */
  public Outcome run(
      Launcher launcher, int ranks, Map<String, String> environment, String... arguments)
      throws IOException, InterruptedException {
    assumeTrue(
        launcher.found(),
        () -> "no test of ranks by " + launcher + ": " + launcher.program + " is not installed");
    return run(List.of(launcher.program, "-n", "" + ranks), environment, arguments);
  }

  /** Starts a program by a command that stands before it, or by none. */
  public Outcome run(List<String> start, Map<String, String> environment, String... arguments)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(start);
    command.addAll(
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-cp",
            System.getProperty("java.class.path"),
            program.getName()));
    command.addAll(List.of(arguments));
    Path output = folder.resolve("output");
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.redirectOutput(output.toFile());
    builder.environment().put("OMPI_ALLOW_RUN_AS_ROOT", "1");
    builder.environment().put("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // As its flag --oversubscribe.
    builder.environment().put("OMPI_MCA_rmaps_base_oversubscribe", "1");
    builder.environment().putAll(environment);
    Process process = builder.start();
    boolean ended = process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS);
    if (!ended) {
      process.descendants().forEach(ProcessHandle::destroyForcibly);
      process.destroyForcibly().waitFor();
    }
    String text = Files.readString(output);
    assertTrue(ended, "no end within " + LIMIT_SECONDS + " s: " + command + "\n" + text);
    return new Outcome(process.exitValue(), text);
  }
}
