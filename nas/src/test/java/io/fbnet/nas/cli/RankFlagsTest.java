package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.program.ThreadRanks;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/** Jobs that ranks share out; the ranks are threads. */
class RankFlagsTest {
  private static final int RANKS = 3;
  private static final int[] LEFT = {0, 2, 3, 5, 7, 8, 9};
  private static final Continuation AGAIN = new Continuation("fbnet again");

  private final StringWriter err = new StringWriter();
  private final Console console =
      new Console(
          new CommandLine(new SampleCommand()).setErr(new PrintWriter(err)).getCommandSpec());

  private RankFlags of(Communicator ranks) {
    RankFlags flags = new RankFlags(ranks, console);
    var _ = flags.signals(console);
    return flags;
  }

  @Test
  void eachJobIsDoneOnceAndAllAreWhenTheRanksMeet() throws Exception {
    Map<Integer, Integer> doneBy = Collections.synchronizedMap(new TreeMap<>());
    AtomicInteger asked = new AtomicInteger();
    List<Integer> seen =
        ThreadRanks.run(
            RANKS,
            ranks -> {
              of(ranks)
                  .deal(
                      () -> {
                        asked.incrementAndGet();
                        return IntStream.of(LEFT);
                      },
                      AGAIN,
                      own ->
                          own.forEach(
                              job -> assertEquals(null, doneBy.put(job, ranks.rank()), "twice")));
              return doneBy.size();
            });
    assertEquals(List.of(LEFT.length, LEFT.length, LEFT.length), seen);
    assertEquals(1, asked.get(), "rank 0 alone says what is left");
    assertEquals(Map.of(0, 0, 2, 1, 3, 2, 5, 0, 7, 1, 8, 2, 9, 0), doneBy);
    assertTrue(err.toString().contains("waiting for the jobs of the other processes"));
  }

  @Test
  void whereNothingIsLeftNobodyIsGivenAnything() throws Exception {
    List<Long> given =
        ThreadRanks.run(
            RANKS,
            ranks -> {
              long[] count = {-1};
              of(ranks).deal(IntStream::empty, AGAIN, own -> count[0] = own.count());
              return count[0];
            });
    assertEquals(List.of(0L, 0L, 0L), given);
  }

  @Test
  void oneProcessDoesJobsInItsOwnCourse() {
    of(Communicator.alone())
        .deal(
            () -> {
              throw new AssertionError("asked");
            },
            AGAIN,
            own -> {
              throw new AssertionError("dealt");
            });
  }

  /** One is told to end and saves; those that are through, or between jobs, leave with it. */
  @Test
  void aStopOfOneEndsAll() throws Exception {
    List<String> ends =
        ThreadRanks.run(
            RANKS,
            ranks -> {
              UserException end =
                  assertThrows(
                      UserException.class,
                      () ->
                          of(ranks)
                              .deal(
                                  () -> IntStream.of(LEFT),
                                  AGAIN,
                                  own -> {
                                    if (ranks.rank() == 1) {
                                      throw new UserException(ExitCode.INTERRUPTED, "saved");
                                    }
                                  }));
              assertEquals(ExitCode.INTERRUPTED, end.exitCode());
              return end.getMessage();
            });
    String between = "stopped between jobs; continue with: fbnet again";
    assertEquals(List.of(between, "saved", between), ends);
  }

  /** What one process finds left and cannot say ends all. */
  @Test
  void aFailureOfTheFirstIsToldToAll() throws Exception {
    List<UserException> ends =
        ThreadRanks.run(
            2,
            ranks ->
                assertThrows(
                    UserException.class,
                    () ->
                        of(ranks)
                            .deal(
                                () -> {
                                  throw new UserException(ExitCode.STORAGE, "in use");
                                },
                                AGAIN,
                                own -> {
                                  throw new AssertionError("dealt");
                                })));
    assertEquals(ExitCode.STORAGE, ends.getFirst().exitCode());
    assertEquals(ExitCode.RANKS, ends.getLast().exitCode());
    assertTrue(ends.getLast().getMessage().endsWith("in use"), ends.getLast().getMessage());
  }

  /** A job's back end exchanges nothing, and takes its own device and part of the processors. */
  @Test
  void aJobIsDoneByOneInItsPlaceOnTheMachine() throws Exception {
    int processors = Runtime.getRuntime().availableProcessors();
    var _ =
        ThreadRanks.run(
            RANKS,
            ranks -> {
              Communicator own = of(ranks).ranks();
              assertEquals(0, own.rank());
              assertEquals(1, own.size());
              assertEquals(ranks.rank(), own.localRank());
              assertEquals(RANKS, own.localSize());
              RankFlags ofJob = new RankFlags();
              ofJob.among(of(ranks));
              assertEquals(own, ofJob.ranks());
              assertEquals(ranks.rank() == 0, ofJob.leads());
              DeviceFlags device = new DeviceFlags();
              assertEquals(Math.max(1, processors / RANKS), device.threads(own));
              device.threads = processors;
              device.divideThreads(Communicator.alone(), console);
              assertEquals(processors, device.threads);
              device.divideThreads(own, console);
              assertEquals(Math.max(1, processors / RANKS), device.threads);
              return true;
            });
  }

  /** A verb that writes or computes, and is not shared, would do the same n times. */
  @Test
  void everyVerbIsSharedOrReadsOrIsRefused() {
    Set<String> refused = new TreeSet<>(FbnetCommand.verbs());
    refused.removeAll(RankFlags.READING);
    refused.removeAll(Set.of("search", "train", "sample", "compare-strategies"));
    assertEquals(
        Set.of("compare-devices", "data", "evaluate", "export", "import", "latency", "report"),
        refused);
  }
}
