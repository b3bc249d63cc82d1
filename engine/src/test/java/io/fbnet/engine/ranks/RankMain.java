package io.fbnet.engine.ranks;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankFailure;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;

/**
 * One rank of the tests: what it is told to do is its first argument, words with + between them. It
 * ends with 0 where all was as it should be, with {@link #FAILED} after a {@link RankFailure}, and
 * with 1 after anything else.
 */
final class RankMain {
  /** The exit code after a {@link RankFailure}. */
  static final int FAILED = 7;

  private static final long SEED = 20260101;

  private RankMain() {}

  public static void main(String[] arguments) throws Exception {
    Duration patience =
        Duration.ofMillis(arguments.length > 1 ? Long.parseLong(arguments[1]) : 60_000);
    try (Communicator ranks =
        Ranks.ofThisProcess(() -> patience, note -> System.out.println(note))) {
      for (String what : arguments[0].split("\\+", -1)) {
        run(what, ranks);
      }
      ranks.finish();
    } catch (RankFailure e) {
      System.err.println("RankFailure: " + e.getMessage());
      System.exit(FAILED);
    }
  }

  private static void run(String what, Communicator ranks) throws Exception {
    switch (what) {
      case "exchange" -> exchange(ranks);
      case "traps" -> traps(ranks);
      case "absent" -> absent(ranks);
      case "killed" -> killed(ranks);
      case "leaves" -> leaves(ranks);
      case "meets" -> ranks.barrier();
      case "times" -> times(ranks);
      default -> throw new IllegalArgumentException(what);
    }
  }

  private static void exchange(Communicator ranks) throws Exception {
    System.out.println("rank " + ranks.rank() + " of " + ranks.size());
    List<byte[]> places = ranks.gather(new byte[] {(byte) ranks.rank(), (byte) ranks.localRank()});
    check(places.size() == ranks.size(), "gather gives one a rank");
    for (int i = 0; i < ranks.size(); i++) {
      check(Arrays.equals(places.get(i), new byte[] {(byte) i, (byte) i}), "ranks of one machine");
    }
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    for (int elements : new int[] {0, 1, 3, 4097, 1_000_003}) {
      means(ranks, elements, digest);
    }
    byte[] hash = digest.digest();
    check(same(ranks.gather(hash)), "the same bits on every rank");
    if (ranks.rank() == 0) {
      System.out.println("hash " + java.util.HexFormat.of().formatHex(hash));
    }
    broadcasts(ranks);
    gathers(ranks);
    ranks.barrier();
    refusals(ranks);
  }

  /** Means of numbers of very different size, so that another order of adding shows. */
  private static void means(Communicator ranks, int elements, MessageDigest digest) {
    double[] sums = new double[elements];
    double[] sizes = new double[elements];
    double[] own = new double[elements];
    for (int i = 0; i < ranks.size(); i++) {
      double[] each = numbers(i, elements);
      for (int k = 0; k < elements; k++) {
        sums[k] += (float) each[k];
        sizes[k] += Math.abs(each[k]);
      }
      if (i == ranks.rank()) {
        own = each;
      }
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment f32 = arena.allocate(JAVA_FLOAT, elements);
      MemorySegment f64 = arena.allocate(JAVA_DOUBLE, elements);
      for (int k = 0; k < elements; k++) {
        f32.setAtIndex(JAVA_FLOAT, k, (float) own[k]);
        f64.setAtIndex(JAVA_DOUBLE, k, (float) own[k]);
      }
      MemorySegment sent32 = arena.allocate(f32.byteSize(), Float.BYTES).copyFrom(f32);
      MemorySegment sent64 = arena.allocate(f64.byteSize(), Double.BYTES).copyFrom(f64);
      ranks.mean(f32, Float.BYTES);
      ranks.mean(f64, Double.BYTES);
      ((MpiCommunicator) ranks).meanByMessages(sent32, Float.BYTES);
      ((MpiCommunicator) ranks).meanByMessages(sent64, Double.BYTES);
      check(sent32.mismatch(f32) == -1, "the same bits by messages and in shared memory, f32");
      check(sent64.mismatch(f64) == -1, "the same bits by messages and in shared memory, f64");
      inPlace(ranks, own, f32, f64);
      for (int k = 0; k < elements; k++) {
        double want = sums[k] / ranks.size();
        float mean = f32.getAtIndex(JAVA_FLOAT, k);
        // The sums here were added in the order of ranks, so in f64 nothing may differ.
        if (Math.abs(mean - want) > sizes[k] * 0x1p-23 || f64.getAtIndex(JAVA_DOUBLE, k) != want) {
          check(false, "mean of element " + k + " of " + elements + ", seed " + SEED);
        }
      }
      digest.update(f32.asByteBuffer());
      digest.update(f64.asByteBuffer());
    }
  }

