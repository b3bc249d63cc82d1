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
import java.util.Set;
import java.util.function.Supplier;
import java.util.function.ToIntFunction;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/**
 * The processes that {@code mpirun} or {@code srun} started for one command: they take the same
 * steps together, and the first of them, rank 0, alone writes.
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
      defaultValue = "600",
      description =
          "Under mpirun: how long a process waits for the others within a step before it ends.")
  int timeout;

  /** Verbs whose work several processes share. */
  private static final List<String> SHARED = List.of("search", "train");

  private static final Set<ExitCode> COMMON_ENDS =
      Set.of(ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.DIVERGED);

  /**
   * Who is told to end does so soon, even if the others are gone already; but not before one that
   * takes a long step or saves has come.
   */
  private static final Duration AFTER_SIGNAL = Duration.ofSeconds(30);

  /** Decoding images or measuring a table takes as long as it takes. */
  private static final Duration WITHOUT_LIMIT = Duration.ofDays(10_000);

  private Communicator ranks = Communicator.alone();

  /** Whether others wait for what one does by itself. */
  private boolean inTurns;

  private StopSignals signals;

  /** Meets the others, if there are any. */
  private Communicator meet() {
    Ranges.atLeast("--rank-timeout", timeout, 1);
    ranks = Ranks.ofThisProcess(this::patience);
    if (ranks.size() > 1) {
      Main.speakAs("rank " + ranks.rank());
    }
    return ranks;
  }

  private Duration patience() {
    Duration given = inTurns ? WITHOUT_LIMIT : Duration.ofSeconds(timeout);
    boolean told = signals != null && signals.received() != null;
    return told && given.compareTo(AFTER_SIGNAL) > 0 ? AFTER_SIGNAL : given;
  }

  /**
   * Does a command's work with the others, who leave together where it comes to its end, or to one
   * that all of them come to: a stop, or a loss that is no number.
   */
  int together(CommandSpec spec, ToIntFunction<Console> work) {
    try (Communicator met = meet()) {
      try {
        int code = work.applyAsInt(console(spec));
        met.finish();
        return code;
      } catch (UserException e) {
        if (COMMON_ENDS.contains(e.exitCode())) {
          met.finish();
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

  /** The processes, once they have met; this one alone before that. */
  Communicator ranks() {
    return ranks;
  }

  /** Where this process writes: rank 0 as ever, all others their warnings alone. */
  private Console console(CommandSpec spec) {
    return new Console(spec, ranks.rank() > 0);
  }

  /** Progress, which rank 0 alone shows. */
  ProgressLine progress(CommandSpec spec) {
    return ranks.rank() == 0
        ? new ProgressLine(spec.commandLine().getErr())
        : ProgressLine.silent();
  }

  /**
   * Has rank 0 do something, then all others, such as reading images that are decoded once. Where
   * it fails on one of them all of them end.
   */
  <T> T inTurn(Supplier<T> work) {
    if (ranks.size() == 1) {
      return work.get();
    }
    T result = ranks.rank() == 0 ? told(work) : told(() -> null);
    T later = ranks.rank() == 0 ? told(() -> null) : told(work);
    return ranks.rank() == 0 ? result : later;
  }

  /** What rank 0 makes of something, as a text that all others are told. */
  String ofFirst(Supplier<String> work) {
    String text = told(() -> ranks.rank() == 0 ? work.get() : "");
    return ranks.size() == 1
        ? text
        : new String(
            ranks.gather(text.getBytes(StandardCharsets.UTF_8)).getFirst(), StandardCharsets.UTF_8);
  }

  /** The folder of a run, which rank 0 makes or opens, and holds. */
  RunFolder folder(Supplier<RunFolder> open) {
    RunFolder[] held = new RunFolder[1];
    Path root =
        Path.of(
            ofFirst(
                () -> {
                  held[0] = open.get();
                  return held[0].root().toAbsolutePath().normalize().toString();
                }));
    return held[0] != null ? held[0] : RunFolder.beside(root);
  }

  /** Has rank 0 do something that all others wait for. */
  void first(Runnable work) {
    var _ =
        told(
            () -> {
              if (ranks.rank() == 0) {
                work.run();
              }
              return true;
            });
  }

  /** Does something on every rank, and has all of them end where one fails. */
  private <T> T told(Supplier<T> work) {
    if (ranks.size() == 1) {
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
    inTurns = true;
    List<byte[]> all = ranks.gather(sentence.getBytes(StandardCharsets.UTF_8));
    inTurns = false;
    if (failure != null) {
      throw failure;
    }
    for (int r = 0; r < all.size(); r++) {
      if (all.get(r).length > 0) {
        throw new UserException(
            ExitCode.RANKS,
            String.format(
                Locale.ROOT,
                "rank %d could not begin: %s",
                r,
                new String(all.get(r), StandardCharsets.UTF_8)));
      }
    }
    return result;
  }

  /** Refuses several processes for a long work that they would not share. */
  static void requireShared(String... arguments) {
    String verb = arguments.length == 0 ? "" : arguments[0];
    if (Relaunch.LONG_VERBS.contains(verb) && !SHARED.contains(verb) && Ranks.several()) {
      throw UserException.usage(
          "fbnet %s is the work of one process, but several were started: leave out mpirun or srun,"
              + " which serve %s",
          verb, String.join(" and ", SHARED));
    }
  }

  /** Refuses what one process does by itself. */
  void requireOne(String what) {
    if (ranks.size() > 1) {
      throw UserException.usage(
          "%s is the work of one process, and %d were started: leave out mpirun or srun",
          what, ranks.size());
    }
  }
}
