package io.fbnet.engine.program;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankFailure;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.engine.cuda.SoftwareCuda.Count;
import io.fbnet.engine.cuda.SoftwareCuda.Live;
import io.fbnet.engine.ranks.Ranks;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Locale;
import java.util.Set;

/**
 * One rank of {@link GpuRanksTest}, with a GPU. Its first argument says what becomes of it, the
 * second how long it waits, the third whether "norms" are over all ranks. Ends as {@code RankMain}
 * does.
 */
final class GpuRankMain {
  static final int FAILED = 7;
  static final int STEPS = 6;

  private static final class Left extends RuntimeException {
    private static final long serialVersionUID = 1L;
  }

  private GpuRankMain() {}

  public static void main(String[] arguments) throws Exception {
    Duration patience = Duration.ofMillis(Long.parseLong(arguments[1]));
    try (Communicator ranks =
        Ranks.ofThisProcess(() -> patience, note -> System.out.println(note))) {
      try (Backend backend =
          RanksTest.open(
              "cuda", ranks, note -> System.out.println("note of " + ranks.rank() + ": " + note))) {
        train(arguments[0], arguments[2].equals("norms"), backend, ranks);
      } catch (Left e) {
        // It is there, but its GPU no longer is.
        Thread.sleep(60_000);
      }
      if (SoftwareCuda.live(Live.COMMUNICATORS) != 0) {
        throw new AssertionError("a communicator of NCCL is left");
      }
      ranks.finish();
    } catch (RankFailure e) {
      System.out.println("RankFailure: " + e.getMessage());
      System.exit(FAILED);
    }
  }

  private static void train(String what, boolean norms, Backend backend, Communicator ranks)
      throws Exception {
    boolean last = ranks.rank() == ranks.size() - 1;
    RanksTest.End end =
        RanksTest.train(
            backend,
            true,
            norms,
            STEPS,
            0,
            step -> {
              if (last && step == STEPS - 1) {
                become(what);
              }
            });
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    for (float[] set : end.sets()) {
      ByteBuffer bytes = ByteBuffer.allocate(set.length * Float.BYTES);
      bytes.asFloatBuffer().put(set);
      digest.update(bytes);
    }
    digest.update(end.results().toString().getBytes(UTF_8));
    Set<String> hashes = new HashSet<>();
    String own = HexFormat.of().formatHex(digest.digest());
    ranks.gather(own.getBytes(UTF_8)).forEach(h -> hashes.add(new String(h, UTF_8)));
    if (hashes.size() != 1) {
      throw new AssertionError("ranks differ: " + hashes);
    }
    if (ranks.rank() == 0) {
      System.out.printf(
          Locale.ROOT,
          "hash %s%nexchanges %d%ngraphs %d%n",
          own,
          SoftwareCuda.count(Count.EXCHANGES),
          SoftwareCuda.count(Count.GRAPH_LAUNCHES));
    }
  }

  private static void become(String what) {
    try {
      switch (what) {
        case "trains" -> {}
        case "late" -> Thread.sleep(1000);
        case "absent" -> Thread.sleep(60_000);
        case "killed" ->
            new ProcessBuilder("kill", "-9", Long.toString(ProcessHandle.current().pid()))
                .start()
                .waitFor();
        case "leaves" -> throw new Left();
        case "fails" -> throw new IllegalStateException("this rank has had enough");
        default -> throw new IllegalArgumentException(what);
      }
    } catch (java.io.IOException | InterruptedException e) {
      throw new AssertionError(e);
    }
  }
}
