package io.fbnet.nas.cli;

import io.fbnet.nas.run.RunFolder;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** The searches of a comparison: one process does one by one, several share out what is left. */
final class StrategyJobs {
  private final List<StrategyJob> jobs;
  private final StrategyJob.How how;
  private final RankFlags ranks;
  private final Supplier<ProgressLine> progress;
  private final Console console;
  private final Continuation again;
  private final Work work;
  private final Runnable known;

  /** Does a search, and trains its children where there are to be any. */
  @FunctionalInterface
  interface Work {
    void run(StrategyJob job, boolean children, ProgressLine progress);
  }

  /**
   * Searches.
   *
   * @param progress of each
   * @param again by which the user goes on after a stop
   * @param known writes what is known after each
   */
  StrategyJobs(
      List<StrategyJob> jobs,
      StrategyJob.How how,
      Supplier<ProgressLine> progress,
      Console console,
      Continuation again,
      Work work,
      Runnable known) {
    this.jobs = jobs;
    this.how = how;
    ranks = how.ranks();
    this.progress = progress;
    this.console = console;
    this.again = again;
    this.work = work;
    this.known = known;
  }

  /** Does what is left, as long as no other command holds it. */
  void run() {
    ranks.deal(
        () -> IntStream.range(0, jobs.size()).filter(i -> isLeft(jobs.get(i), 0)),
        again,
        own -> own.forEach(i -> run(i, false)));
    if (how.children() > 0) {
      shareChildren();
    }
    ranks.apart(
        again,
        () -> {
          if (ranks.leads()) {
            runOneByOne();
          }
        });
  }

  private static boolean isLeft(StrategyJob job, int children) {
    return !job.isDone(children) && !job.isHeld();
  }

  /** What one process does; rank 0 of several, when the others have done what was dealt to them. */
  private void runOneByOne() {
    for (int i = 0; i < jobs.size(); i++) {
      if (!jobs.get(i).isDone(how.children())) {
        run(i, how.children() > 0);
      }
    }
  }

  private void run(int number, boolean children) {
    StrategyJob job = jobs.get(number);
    if (job.isHeld()) {
      console.note(what(number) + ": another process is at it");
      return;
    }
    console.note(what(number));
    try (ProgressLine line = progress.get()) {
      work.run(job, children, line);
    }
    if (ranks.leads()) {
      known.run();
    }
    if (how.signals().received() != null) {
      throw ranks.stopped(again);
    }
  }

  private String what(int number) {
    StrategyJob job = jobs.get(number);
    return String.format(
        Locale.ROOT,
        "search %d of %d, %s with seed %d",
        number + 1,
        jobs.size(),
        job.strategy(),
        job.seed());
  }

  /** Has the processes train the children of all searches, and rank 0 hold these meanwhile. */
  private void shareChildren() {
    int each = how.children();
    List<RunFolder> held = new ArrayList<>();
    try {
      ranks.deal(
          () -> IntStream.range(0, jobs.size()).flatMap(i -> childrenOf(i, held)),
          again,
          own ->
              own.boxed()
                  .collect(Collectors.groupingBy(i -> i / each, TreeMap::new, Collectors.toList()))
                  .forEach(
                      (number, some) ->
                          children(number, some.stream().mapToInt(i -> i % each).toArray())));
    } finally {
      held.forEach(RunFolder::close);
    }
  }

  /** The numbers, among those of all searches, of the children that one of them lacks. */
  private IntStream childrenOf(int number, List<RunFolder> held) {
    StrategyJob job = jobs.get(number);
    if (!job.isDone(0) || !isLeft(job, how.children())) {
      return IntStream.empty();
    }
    held.add(RunFolder.open(job.root()));
    return Children.left(job.root(), how.children()).map(i -> number * how.children() + i);
  }

  private void children(int number, int[] some) {
    console.note("children of " + what(number));
    try (ProgressLine line = progress.get()) {
      jobs.get(number).train(some, how, line);
    }
  }
}
