package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankFailure;
import io.fbnet.engine.ranks.Ranks;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.run.RunFolder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/**
 * The processes that {@code mpirun} or {@code srun} started for one command: they take the same
 * steps together, or share out whole jobs, each of which one of them does by itself. The first of
 * them, rank 0, alone writes what is common.
 */
final class RankFlags {
  @Option(
      names = "--sync-bn",
      description =
          "Under mpirun: batch norms are over the images of all processes, as if one process took"
              + " the whole batch. Otherwise over those of each.")
  boolean syncBn;

  @Option(
      names = "--rank-timeout",
      paramLabel = "SECONDS",
      description =
          "Under mpirun: how long a process waits for the others within a step before it ends.")
  int timeout = 600;

  /** Verbs whose work several processes share. */
  private static final List<String> SHARED =
      List.of("search", "train", "sample --train", "compare-strategies");

  /** Short verbs that read, so that it does no harm to run them several times. */
  static final Set<String> READING =
      Set.of("describe", "doctor", "completion", "latency list", "latency show");

  private static final Set<ExitCode> STOPS = Set.of(ExitCode.INTERRUPTED, ExitCode.TERMINATED);
  private static final Set<ExitCode> COMMON_ENDS =
      Set.of(ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.DIVERGED);

  /** Who is told to end does so soon, even if the others are gone already. */
  private static final Duration AFTER_SIGNAL = Duration.ofSeconds(8);

  private static final Duration FOR_EVER = Duration.ofDays(1000);

  private Communicator all = Communicator.alone();
  private Console console;
  private StopSignals signals;
  private boolean leaving;

  /** Whether jobs are shared out, not steps. */
  private boolean jobs;

  /** Whether this one is at jobs of its own, of whose end the others know nothing yet. */
  private boolean apart;

  /** When it came back from them, and when it was told to end; 0 before. */
  private long back;

  private long told;

  /** Those of a command line, before its processes have met. */
  RankFlags() {}

  /** Those of processes that have met and share out jobs. */
  RankFlags(Communicator met, Console console) {
    all = met;
    jobs = true;
    this.console = console;
  }

  /** Meets the others, if there are any. */
  private Communicator meet() {
    Ranges.atLeast("--rank-timeout", timeout, 1);
    all = Ranks.ofThisProcess(this::patience, note -> console.warn(note));
    if (all.size() > 1) {
      Main.speakAs("rank " + all.rank());
    }
    return all;
  }

  /** How long to wait for the others at this moment. */
  private Duration patience() {
    if (signals == null || leaving) {
      // Before the first step rank 0 may decode images or measure a table, after the last it may
      // write; who is gone the launcher knows.
      return FOR_EVER;
    }
    if (!jobs) {
      return signals.received() != null ? AFTER_SIGNAL : Duration.ofSeconds(timeout);
    }
    if (signals.received() == null) {
      // Another's job may take days.
      return FOR_EVER;
    }
    told = told == 0 ? System.nanoTime() : told;
    return AFTER_SIGNAL.plusNanos(Math.max(0, told - back));
  }

  /**
   * Does a command's work with the others, who leave together where it comes to its end, or to one
   * that all of them come to: a stop, or a loss that is no number.
   */
  int together(CommandSpec spec, ToIntFunction<Console> work) {
    return with(spec, work);
  }

  /**
   * Does a command's work with the others, by jobs that are {@linkplain #deal dealt} to them: each
   * computes by itself, on its own device of the machine or its part of the processors.
   */
  int byJobs(CommandSpec spec, ToIntFunction<Console> work) {
    jobs = true;
    return with(spec, work);
  }

  private int with(CommandSpec spec, ToIntFunction<Console> work) {
    try (Communicator met = meet()) {
      try {
        console = console(spec);
        int code = work.applyAsInt(console);
        met.finish();
        return code;
      } catch (UserException e) {
        if (!apart && COMMON_ENDS.contains(e.exitCode())) {
          // Whoever leaves now with a code has the launcher end the others, so all wait for what
          // rank 0 has to write. MPI's own end would wait for a launcher that is ending too.
          leaving = true;
          met.barrier();
        }
        throw e;
      }
    }
  }

  /** Takes signals from now on; one that comes shortens the time to wait for the others. */
  StopSignals signals(Console console) {
    signals = StopSignals.take(console);
    return signals;
  }

  /**
   * The processes that share this one's steps, once they have met; this one by itself before that,
   * and where they share out jobs.
   */
  Communicator ranks() {
    return jobs ? all.byItself() : all;
  }

  /** Makes this a part of a command whose processes have met and share out jobs. */
  void among(RankFlags met) {
    all = met.all;
    jobs = true;
  }

  /** Whether this process is the one that writes what is common. */
  boolean leads() {
    return all.rank() == 0;
  }

  /** Where this process writes: rank 0 as ever; what the others would say it says as well. */
  private Console console(CommandSpec spec) {
    return leads() ? new Console(spec) : new Console(spec, Console.Says.NOTHING);
  }

  /** The same for a job of its own: warnings of that are said by whoever does it. */
  Console jobConsole(CommandSpec spec) {
    return leads() ? new Console(spec) : new Console(spec, Console.Says.WARNINGS);
  }

  /** Progress, which rank 0 alone shows. */
  ProgressLine progress(CommandSpec spec) {
    return leads() ? new ProgressLine(spec.commandLine().getErr()) : ProgressLine.silent();
  }

  /**
   * Has rank 0 do something, then all others, such as reading images that are decoded once. Where
   * it fails on one of them all of them end.
   */
  <T> T inTurn(Supplier<T> work) {
    if (ranks().size() == 1) {
      return work.get();
    }
    T result = leads() ? told(work) : told(() -> null);
    T later = leads() ? told(() -> null) : told(work);
    return leads() ? result : later;
  }

