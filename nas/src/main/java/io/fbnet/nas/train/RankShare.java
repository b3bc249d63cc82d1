package io.fbnet.nas.train;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankMeans;
import io.fbnet.engine.graph.AcrossRanks;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.file.Sha256;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.IntFunction;
import java.util.function.ObjIntConsumer;

/**
 * The part of a training that one of several ranks does: as many images of each batch as any other.
 * All of it where a process is by itself. Every rank calls the same methods in the same order.
 */
public final class RankShare {
  private static final String RANKS = "ranks";

  private static final long HASHED_BYTES = 1 << 20;

  private final Communicator ranks;
  private final int batch;
  private final boolean sharedNorms;

  /**
   * A share.
   *
   * @param backend knows the ranks
   * @param batch images of a step, of all ranks together
   * @param sharedNorms whether batch norms are over the images of all ranks
   * @throws UserException (exit code 2) where the ranks cannot share the batch equally, or compute
   *     with different settings
   */
  public RankShare(Backend backend, int batch, boolean sharedNorms) {
    ranks = backend.communicator();
    this.batch = batch;
    this.sharedNorms = sharedNorms;
    if (batch % ranks.size() != 0 || batch / ranks.size() < 2) {
      throw UserException.usage(
          "--batch %d cannot be shared by %d processes: give a multiple of %d, at least two images"
              + " each",
          batch, ranks.size(), ranks.size());
    }
    requireAlike(backend);
  }

  /** Ranks that compute alike take the same exchanges in the same order. */
  private void requireAlike(Backend backend) {
    if (ranks.size() == 1) {
      return;
    }
    Map<String, String> own = new TreeMap<>(backend.fingerprint());
    own.remove("processor");
    List<byte[]> all = ranks.gather(own.toString().getBytes(StandardCharsets.UTF_8));
    for (byte[] other : all) {
      if (!Arrays.equals(all.getFirst(), other)) {
        throw UserException.usage(
            "the processes of a training must compute alike, but one has %s and another %s: give"
                + " --device, --threads and --precision, and the same libraries to all",
            new String(all.getFirst(), StandardCharsets.UTF_8),
            new String(other, StandardCharsets.UTF_8));
      }
    }
  }

  /** {@return images of a step that are this rank's} */
  public int batch() {
    return batch / ranks.size();
  }

  /** {@return how many ranks there are} */
  public int ranks() {
    return ranks.size();
  }

  /** {@return whether this rank is the one that writes files} */
  public boolean writes() {
    return ranks.rank() == 0;
  }

  /**
   * Has the rank that writes files do so, and all others wait for it; where it fails all end.
   *
   * @param files writes them
   * @throws UserException the writer's own, and (exit code 7) its sentence on all others
   */
  public void write(Runnable files) {
    if (ranks.size() == 1) {
      files.run();
      return;
    }
    Optional<UserException> failure = Optional.empty();
    try {
      if (writes()) {
        files.run();
      }
    } catch (UserException e) {
      failure = Optional.of(e);
    }
    byte[] own = failure.map(Throwable::getMessage).orElse("").getBytes(StandardCharsets.UTF_8);
    byte[] said = ranks.gather(own).getFirst();
    if (failure.isPresent()) {
      throw failure.get();
    }
    if (said.length > 0) {
      throw new UserException(
          ExitCode.RANKS, "rank 0 could not write: " + new String(said, StandardCharsets.UTF_8));
    }
  }

  /**
   * {@return a step as this rank runs it}
   *
   * @param step for {@link #batch} images
   */
  public Graph of(Graph step) {
    return ranks.size() == 1 ? step : AcrossRanks.share(step, ranks.rank(), sharedNorms);
  }

  /**
   * {@return a loader of this rank's images of each batch}
   *
   * @param loader of whole batches
   */
  public BatchLoader.Builder of(BatchLoader.Builder loader) {
    return loader.batchSize(batch).share(ranks.rank(), ranks.size());
  }

  /**
   * {@return the means over the ranks}
   *
   * @param numbers as many on every rank
   */
  public double[] means(double... numbers) {
    RankMeans.of(ranks, numbers);
    return numbers;
  }

