package io.fbnet.nas.fuzz;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.sun.management.ThreadMXBean;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;

/**
 * Gives a reader many damaged files. Each must be read, or refused in one sentence by the
 * documented exception, within memory that the file's own size bounds.
 *
 * <p>{@code -Dfuzz.seed=S} repeats what a seed gave, {@code -Dfuzz.input=I} one input of it alone.
 */
public final class Fuzz {
  /** Inputs a reader in every build. */
  public static final int FEW = 50;

  /** Inputs a reader in the full tests. */
  public static final int MANY = 10_000;

  private static final long LONGEST_NANOS = 1_000_000_000;
  private static final int LONGEST_SENTENCE = 2200;
  private static final int FAILURES_SHOWN = 8;
  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  /** Words of a stack trace, which no user can act on. */
  private static final Pattern TRACE =
      Pattern.compile("\\b(java|javax|com\\.\\w+|org\\.\\w+)\\.\\w+\\.\\w+|\\(null\\)|Exception");

  /** What reads a file. */
  @FunctionalInterface
  public interface Reader {
    /**
     * Reads a file and all that it says.
     *
     * @throws UserException if the file is wrong
     * @throws Exception of the reader's own documented kind, if there is one
     */
    void read(Path file) throws Exception;
  }

  /**
   * A reader and the files that it is given.
   *
   * @param name for people; none twice
   * @param file what the inputs are called
   * @param named what a refusal must name: the file, or the folder of those that belong together
   * @param mutator gives them
   * @param reader reads them
   * @param own what the reader throws beside {@link UserException}, whose message need not name the
   *     file
   * @param fixedBytes what a reading may allocate whatever the file
   * @param bytesPerByte what it may allocate for each byte of the file
   */
  public record Target(
      String name,
      Path file,
      Path named,
      Mutator mutator,
      Reader reader,
      Class<? extends Exception> own,
      long fixedBytes,
      long bytesPerByte) {
    @Override
    public String toString() {
      return name;
    }
  }

  private final Target target;
  private final boolean timed;
  private final long seed;
  private final Map<String, String> failures = new LinkedHashMap<>();
  private int read;
  private int refused;
  private long longestNanos;
  private long mostBytes;

  private Fuzz(Target target, boolean timed) {
    this.target = target;
    this.timed = timed;
    // Every build gives the same inputs; the full tests give new ones.
    seed = Long.getLong("fuzz.seed", timed ? System.nanoTime() : 1);
  }

  /** A test of few inputs for each target. */
  public static Stream<DynamicTest> fewOf(Stream<Target> targets) {
    return targets.map(target -> DynamicTest.dynamicTest(target.name(), () -> few(target)));
  }

  /** A test of many inputs for each target. */
  public static Stream<DynamicTest> manyOf(Stream<Target> targets) {
    return targets.map(target -> DynamicTest.dynamicTest(target.name(), () -> many(target)));
  }

  /** A few inputs, the same in every build unless {@code fuzz.seed} is set. */
  public static void few(Target target) throws IOException {
    new Fuzz(target, false).run(FEW);
  }

  /**
   * Many inputs, others each time unless {@code fuzz.seed} is set, and none may take a second of
   * the CPU.
   */
  public static void many(Target target) throws IOException {
    new Fuzz(target, true).run(MANY);
  }

  private void run(int inputs) throws IOException {
    long begin = THREADS.getCurrentThreadCpuTime();
    for (byte[] valid : target.mutator.valid()) {
      Files.write(target.file, valid);
      assertDoesNotThrow(() -> target.reader.read(target.file), target + ": a valid file");
    }
    Integer only = Integer.getInteger("fuzz.input");
    for (int i = 0; i < inputs && failures.size() < FAILURES_SHOWN; i++) {
      if (only == null || i == only) {
        SplittableRandom random =
            new SplittableRandom(seed * 31 + target.name.hashCode() + 1_000_003L * i);
        check(i, target.mutator.next(random));
      }
    }
    System.out.printf(
        Locale.ROOT,
        "fuzz %s: seed %d, %d read, %d refused, %d ms, at most %d ms and %d bytes a byte%n",
        target,
        seed,
        read,
        refused,
        (THREADS.getCurrentThreadCpuTime() - begin) / 1_000_000,
        longestNanos / 1_000_000,
        mostBytes);
    if (!failures.isEmpty()) {
      fail(target + ", seed " + seed + ":\n" + String.join("\n", failures.values()));
    }
    assertTrue(only != null || refused > 0, target + ": nothing was refused");
  }

  private void check(int input, byte[] content) throws IOException {
    Files.write(target.file, content);
    Throwable thrown = null;
    long bytes = THREADS.getCurrentThreadAllocatedBytes();
    long start = THREADS.getCurrentThreadCpuTime();
    try {
      target.reader.read(target.file);
    } catch (Throwable t) {
      thrown = t;
    }
    long nanos = THREADS.getCurrentThreadCpuTime() - start;
    bytes = THREADS.getCurrentThreadAllocatedBytes() - bytes;
    longestNanos = Math.max(longestNanos, nanos);
    mostBytes = Math.max(mostBytes, (bytes - target.fixedBytes) / Math.max(1, content.length));
    String complaint = complaint(thrown);
    if (complaint.isEmpty() && bytes > target.fixedBytes + target.bytesPerByte * content.length) {
      complaint = "allocated " + (bytes >> 10) + " KiB for " + content.length + " bytes";
    }
    if (complaint.isEmpty() && timed && nanos > LONGEST_NANOS) {
      complaint = "took " + nanos / 1_000_000 + " ms";
    }
    if (thrown == null) {
      read++;
    } else {
      refused++;
    }
    if (!complaint.isEmpty()) {
      Path kept =
          Path.of("target", "fuzz", target.name.replace(' ', '-') + "-" + seed + "-" + input);
      Files.createDirectories(kept.getParent());
      Files.write(kept, content);
      failures.putIfAbsent(
          complaint.replaceAll("\\d+", "9"),
          "-Dfuzz.seed=" + seed + " -Dfuzz.input=" + input + ", " + kept + ": " + complaint);
    }
  }

  /** What is wrong about how a file was refused; empty if nothing is. */
  private String complaint(Throwable thrown) {
    if (thrown == null) {
      return "";
    }
    boolean user =
        thrown instanceof UserException e
            && (e.exitCode() == ExitCode.DATA_OR_CONFIGURATION || e.exitCode() == ExitCode.USAGE);
    boolean own = target.own != null && target.own.isInstance(thrown);
    if (!user && !own) {
      return thrown + " at " + List.of(thrown.getStackTrace()).stream().limit(12).toList();
    }
    String sentence = thrown.getMessage();
    if (sentence == null || sentence.isBlank()) {
      return "says nothing: " + thrown;
    }
    if (sentence.length() > LONGEST_SENTENCE) {
      return "goes on and on: " + sentence.substring(0, 200);
    }
    if (user && !sentence.contains(target.named.toString())) {
      return "does not name the file: " + sentence;
    }
    if (sentence.codePoints().anyMatch(Fuzz::isUnseen)) {
      return "is no one line of plain text: " + sentence;
    }
    return TRACE.matcher(sentence.replace(target.file.toString(), "")).find()
        ? "speaks of Java: " + sentence
        : "";
  }

  /** Line breaks, and what makes a terminal show something else than is there. */
  private static boolean isUnseen(int c) {
    int type = Character.getType(c);
    return type == Character.CONTROL
        || type == Character.FORMAT
        || type == Character.LINE_SEPARATOR
        || type == Character.PARAGRAPH_SEPARATOR
        || type == Character.SURROGATE;
  }
}