  /** Where ranks see each other's memory, time after time, and where one of them does not. */
  private static void inPlace(
      Communicator ranks, double[] own, MemorySegment f32, MemorySegment f64) {
    try (Arena arena = Arena.ofShared()) {
      MemorySegment here32 = ranks.allocate(arena, f32.byteSize());
      MemorySegment here64 = ranks.allocate(arena, f64.byteSize());
      MemorySegment plain =
          ranks.rank() == 0 ? arena.allocate(f32.byteSize(), 64) : here32.asSlice(0);
      check(here32.byteSize() == f32.byteSize(), "as much memory as was asked for");
      Runnable mean32 = ranks.means(here32, Float.BYTES);
      Runnable mean64 = ranks.means(here64, Double.BYTES);
      Runnable unseen = ranks.means(plain, Float.BYTES);
      for (int time = 0; time < 3; time++) {
        for (int k = 0; k < own.length; k++) {
          here32.setAtIndex(JAVA_FLOAT, k, (float) own[k]);
          here64.setAtIndex(JAVA_DOUBLE, k, (float) own[k]);
        }
        mean32.run();
        mean64.run();
        check(here32.mismatch(f32) == -1, "the same bits in place, f32");
        check(here64.mismatch(f64) == -1, "the same bits in place, f64");
      }
      for (int k = 0; k < own.length; k++) {
        plain.setAtIndex(JAVA_FLOAT, k, (float) own[k]);
      }
      unseen.run();
      check(plain.mismatch(f32) == -1, "the same bits where rank 0 is not seen");
    }
  }

  private static double[] numbers(int rank, int elements) {
    Random random = new Random(SEED + rank);
    double[] result = new double[elements];
    for (int k = 0; k < elements; k++) {
      result[k] = random.nextGaussian() * Math.scalb(1.0, random.nextInt(20));
    }
    return result;
  }

  private static void broadcasts(Communicator ranks) {
    try (Arena arena = Arena.ofConfined()) {
      for (int root = 0; root < ranks.size(); root++) {
        for (int length : new int[] {0, 1, 100_003}) {
          MemorySegment bytes = arena.allocate(length);
          bytes.fill((byte) (10 + ranks.rank()));
          ranks.broadcast(bytes, root);
          MemorySegment want = arena.allocate(length).fill((byte) (10 + root));
          check(bytes.mismatch(want) == -1, "broadcast from " + root);
        }
      }
    }
  }

  private static void gathers(Communicator ranks) {
    // Rank 0 gives nothing at all.
    byte[] text = "rank ".repeat(ranks.rank() * 1000).getBytes(StandardCharsets.UTF_8);
    List<byte[]> all = ranks.gather(text);
    for (int i = 0; i < ranks.size(); i++) {
      check(
          new String(all.get(i), StandardCharsets.UTF_8).equals("rank ".repeat(i * 1000)),
          "gather from " + i);
    }
  }

