package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.run.MetricsLog;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Processes that a launcher started share out children and searches, each of which one does. */
@Tag("full")
@EnabledOnOs(OS.LINUX)
class MpirunJobsIT {
  private static final String OPEN_MPI = "mpirun.openmpi";
  private static final String MPICH = "mpirun.mpich";

  @TempDir private Path folder;
  private Fbnet fbnet;
  private Path run;
  private Path searched;

  @BeforeEach
  void prepare() {
    fbnet = new Fbnet(folder);
    run = folder.resolve("run");
    searched = folder.resolve("searched");
  }

  /** A finished search, of which every sampling begins with a copy under the same name. */
  private void begin() throws Exception {
    String[] search = Fbnet.tinySearch(fbnet.tinySpace(), fbnet.tinyTable(), run);
    search[List.of(search).indexOf("--threads") + 1] = "1";
    Fbnet.Outcome outcome = fbnet.here(search);
    assertEquals(0, outcome.code(), outcome.err());
    Files.move(run, searched);
    copy();
  }

  private void copy() throws IOException {
    try (Stream<Path> paths = Files.walk(searched)) {
      for (Path path : paths.toList()) {
        Files.copy(path, run.resolve(searched.relativize(path).toString()));
      }
    }
  }

  private String[] sample(int epochs) {
    return new String[] {"sample", run.toString(), "--train=3", "--epochs=" + epochs, "--batch=16"};
  }

  /** All files of a folder but locks, by name. */
  private static Map<String, byte[]> files(Path root) throws IOException {
    Map<String, byte[]> files = new TreeMap<>();
    try (Stream<Path> paths = Files.walk(root)) {
      for (Path path : paths.filter(Files::isRegularFile).toList()) {
        if (!path.endsWith(".lock")) {
          files.put(root.relativize(path).toString(), Files.readAllBytes(path));
        }
      }
    }
    return files;
  }

  private static void assertSame(Map<String, byte[]> expected, Map<String, byte[]> found) {
    assertEquals(expected.keySet(), found.keySet());
    expected.forEach((name, bytes) -> assertArrayEquals(bytes, found.get(name), name));
  }

  @ParameterizedTest
  @ValueSource(strings = {OPEN_MPI, MPICH})
  void childrenOfTwoProcessesAreThoseOfOne(String launcher) throws Exception {
    MpirunIT.requireThere(launcher);
    begin();
    Fbnet.Outcome one = fbnet.run(sample(2));
    assertEquals(0, one.code(), one.err());
    Map<String, byte[]> expected = files(run);
    Files.move(run, folder.resolve("one"));
    copy();
    fbnet.under(launcher, 2);
    Fbnet.Outcome two = fbnet.run(sample(2));
    assertEquals(0, two.code(), two.err());
    assertSame(expected, files(run));
    assertEquals(one.out(), two.out());
    assertTrue(two.err().contains("fbnet: rank 0: waiting for the jobs of the other"), two.err());
    assertFalse(two.err().contains("children/02, seed"), "rank 0 did what was dealt to rank 1");
    assertFalse(two.err().contains("rank 1: "), two.err());
  }

  /** Told to stop, all save; killed, none waits: what is finished stays, what is not goes on. */
  @ParameterizedTest
  @ValueSource(strings = {OPEN_MPI + " INT", OPEN_MPI + " KILL", MPICH + " KILL"})
  void brokenOffChildrenAreFinishedByOthers(String launcherAndSignal) throws Exception {
    String launcher = launcherAndSignal.substring(0, launcherAndSignal.indexOf(' '));
    String signal = launcherAndSignal.substring(launcherAndSignal.indexOf(' ') + 1);
    MpirunIT.requireThere(launcher);
    begin();
    // Open MPI tells its processes two seconds later.
    int epochs = signal.equals("INT") ? 80 : 20;
    assertEquals(0, fbnet.run(sample(epochs)).code());
    Map<String, byte[]> expected = files(run);
    Files.move(run, folder.resolve("one"));
    copy();
    fbnet.under(launcher, 2, 2);
    Path err = folder.resolve("err");
    Process mpirun = fbnet.start(folder.resolve("out"), err, sample(epochs));
    Path second = run.resolve("children").resolve("02").resolve("metrics.jsonl");
    while (mpirun.isAlive() && (!Files.exists(second) || MetricsLog.read(second).size() < 30)) {
      Thread.sleep(20);
    }
    assertTrue(mpirun.isAlive(), Files.readString(err));
    List<ProcessHandle> ranks = MpirunIT.ranks(mpirun);
    long pid = signal.equals("INT") ? mpirun.pid() : ranks.getLast().pid();
    assertEquals(0, new ProcessBuilder("kill", "-" + signal, Long.toString(pid)).start().waitFor());
    assertTrue(mpirun.waitFor(60, TimeUnit.SECONDS), "hangs: " + Files.readString(err));
    for (ProcessHandle rank : ranks) {
      rank.onExit().get(10, TimeUnit.SECONDS);
    }
    String said = Files.readString(err);
    assertFalse(said.contains("\tat "), said);
    assertFalse(Files.exists(run.resolve("children.json")), "it was through before it was told");
    if (signal.equals("INT")) {
      assertTrue(said.contains("rank 1: stopped and saved after step"), said);
      assertTrue(said.contains("continue with: the same 'fbnet sample"), said);
    }
    fbnet.under(launcher, 3);
    Fbnet.Outcome again = fbnet.run(sample(epochs));
    assertEquals(0, again.code(), again.err());
    assertResults(expected, files(run));
  }

