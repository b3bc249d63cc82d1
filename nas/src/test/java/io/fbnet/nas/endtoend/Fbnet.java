package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.cli.InProcess;
import io.fbnet.nas.search.TinySearch;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Runs the packaged program as a user would: {@code java -jar fbnet-engine.jar}. */
final class Fbnet {
  private static final long LONGEST_SECONDS = 500;

  private final Path folder;
  private final Map<String, String> environment = new LinkedHashMap<>();
  private List<String> prefix = List.of();
  private int runs;

  /** What became of a process. */
  record Outcome(int code, String out, String err) {
    List<String> outLines() {
      return out.lines().toList();
    }
  }

  /** Programs whose caches and outputs lie in a folder of the test's. */
  Fbnet(Path folder) {
    this.folder = folder;
  }

  /** Sets a variable for the programs run from now on. */
  void environment(String name, String value) {
    environment.put(name, value);
  }

  /**
   * Lets the programs run from now on hear SIGINT, which a child of a process that ignores it would
   * not: as a build in the background does.
   */
  void hearInterrupts() {
    prefix = List.of("env", "--default-signal=INT");
  }

  /** Has a launcher start so many processes for each program run from now on. */
  void under(String launcher, int processes) {
    under(launcher, processes, 1);
  }

  /**
   * The same where they are given time to save: Open MPI waits so many seconds before it tells
   * others to end, and again before it kills them; by itself one.
   */
  void under(String launcher, int processes, int seconds) {
    prefix = new ArrayList<>(List.of("env", "--default-signal=INT", launcher));
    if (launcher.endsWith("openmpi")) {
      prefix.addAll(List.of("--allow-run-as-root", "--oversubscribe"));
      prefix.addAll(List.of("--mca", "odls_base_sigkill_timeout", Integer.toString(seconds)));
    }
    // Open MPI's mpirun takes what follows a flag that holds "cp" for Java's class path, if it sees
    // that it starts Java, and cpu is such.
    prefix.addAll(List.of("-n", Integer.toString(processes), "env"));
  }

  /** Sets a variable for one of the processes that a launcher starts from now on. */
  void environmentOf(int rank, String name, String value) {
    prefix.addAll(
        List.of(
            "sh",
            "-c",
            String.format(
                Locale.ROOT,
                "[ ${OMPI_COMM_WORLD_RANK:-$PMI_RANK} = %d ] && export %s=%s; exec \"$@\"",
                rank,
                name,
                value),
            "sh"));
  }

  /** Has every program run from now on be one process. */
  void alone() {
    prefix = List.of();
  }

  /** Where the programs run from now on look for CUDA first. */
  void cudaPath(Path path) {
    environment("FBNET_CUDA_PATH", path.toString());
  }

  /** The packaged jar. */
  static Path jar() {
    Path jar = Path.of("target", "fbnet-engine.jar").toAbsolutePath();
    assertTrue(Files.isRegularFile(jar), jar + " is made by mvn package");
    return jar;
  }

  /** The small space of these tests, copied to a file. */
  Path tinySpace() throws IOException {
    Path file = folder.resolve("tiny.yaml");
    try (InputStream in = Fbnet.class.getResourceAsStream("tiny.yaml")) {
      Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
    }
    return file;
  }

  /** A table of that space, copied to a file. */
  Path tinyTable() throws IOException {
    Path table = folder.resolve("table.json");
    TinySearch.table(SearchSpace.load(tinySpace().toString())).write(table);
    return table;
  }

  Process start(Path out, Path err, String... arguments) throws IOException {
    List<String> command = new ArrayList<>(prefix);
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("-Xmx1g");
    command.add("-jar");
    command.add(jar().toString());
    command.addAll(List.of(arguments));
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .directory(folder.toFile())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    // Latency tables and decoded images of a test are its own; what was fetched or unpacked is
    // everybody's.
    Path cache = Files.createDirectories(folder.resolve("cache").resolve("fbnet-engine"));
    share(cache, "native");
    share(cache, "fashion-mnist");
    builder.environment().put("XDG_CACHE_HOME", cache.getParent().toString());
    builder.environment().putAll(environment);
    return builder.start();
  }

  private static void share(Path cache, String name) throws IOException {
    String base = System.getenv("XDG_CACHE_HOME");
    Path users =
        (base == null ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(base))
            .resolve("fbnet-engine")
            .resolve(name);
    Path link = cache.resolve(name);
    if (Files.isDirectory(users) && !Files.exists(link)) {
      Files.createSymbolicLink(link, users);
    }
  }

  Outcome run(String... arguments) throws IOException, InterruptedException {
    Path out = folder.resolve("out" + runs);
    Path err = folder.resolve("err" + runs++);
    Process process = start(out, err, arguments);
    boolean ended = process.waitFor(LONGEST_SECONDS, TimeUnit.SECONDS);
    if (!ended) {
      process.destroyForcibly();
    }
    assertTrue(ended, "hangs: " + List.of(arguments));
    return new Outcome(process.exitValue(), Files.readString(out), Files.readString(err));
  }

  /**
   * As {@link #run}, but within the tests' own Java, which has the loops compiled already; its
   * classes are those of the packaged jar, see the POM. Not for what depends on variables, on the
   * folder that a process begins in, on the user's cache, or on how a process ends.
   */
  Outcome here(String... arguments) {
    assertEquals(Map.of(), environment, "variables are for processes");
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = InProcess.run(arguments, new PrintWriter(out), new PrintWriter(err));
    return new Outcome(code, out.toString(), err.toString());
  }

  /** Flags of a search that takes seconds. */
  static String[] tinySearch(Path space, Path table, Path out, String... more) {
    return Stream.concat(
            Stream.of(
                "search",
                "--space",
                space.toString(),
                "--lut",
                table.toString(),
                "--data",
                "shapes",
                "--train-images",
                "480",
                "--epochs",
                "3",
                "--warmup-epochs",
                "1",
                "--batch",
                "16",
                "--theta-rate",
                "0.05",
                "--samples",
                "2",
                "--threads",
                "2",
                "--out",
                out.toString()),
            Stream.of(more))
        .toArray(String[]::new);
  }
}