  /**
   * {@return for each question whether any rank says yes}
   *
   * @param questions as many on every rank
   */
  public boolean[] any(boolean... questions) {
    double[] yes = new double[questions.length];
    for (int i = 0; i < yes.length; i++) {
      yes[i] = questions[i] ? 1 : 0;
    }
    RankMeans.of(ranks, yes);
    boolean[] answers = new boolean[yes.length];
    for (int i = 0; i < yes.length; i++) {
      answers[i] = yes[i] > 0;
    }
    return answers;
  }

  /**
   * Divides work of which every rank needs all results, one item a rank at a time.
   *
   * @param count how many items there are
   * @param work gives the numbers of an item, as many of each
   * @param found told of each item's numbers, in order
   */
  public void divide(int count, IntFunction<double[]> work, ObjIntConsumer<double[]> found) {
    for (int from = 0; from < count; from += ranks.size()) {
      int own = from + ranks.rank();
      double[] numbers = own < count ? work.apply(own) : new double[0];
      ByteBuffer bytes = ByteBuffer.allocate(numbers.length * Double.BYTES);
      bytes.asDoubleBuffer().put(numbers);
      int item = from;
      for (byte[] given : ranks.gather(bytes.array())) {
        if (item < count) {
          double[] result = new double[given.length / Double.BYTES];
          ByteBuffer.wrap(given).asDoubleBuffer().get(result);
          found.accept(result, item++);
        }
      }
    }
  }

  /**
   * Ends a training whose ranks have come to differ: from then on they would train different
   * networks.
   *
   * @param store what must be equal bit for bit
   * @throws UserException (exit code 7) where it is not
   */
  public void requireEqual(ParameterStore store) {
    if (ranks.size() == 1) {
      return;
    }
    StringBuilder hashes = new StringBuilder();
    for (String set : store.sets()) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment values = arena.allocate(store.layout(set).size() * Float.BYTES, Float.BYTES);
        store.save(set, Storage.Flat.VALUES, values);
        hashes.append(hash(values));
      }
    }
    List<byte[]> all = ranks.gather(hashes.toString().getBytes(StandardCharsets.UTF_8));
    for (int r = 1; r < all.size(); r++) {
      if (!Arrays.equals(all.getFirst(), all.get(r))) {
        throw new UserException(
            ExitCode.RANKS,
            String.format(
                Locale.ROOT,
                "the parameters of rank %d are no longer those of rank 0: its device or memory"
                    + " computes wrongly, or its processor differs; resume without it",
                r));
      }
    }
  }

  /** Piece by piece: a set may be larger than Java's heap, or than an array can be. */
  private static String hash(MemorySegment values) {
    MessageDigest digest = Sha256.digest();
    for (long at = 0; at < values.byteSize(); at += HASHED_BYTES) {
      long bytes = Math.min(HASHED_BYTES, values.byteSize() - at);
      digest.update(values.asSlice(at, bytes).asByteBuffer());
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  /**
   * Ends a training whose ranks read different images: they would not take as many steps, or train
   * on other images than the run says.
   *
   * @param fingerprint of this rank's images
   * @throws UserException (exit code 3) where another rank has others
   */
  public void requireSameImages(String fingerprint) {
    List<byte[]> all = ranks.gather(fingerprint.getBytes(StandardCharsets.UTF_8));
    for (int r = 1; r < all.size(); r++) {
      if (!Arrays.equals(all.getFirst(), all.get(r))) {
        throw UserException.data(
            "rank %d reads other images than rank 0: --data and --data-dir must lead to the same"
                + " ones on every machine",
            r);
      }
    }
  }

  /**
   * {@return what bits depend on: the back end's own conditions and how many ranks there are}
   *
   * @param backend of one of them
   */
  public static Map<String, String> environment(Backend backend) {
    Map<String, String> conditions = new TreeMap<>(backend.fingerprint());
    conditions.put(RANKS, Integer.toString(backend.communicator().size()));
    return conditions;
  }
}