  /** What rank 0 makes of something, as a text that all others are told. */
  String ofFirst(Supplier<String> work) {
    String text = told(() -> leads() ? work.get() : "");
    return all.size() == 1
        ? text
        : new String(
            all.gather(text.getBytes(StandardCharsets.UTF_8)).getFirst(), StandardCharsets.UTF_8);
  }

  /** The folder of a run, which rank 0 makes or opens, and holds. */
  RunFolder folder(Supplier<RunFolder> open) {
    RunFolder[] held = new RunFolder[1];
    Path root =
        Path.of(
            ofFirst(
                () -> {
                  held[0] = open.get();
                  Path named = held[0].root();
                  // What is written in jobs names it as one process would.
                  return (jobs ? named : named.toAbsolutePath().normalize()).toString();
                }));
    return held[0] != null ? held[0] : RunFolder.beside(root);
  }

  /** Has rank 0 do something that all others wait for. */
  void first(Runnable work) {
    var _ =
        told(
            () -> {
              if (leads()) {
                work.run();
              }
              return true;
            });
  }

  /** Does something on every rank, and has all of them end where one fails. */
  private <T> T told(Supplier<T> work) {
    if (all.size() == 1) {
      return work.get();
    }
    T result = null;
    RuntimeException failure = null;
    try {
      result = work.get();
    } catch (RuntimeException e) {
      failure = e;
    }
    String sentence = failure == null ? "" : String.valueOf(failure.getMessage());
    if (failure instanceof RankFailure) {
      throw failure;
    }
    List<byte[]> said = all.gather(sentence.getBytes(StandardCharsets.UTF_8));
    if (failure != null) {
      throw failure;
    }
    for (int r = 0; r < said.size(); r++) {
      if (said.get(r).length > 0) {
        throw new UserException(
            ExitCode.RANKS,
            String.format(
                Locale.ROOT,
                "rank %d could not begin: %s",
                r,
                new String(said.get(r), StandardCharsets.UTF_8)));
      }
    }
    return result;
  }

  /**
   * Deals jobs to the processes in turn, of those that rank 0 finds to be left, and meets the
   * others once all are done. One process by itself is dealt none: it does jobs in its own course.
   *
   * @param left their numbers
   * @param own does those of this process
   */
  void deal(Supplier<IntStream> left, Continuation continuation, Consumer<IntStream> own) {
    if (all.size() == 1) {
      return;
    }
    String numbers =
        ofFirst(() -> left.get().mapToObj(Integer::toString).collect(Collectors.joining(" ")));
    int[] dealt =
        Stream.of(numbers.split(" "))
            .filter(number -> !number.isEmpty())
            .mapToInt(Integer::parseInt)
            .toArray();
    apart(
        continuation,
        () -> {
          own.accept(
              IntStream.range(0, dealt.length)
                  .filter(i -> i % all.size() == all.rank())
                  .map(i -> dealt[i]));
          if (leads()) {
            console.note("waiting for the jobs of the other processes");
          }
        });
  }

  /**
   * Has each process do something by itself, and waits until all have, however long that takes.
   * Where they are told to end, all come here when they have saved, and leave.
   */
  void apart(Continuation continuation, Runnable own) {
    if (all.size() == 1) {
      own.run();
      return;
    }
    Optional<UserException> stop = Optional.empty();
    apart = true;
    try {
      own.run();
    } catch (UserException e) {
      if (!STOPS.contains(e.exitCode())) {
        throw e;
      }
      stop = Optional.of(e);
    }
    back = System.nanoTime();
    boolean stopped = stop.isPresent();
    try {
      for (byte[] other : all.gather(new byte[] {(byte) (stopped ? 1 : 0)})) {
        stopped |= other[0] == 1;
      }
    } catch (RankFailure e) {
      if (signals.received() == null) {
        throw e;
      }
      // This one alone was told, or another needs longer: the launcher ends it.
      throw stop.orElseGet(() -> stopped(continuation));
    }
    apart = false;
    if (stopped) {
      throw stop.orElseGet(() -> stopped(continuation));
    }
  }

  /** A stop between jobs. */
  UserException stopped(Continuation continuation) {
    return new UserException(
        signals.receivedHereOrElsewhere(),
        "stopped between jobs; continue with: " + continuation.command());
  }

  /** Refuses several processes for a work that they would not share, but for its help. */
  static void requireShared(String... arguments) {
    String verb = arguments.length == 0 ? "" : arguments[0];
    String both = arguments.length < 2 ? verb : verb + " " + arguments[1];
    boolean one =
        FbnetCommand.verbs().contains(verb)
            && !READING.contains(verb)
            && !READING.contains(both)
            && SHARED.stream().noneMatch(shared -> (shared + " ").startsWith(verb + " "));
    if (one && !asksForHelp(arguments)) {
      requireOneProcess(verb);
    }
  }

  private static boolean asksForHelp(String... arguments) {
    return Stream.of(arguments).anyMatch(Set.of("-h", "--help", "-V", "--version")::contains);
  }

  /** Refuses several processes for a verb, or for what flags make of it. */
  static void requireOneProcess(String verb) {
    if (Ranks.several()) {
      throw UserException.usage(
          "fbnet %s is the work of one process, but several were started: leave out mpirun or srun,"
              + " which serve %s and %s",
          verb, String.join(", ", SHARED.subList(0, SHARED.size() - 1)), SHARED.getLast());
    }
  }

  /** Refuses what one process does by itself. */
  void requireOne(String what) {
    if (ranks().size() > 1) {
      throw UserException.usage(
          "%s is the work of one process, and %d were started: leave out mpirun or srun",
          what, ranks().size());
    }
  }
}
