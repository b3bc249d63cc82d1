package io.fbnet.nas.cli;

import io.fbnet.nas.cli.FaultyFiles.Event;
import io.fbnet.nas.cli.FaultyFiles.Fault;
import io.fbnet.nas.cli.FaultyFiles.Operation;
import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.run.Checkpoints;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Runs of which one operation on files fails, and what becomes of them when they are resumed. A
 * process of its own, whose files are {@link FaultyFiles}; caches lie in XDG_CACHE_HOME.
 */
final class FaultSweep {
  private static final int FIRST = 50;

  private final FaultyFiles files = FaultyFiles.ofProcess();
  private final Path folder;
  private final Path run;
  private final Path decoded;
  private final boolean full;
  private int points;
  private int wrong;

  /**
   * Something that a user runs.
   *
   * @param made what stands in the run's folder before it begins, null for nothing
   * @param again what the user runs after a failure where there is a run to go on with
   */
  @SuppressWarnings("ArrayRecordComponent")
  private record Work(String name, Path made, String[] begin, String[] again) {}

  private FaultSweep(Path folder, boolean full) {
    this.folder = folder;
    this.full = full;
    run = folder.resolve("run");
    decoded = Path.of(System.getenv("XDG_CACHE_HOME")).resolve("fbnet-engine").resolve("decoded");
  }

  /**
   * Arguments: an empty folder, and {@code short} or {@code full}; or {@code start} and the number
   * of an operation, for the one start of a process that unpacks native libraries.
   */
  public static void main(String[] arguments) throws IOException {
    if (arguments[1].equals("start")) {
      start(new SmallRuns(Path.of(arguments[0])), Integer.parseInt(arguments[2]));
      System.exit(0);
    }
    FaultSweep sweep = new FaultSweep(Path.of(arguments[0]), arguments[1].equals("full"));
    sweep.all();
    System.out.println(sweep.points + " faults, " + sweep.wrong + " ended wrongly");
    System.exit(sweep.wrong == 0 ? 0 : 1);
  }

  /** The first run of a process, which makes no file but those of native libraries. */
  private static void start(SmallRuns runs, int nth) {
    FaultyFiles files = FaultyFiles.ofProcess();
    files.arm(false, nth, nth % 2 == 0 ? Fault.NO_SPACE : Fault.BROKEN);
    Outcome outcome = runs.search("--train-images=20", "--dry-run");
    List<Event> events = files.disarm();
    System.out.println(outcome.err());
    System.out.println(
        (nth > events.size() ? "nothing" : events.get(nth - 1))
            + " failed of "
            + events.size()
            + " operations, exit code "
            + outcome.code());
  }

  private void all() throws IOException {
    SmallRuns runs = new SmallRuns(folder);
    String data = "--data=" + runs.data;
    String[] search = runs.searchFlags("--train-images=20", "--out=" + run);
    Work searching =
        new Work("search", null, search, new String[] {"search", "--resume", run.toString()});
    sweep(searching);
    sweepReads(searching);
    Path finished = folder.resolve("finished");
    prepare(searching);
    SmallRuns.run(search).succeeded();
    copy(run, finished);
    Work training =
        new Work(
            "train",
            null,
            new String[] {
              "train",
              finished.resolve("architecture.json").toString(),
              data,
              "--lut=" + runs.table,
              "--epochs=2",
              "--batch=4",
              "--ema=0.9",
              "--hold-out=0.2",
              "--device=cpu",
              "--threads=1",
              "--out=" + run
            },
            new String[] {"train", "--resume", run.toString()});
    sweep(training);
    sweepReads(training);
    Path trained = folder.resolve("trained");
    prepare(training);
    SmallRuns.run(training.begin).succeeded();
    copy(run, trained);
    String[] sample = {"sample", run.toString(), "--train=2", "--epochs=1", "--batch=4"};
    sweep(new Work("sample --train", finished, sample, sample));
    images(folder.resolve("images"));
    String[] evaluate = {
      "evaluate",
      run.toString(),
      "--data=" + folder.resolve("images"),
      "--device=cpu",
      "--threads=1",
      "--no-latency"
    };
    sweep(new Work("evaluate", trained, evaluate, evaluate));
  }