  /** Where a run was broken off, other checkpoints are kept than elsewhere. */
  private static void assertResults(Map<String, byte[]> expected, Map<String, byte[]> found) {
    expected.keySet().removeIf(name -> name.contains("checkpoints"));
    found.keySet().removeIf(name -> name.contains("checkpoints"));
    assertSame(expected, found);
  }

  private String[] compare(Path out) throws IOException {
    Path recipe = Files.writeString(folder.resolve("recipe.yaml"), "epochs: 2\nbatch: 16\n");
    return new String[] {
      "compare-strategies",
      "--strategies=random,fbnet,gdas",
      "--seeds=1,2",
      "--space=" + fbnet.tinySpace(),
      "--lut=" + fbnet.tinyTable(),
      "--data=shapes",
      "--train-images=240",
      "--batch=16",
      "--threads=1",
      "--evaluations=3",
      "--cost=500M",
      "--train=2",
      "--recipe=" + recipe,
      "--out=" + out
    };
  }

  /** What is equal in any two comparisons by the same flags. */
  private static JsonNode results(Path out) throws IOException {
    JsonNode tree = new ObjectMapper().readTree(Files.readString(out.resolve("results.json")));
    for (String list : List.of("runs", "strategies")) {
      tree.path(list).forEach(item -> ((ObjectNode) item).remove("seconds"));
    }
    return tree;
  }

  /** A comparison's files but for those that hold times. */
  private static Map<String, byte[]> timeless(Path out) throws IOException {
    Map<String, byte[]> files = files(out);
    files
        .keySet()
        .removeIf(
            name ->
                Stream.of("results.json", "report.html", "cost.jsonl").anyMatch(name::endsWith)
                    || name.contains("events.out"));
    return files;
  }

  @ParameterizedTest
  @ValueSource(strings = {OPEN_MPI, MPICH})
  void aComparisonOfTwoProcessesIsThatOfOneEvenIfBroken(String launcher) throws Exception {
    MpirunIT.requireThere(launcher);
    Path out = folder.resolve("comparison");
    Fbnet.Outcome one = fbnet.run(compare(out));
    assertEquals(0, one.code(), one.err());
    JsonNode expected = results(out);
    assertEquals(6, expected.path("runs").size());
    Map<String, byte[]> files = timeless(out);
    Files.move(out, folder.resolve("one"));

    fbnet.under(launcher, 2);
    Fbnet.Outcome two = fbnet.run(compare(out));
    assertEquals(0, two.code(), two.err());
    assertEquals(expected, results(out));
    assertSame(files, timeless(out));
    assertEquals(1, two.outLines().stream().filter(l -> l.contains("report in")).count());
    Files.move(out, folder.resolve("two"));

    fbnet.under(launcher, 2, 5);
    Path err = folder.resolve("err");
    Process mpirun = fbnet.start(folder.resolve("out"), err, compare(out));
    while (mpirun.isAlive() && !Files.readString(err).contains("search 3 of 6")) {
      Thread.sleep(20);
    }
    assertTrue(mpirun.isAlive(), Files.readString(err));
    assertEquals(
        0, new ProcessBuilder("kill", "-INT", Long.toString(mpirun.pid())).start().waitFor());
    assertTrue(mpirun.waitFor(60, TimeUnit.SECONDS), "hangs: " + Files.readString(err));
    assertFalse(Files.readString(err).contains("\tat "), Files.readString(err));
    fbnet.alone();
    Fbnet.Outcome rest = fbnet.run("compare-strategies", "--resume=" + out);
    assertEquals(0, rest.code(), rest.err());
    assertEquals(expected, results(out));
    assertResults(files, timeless(out));
  }

  /** A rank that fails says why; nobody waits for what it will never bring. */
  @Test
  void aChildThatDivergesEndsAll() throws Exception {
    MpirunIT.requireThere(OPEN_MPI);
    begin();
    fbnet.under(OPEN_MPI, 2);
    List<String> flags = new ArrayList<>(List.of(sample(20)));
    flags.add("--rate=1e30");
    Fbnet.Outcome outcome = fbnet.run(flags.toArray(String[]::new));
    assertEquals(6, outcome.code(), outcome.err());
    assertTrue(outcome.err().contains(": The step after step "), outcome.err());
    assertFalse(outcome.err().contains("\tat "), outcome.err());
  }

  /** What one process does by itself is refused, and so that n processes write one file. */
  @Test
  void otherVerbsAreRefusedOrReadOnly() throws Exception {
    fbnet.environment("OMPI_COMM_WORLD_SIZE", "2");
    String[][] refused = {
      {"sample", "run"},
      {"sample", "run", "--evolve=4"},
      {"import", "x.safetensors", "--out=y"},
      {"export", "x.safetensors", "--out=y.onnx"},
      {"report", "run"},
      {"evaluate", "run"},
      {"compare-devices", "a", "b"},
      {"latency", "measure"},
      {"data", "check", "photos"}
    };
    for (String[] verb : refused) {
      Fbnet.Outcome outcome = fbnet.run(verb);
      assertEquals(2, outcome.code(), String.join(" ", verb) + ": " + outcome.err());
      assertEquals(
          1,
          outcome.err().lines().filter(l -> l.contains("is the work of one process")).count(),
          outcome.err());
    }
    String[][] done = {
      {"doctor"},
      {"describe", "fbnet-a"},
      {"latency", "list"},
      {"import", "--help"},
      {"evaluate", "-h"},
      {"sample", "--help"},
      {"--version"},
      {"--help"}
    };
    for (String[] verb : done) {
      Fbnet.Outcome outcome = fbnet.run(verb);
      assertEquals(0, outcome.code(), String.join(" ", verb) + ": " + outcome.err());
      assertNotEquals("", outcome.out());
    }
  }
}