  /** Wrong arguments are refused before anything is exchanged, so the ranks stay together. */
  private static void refusals(Communicator ranks) throws InterruptedException {
    refused(() -> ranks.mean(MemorySegment.ofArray(new float[3]), 4));
    refused(() -> ranks.broadcast(MemorySegment.ofArray(new byte[3]), 0));
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment six = arena.allocate(6);
      refused(() -> ranks.mean(six, 4));
      refused(() -> ranks.mean(six, 2));
      refused(() -> ranks.broadcast(six, ranks.size()));
      refused(() -> ranks.broadcast(six, -1));
    }
    Thread other = new Thread(() -> refused(ranks::barrier));
    other.start();
    other.join();
    ranks.barrier();
  }

  private static void refused(Runnable call) {
    try {
      call.run();
    } catch (IllegalArgumentException | IllegalStateException expected) {
      return;
    }
    check(false, "a wrong argument is refused");
  }

  /** What the virtual machine does by signals, after the library had its chance to take them. */
  private static void traps(Communicator ranks) {
    ranks.barrier();
    int caught = 0;
    for (int i = 0; i < 200_000; i++) {
      // Compiled, a null is found by the fault of reading it.
      try {
        caught += length(i % 1000 == 999 ? null : "text") - 4;
      } catch (NullPointerException e) {
        caught++;
      }
    }
    check(caught == 200, "NullPointerException in compiled code: " + caught);
    try {
      check(endless(1) == 0, "no end");
    } catch (StackOverflowError e) {
      caught++;
    }
    check(caught == 201, "StackOverflowError");
    try {
      check(quotient(1, Communicator.alone().rank()) == 0, "no quotient");
    } catch (ArithmeticException e) {
      caught++;
    }
    check(caught == 202, "division by zero");
    System.gc();
    ranks.barrier();
  }

  private static int length(String text) {
    return text.length();
  }

  private static int quotient(int a, int b) {
    return a / b;
  }

  @SuppressWarnings("InfiniteRecursion")
  private static int endless(int depth) {
    return endless(depth + 1) + depth;
  }

  /** The last rank stays away from an exchange. */
  private static void absent(Communicator ranks) throws InterruptedException {
    ranks.barrier();
    if (ranks.rank() == ranks.size() - 1) {
      Thread.sleep(60_000);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment elements = arena.allocate(JAVA_FLOAT, 1000);
      try {
        ranks.mean(elements, Float.BYTES);
      } catch (RankFailure e) {
        // A second call says the same at once and exchanges nothing.
        try {
          ranks.barrier();
        } catch (RankFailure again) {
          check(again.getMessage().equals(e.getMessage()), "the same failure again");
          throw again;
        }
      }
    }
    check(false, "nobody answers, so no exchange can be done");
  }

  /** The last rank dies as by the system's hand. */
  private static void killed(Communicator ranks) throws IOException, InterruptedException {
    ranks.barrier();
    if (ranks.rank() == ranks.size() - 1) {
      new ProcessBuilder("kill", "-9", Long.toString(ProcessHandle.current().pid()))
          .start()
          .waitFor();
    }
    ranks.barrier();
  }

  /** The last rank fails by itself and ends as a program does. */
  private static void leaves(Communicator ranks) {
    ranks.barrier();
    if (ranks.rank() == ranks.size() - 1) {
      throw new IllegalStateException("this rank has had enough");
    }
    ranks.barrier();
  }

  /** Ways take turns, each after the elements were written as a step writes gradients. */
  private static void times(Communicator ranks) {
    long bytes = 44L << 20;
    try (Arena arena = Arena.ofShared()) {
      MemorySegment elements = ranks.allocate(arena, bytes);
      MemorySegment copy = arena.allocate(bytes, 64).fill((byte) 1);
      Map<String, Runnable> ways = new LinkedHashMap<>();
      ways.put("copy", () -> copy.copyFrom(elements));
      ways.put("mean in place", ranks.means(elements, Float.BYTES));
      ways.put("by way of shared memory", () -> ranks.mean(elements, Float.BYTES));
      ways.put(
          "by messages", () -> ((MpiCommunicator) ranks).meanByMessages(elements, Float.BYTES));
      Map<String, double[]> millis = new LinkedHashMap<>();
      ways.keySet().forEach(way -> millis.put(way, new double[60]));
      for (int i = -20; i < 60; i++) {
        for (String way : ways.keySet()) {
          elements.fill((byte) 1);
          ranks.barrier();
          long begin = System.nanoTime();
          ways.get(way).run();
          if (i >= 0) {
            millis.get(way)[i] = (System.nanoTime() - begin) / 1e6;
          }
        }
      }
      millis.values().forEach(Arrays::sort);
      if (ranks.rank() == 0) {
        double unit = millis.get("copy")[30];
        millis.forEach(
            (way, each) ->
                System.out.printf(
                    Locale.ROOT,
                    "44 MiB, %s: %.2f ms, %.2f copies%n",
                    way,
                    each[30],
                    each[30] / unit));
      }
    }
  }

  private static boolean same(List<byte[]> all) {
    HashSet<ByteBuffer> different = new HashSet<>();
    all.forEach(each -> different.add(ByteBuffer.wrap(each)));
    return different.size() == 1;
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