  /**
   * Small pictures of two classes, one of them brighter; PPM, since ImageIO has files of its own.
   */
  private static void images(Path folder) throws IOException {
    Random random = new Random(1);
    for (String split : List.of("train", "test")) {
      for (int label = 0; label < 2; label++) {
        Path place =
            Files.createDirectories(folder.resolve(split).resolve(Integer.toString(label)));
        for (int i = 0; i < (split.equals("train") ? 12 : 3); i++) {
          byte[] head = "P6 16 16 255\n".getBytes(StandardCharsets.US_ASCII);
          byte[] file = java.util.Arrays.copyOf(head, head.length + 768);
          for (int p = head.length; p < file.length; p++) {
            file[p] = (byte) (random.nextInt(128) + 100 * label);
          }
          Files.write(place.resolve(i + ".ppm"), file);
        }
      }
    }
  }

  private void sweep(Work work) throws IOException {
    // The first run of a process also unpacks native libraries.
    prepare(work);
    SmallRuns.run(work.begin).succeeded();
    prepare(work);
    files.arm(false, 0, Fault.BROKEN);
    SmallRuns.run(work.begin).succeeded();
    List<Event> events = files.disarm();
    Map<String, String> unbroken = SmallRuns.results(run);
    Map<String, Integer> ends = new TreeMap<>();
    int before = points;
    int number = 0;
    for (int nth = 1; nth <= events.size(); nth = next(nth)) {
      boolean write = events.get(nth - 1).operation() == Operation.WRITE;
      List<Fault> faults =
          Stream.of(Fault.values()).filter(f -> write || !f.isOfWritesAlone()).toList();
      // Every point fails; in the short form the faults take turns.
      for (Fault fault : full ? faults : List.of(faults.get(number++ % faults.size()))) {
        points++;
        Optional<String> complaint = strike(work, nth, fault, unbroken, ends);
        if (complaint.isPresent()) {
          wrong++;
          System.out.println(
              work.name + ", operation " + nth + " " + fault + ": " + complaint.get());
        }
      }
    }
    System.out.println(
        work.name
            + ": "
            + (points - before)
            + " faults in "
            + events.size()
            + " operations: "
            + ends);
  }

  /** All of the first and then ever fewer; in the short form fewer from the beginning. */
  private int next(int nth) {
    int past = full ? Math.max(0, nth - FIRST) : nth;
    return nth + Math.max(1, past / (full ? 8 : 3));
  }

  private void prepare(Work work) throws IOException {
    clear(run);
    clear(decoded);
    if (work.made != null) {
      copy(work.made, run);
    }
  }

  /** What is wrong, if anything. */
  private Optional<String> strike(
      Work work, int nth, Fault fault, Map<String, String> unbroken, Map<String, Integer> ends)
      throws IOException {
    prepare(work);
    files.arm(false, nth, fault);
    Outcome outcome = SmallRuns.run(work.begin);
    List<Event> events = files.disarm();
    if (events.size() < nth) {
      return Optional.of("there were only " + events.size() + " operations");
    }
    Event victim = events.get(nth - 1);
    String what = victim.operation() + " " + kind(victim.path());
    ends.merge((outcome.code() == 0 ? "went on " : "ended ") + what, 1, Integer::sum);
    String said = victim + ", exit code " + outcome.code() + ", said:\n" + outcome.err();
    if (outcome.err().contains("\tat ") || outcome.err().contains("internal error")) {
      return Optional.of("a trace: " + said);
    }
    if (outcome.code() != 0) {
      List<String> lines = outcome.err().lines().toList();
      String last = lines.getLast();
      if (outcome.code() != 5) {
        return Optional.of("not a storage error: " + said);
      }
      boolean names = last.contains(folder + "/") || last.contains(decoded.getParent().toString());
      if (!last.startsWith("fbnet: ") || !names || !last.matches(".*[:;] free .*")) {
        return Optional.of("no sentence that names file and remedy: " + said);
      }
      if (lines.stream().filter(line -> line.contains(fault.message)).count() != 1) {
        return Optional.of("not one sentence: " + said);
      }
      Optional<String> lost = lostCheckpoint(events, nth);
      if (lost.isPresent()) {
        return Optional.of(lost.get() + ": " + said);
      }
      boolean resumable = work.made != null || Files.exists(run.resolve("config.yaml"));
      Outcome again = SmallRuns.run(resumable ? work.again : work.begin);
      if (again.code() != 0) {
        return Optional.of("cannot be resumed: " + again.err() + "after " + said);
      }
    } else if (fault != Fault.SHORT && !mayGoOn(victim)) {
      return Optional.of("was not noticed: " + said);
    }
    Map<String, String> now = SmallRuns.results(run);
    return now.equals(unbroken)
        ? Optional.empty()
        : Optional.of("other bits: " + differing(unbroken, now) + " after " + said);
  }

  /** A run that stopped in the middle is resumed, and a file of it cannot be read once. */
  private void sweepReads(Work work) throws IOException {
    prepare(work);
    files.arm(false, 0, Fault.BROKEN);
    SmallRuns.run(work.begin).succeeded();
    int operations = files.disarm().size();
    Map<String, String> unbroken = SmallRuns.results(run);
    prepare(work);
    files.arm(false, operations * 2 / 3, Fault.BROKEN);
    SmallRuns.run(work.begin);
    files.disarm();
    Path stopped = folder.resolve("stopped");
    clear(stopped);
    copy(run, stopped);
    Work resumed = new Work(work.name + " --resume, reads", stopped, work.again, work.again);
    Map<String, Integer> ends = new TreeMap<>();
    int before = points;
    boolean reached = true;
    for (int nth = 1; reached; nth = next(nth)) {
      prepare(resumed);
      files.arm(true, nth, Fault.BROKEN);
      Outcome outcome = SmallRuns.run(resumed.begin);
      List<Event> events = files.disarm();
      reached = events.size() >= nth;
      if (reached) {
        points++;
        Event victim = events.get(nth - 1);
        String what = victim.operation() + " " + kind(victim.path());
        ends.merge((outcome.code() == 0 ? "went on " : "ended ") + what, 1, Integer::sum);
        Optional<String> complaint = afterRead(resumed, outcome, unbroken);
        if (complaint.isPresent()) {
          wrong++;
          System.out.println(
              resumed.name + ", operation " + nth + " " + victim + ": " + complaint.get());
        }
      }
    }
    System.out.println(resumed.name + ": " + (points - before) + " faults: " + ends);
  }

  private Optional<String> afterRead(Work work, Outcome outcome, Map<String, String> unbroken)
      throws IOException {
    String said = "exit code " + outcome.code() + ", said:\n" + outcome.err();
    if (outcome.code() != 0) {
      String last = outcome.err().lines().toList().getLast();
      boolean documented = outcome.code() == 3 || outcome.code() == 5;
      if (!documented || !last.contains(Fault.BROKEN.message) || !last.contains(folder + "/")) {
        return Optional.of("no sentence that names the file: " + said);
      }
      Outcome again = SmallRuns.run(work.again);
      if (again.code() != 0) {
        return Optional.of("cannot be resumed: " + again.err() + "after " + said);
      }
    }
    Map<String, String> now = SmallRuns.results(run);
    return now.equals(unbroken)
        ? Optional.empty()
        : Optional.of("other bits: " + differing(unbroken, now) + " after " + said);
  }

  /** What a run can do without, and says so or need not. */
  private boolean mayGoOn(Event victim) {
    // Java tries a second time to make a folder, for whatever reason the first failed.
    return victim.operation() == Operation.MAKE_FOLDER
        || victim.path().startsWith(decoded.getParent().toString())
        || victim.path().endsWith("/.lock");
  }

  /**
   * Whether the newest checkpoint that was finished before the fault is not the newest whole one.
   */
  private Optional<String> lostCheckpoint(List<Event> events, int nth) {
    String finished = null;
    for (Event event : events.subList(0, nth - 1)) {
      if (event.operation() == Operation.MOVE && event.path().endsWith("/manifest.json")) {
        finished = Path.of(event.path()).getParent().toString();
      }
    }
    if (finished == null) {
      return Optional.empty();
    }
    Path checkpoints = Path.of(finished).getParent();
    Optional<Checkpoints.Found> newest = new Checkpoints(checkpoints, 2).newestValid(line -> {});
    return newest.isPresent() && newest.get().folder().toString().equals(finished)
        ? Optional.empty()
        : Optional.of("the checkpoint " + finished + " is lost");
  }

  /** What a path is of, whatever its numbers. */
  private String kind(String path) {
    return path.replace(folder.toString(), "")
        .replaceAll("\\d{6,}|[0-9a-f]{10,}", "N")
        .replaceAll("\\d+-N|-N-\\d+", "N");
  }

  private static String differing(Map<String, String> one, Map<String, String> other) {
    return Stream.concat(one.keySet().stream(), other.keySet().stream())
        .distinct()
        .filter(name -> !java.util.Objects.equals(one.get(name), other.get(name)))
        .toList()
        .toString();
  }

  private static void copy(Path from, Path to) throws IOException {
    try (Stream<Path> walk = Files.walk(from)) {
      for (Path file : walk.toList()) {
        Files.copy(file, to.resolve(from.relativize(file)));
      }
    }
  }

  private static void clear(Path folder) throws IOException {
    if (Files.exists(folder)) {
      try (Stream<Path> walk = Files.walk(folder)) {
        for (Path file : walk.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      }
    }
  }
}
