package io.fbnet.engine.ranks;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankFailure;
import io.fbnet.engine.backend.RankWait;
import io.fbnet.foreign.ForeignException;
import io.fbnet.foreign.Mpi;
import io.fbnet.foreign.MpiRequest;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Ranks that exchange by MPI. After a failure no exchange is asked for, so none touches memory that
 * may be gone by then.
 */
final class MpiCommunicator implements Communicator {
  /** Longer than anybody waits; its nanoseconds fit a long. */
  private static final Duration FOR_EVER = Duration.ofDays(100_000);

  /** What one exchange moves at most: it bounds scratch memory, and MPI counts in ints. */
  static final int PIECE_BYTES = 1 << 22;

  /** The same where ranks share memory: what fits into a processor's own cache. */
  static final int SHARED_BYTES = 1 << 20;

  /**
   * Pieces of memory that a rank shares. It writes them in turn, so that another core's cache has
   * long dropped what it read of one: where the cores are far apart, writing what another still
   * holds takes up to eight times as long.
   */
  private static final int MOST_PIECES = 8;

  /** What all ranks share, as long as each has two pieces: containers have 64 MiB by default. */
  private static final int SHARED_BY_ALL_BYTES = 48 << 20;

  private static final int BROADCAST_BYTES = 1 << 26;
  private static final int ALIGNMENT = 64;

  /** How often a rank has met the others, behind the pieces of its shared memory. */
  private static final VarHandle MEETINGS = ValueLayout.JAVA_LONG.varHandle();

  private final Thread owner = Thread.currentThread();
  private final Mpi mpi;
  private final Supplier<Duration> patience;
  private final int rank;
  private final int size;
  private final Arena arena = Arena.ofConfined();
  private final RankSum sum;

  /**
   * Memory of each rank that all see, some pieces and a count long; empty where they are on several
   * machines.
   */
  private final List<MemorySegment> shared;

  private final SeenMemory seen;
  private final int pieces;
  private long meetings;
  private int nextPiece;
  private MemorySegment scratch = MemorySegment.NULL;
  private RankFailure failure;
  private boolean finished;
  private boolean closed;

  MpiCommunicator(Mpi mpi, Supplier<Duration> patience, Consumer<String> notes) {
    if (!patience.get().isPositive()) {
      throw new IllegalArgumentException("a rank has to wait for the others: " + patience.get());
    }
    this.mpi = mpi;
    this.patience = patience;
    rank = mpi.rank();
    size = mpi.size();
    sum = new RankSum(size);
    seen = new SeenMemory(notes);
    pieces = Math.clamp(SHARED_BY_ALL_BYTES / SHARED_BYTES / size, 2, MOST_PIECES);
    shared = mpi.localSize() == size ? mpi.share(count() + ALIGNMENT) : List.of();
    if (!shared.isEmpty()) {
      MEETINGS.setVolatile(shared.get(rank), count(), 0L);
      exchange("meeting", mpi::barrier, () -> FOR_EVER);
    }
  }

  @Override
  public int rank() {
    return rank;
  }

  @Override
  public int size() {
    return size;
  }

  @Override
  public int localRank() {
    return mpi.localRank();
  }

  @Override
  public int localSize() {
    return mpi.localSize();
  }

  @Override
  public Duration patience() {
    return patience.get();
  }

  @Override
  public void mean(MemorySegment elements, int elementBytes) {
    requireElements(elements, elementBytes);
    require();
    if (shared.isEmpty()) {
      meanByMessages(elements, elementBytes);
    } else {
      meanInShared(elements, elementBytes);
    }
  }

  @Override
  public MemorySegment allocate(Arena owner, long bytes) {
    return shared.isEmpty()
        ? Communicator.super.allocate(owner, bytes)
        : seen.allocate(owner, bytes);
  }

  @Override
  public Runnable means(MemorySegment elements, int elementBytes) {
    requireElements(elements, elementBytes);
    require();
    List<MemorySegment> all = shared.isEmpty() ? List.of() : seen.ofAll(elements, this);
    if (all.isEmpty()) {
      return () -> mean(elements, elementBytes);
    }
    return () -> {
      require();
      meanInPlace(all, elements, elementBytes);
    };
  }

  /**
   * Each rank adds up one part where the others' elements lie, and copies the other parts from
   * where they were added up.
   */
  private void meanInPlace(List<MemorySegment> all, MemorySegment elements, int elementBytes) {
    int count = Math.toIntExact(elements.byteSize() / elementBytes);
    long start = (long) part(count, rank) * elementBytes;
    long end = (long) part(count, rank + 1) * elementBytes;
    MemorySegment[] parts = new MemorySegment[size];
    for (int i = 0; i < size; i++) {
      parts[i] = all.get(i).asSlice(start, end - start);
    }
    meetInShared();
    sum.mean(parts, parts[rank], elementBytes);
    meetInShared();
    takeParts(all, 0, elements, elementBytes);
    // Nobody goes on to write what another still reads.
    meetInShared();
  }

  private void meanInShared(MemorySegment elements, int elementBytes) {
    for (long at = 0; at < elements.byteSize(); at += SHARED_BYTES) {
      pieceInShared(
          elements.asSlice(at, Math.min(SHARED_BYTES, elements.byteSize() - at)), elementBytes);
    }
  }

  /** The way between machines; {@code mean} takes it where ranks share no memory. */
  void meanByMessages(MemorySegment elements, int elementBytes) {
    for (long at = 0; at < elements.byteSize(); at += PIECE_BYTES) {
      pieceByMessages(
          elements.asSlice(at, Math.min(PIECE_BYTES, elements.byteSize() - at)), elementBytes);
    }
  }

  /**
   * Each rank lays its elements where all see them, adds up one part, lays that there too, and
   * takes the parts of the others. The pieces of that memory take turns: a rank fills one when all
   * have begun with the one before, so all have read what was in it.
   */
  private void pieceInShared(MemorySegment piece, int elementBytes) {
    int elements = Math.toIntExact(piece.byteSize() / elementBytes);
    long base = (long) nextPiece * SHARED_BYTES;
    nextPiece = (nextPiece + 1) % pieces;
    long start = (long) part(elements, rank) * elementBytes;
    long end = (long) part(elements, rank + 1) * elementBytes;
    MemorySegment own = shared.get(rank).asSlice(base, piece.byteSize());
    MemorySegment.copy(piece, 0, own, 0, start);
    MemorySegment.copy(piece, end, own, end, piece.byteSize() - end);
    meetInShared();
    MemorySegment mine = piece.asSlice(start, end - start);
    MemorySegment[] parts = new MemorySegment[size];
    for (int i = 0; i < size; i++) {
      parts[i] = i == rank ? mine : shared.get(i).asSlice(base + start, end - start);
    }
    sum.mean(parts, mine, elementBytes);
    MemorySegment.copy(mine, 0, own, start, end - start);
    meetInShared();
    takeParts(shared, base, piece, elementBytes);
  }

  /** Copies the part of each other rank from its own memory, {@code base} bytes on. */
  private void takeParts(List<MemorySegment> all, long base, MemorySegment to, int elementBytes) {
    int elements = Math.toIntExact(to.byteSize() / elementBytes);
    for (int i = 0; i < size; i++) {
      if (i != rank) {
        long from = (long) part(elements, i) * elementBytes;
        long bytes = (long) part(elements, i + 1) * elementBytes - from;
        MemorySegment.copy(all.get(i), base + from, to, from, bytes);
      }
    }
  }

  /**
   * What any rank wrote before, all read after. Each counts its meetings where all see it, which
   * takes less than a barrier of MPI, whatever way through the machine that would take.
   */
  private void meetInShared() {
    long meeting = ++meetings;
    MEETINGS.setRelease(shared.get(rank), count(), meeting);
    if (!RankWait.until(() -> allHaveCome(meeting), patience)) {
      throw failed(RankFailure.noAnswer("mean", patience.get(), this));
    }
  }

  private boolean allHaveCome(long meeting) {
    for (MemorySegment one : shared) {
      if ((long) MEETINGS.getAcquire(one, count()) < meeting) {
        return false;
      }
    }
    return true;
  }

  /** Where a rank's count of meetings lies. */
  private long count() {
    return (long) pieces * SHARED_BYTES;
  }

  /** Each rank adds up one part of the elements, then all take the parts of the others. */
  private void pieceByMessages(MemorySegment piece, int elementBytes) {
    int elements = Math.toIntExact(piece.byteSize() / elementBytes);
    int[] counts = new int[size];
    int[] starts = new int[size];
    for (int i = 0; i < size; i++) {
      starts[i] = part(elements, i) * elementBytes;
      counts[i] = part(elements, i + 1) * elementBytes - starts[i];
    }
    int own = counts[rank];
    int[] countsTo = new int[size];
    int[] startsTo = new int[size];
    for (int i = 0; i < size; i++) {
      // A rank's own part stays where it is.
      countsTo[i] = i == rank ? 0 : own;
      startsTo[i] = i * own;
    }
    int[] countsFrom = counts.clone();
    countsFrom[rank] = 0;
    MemorySegment received = scratch((long) size * own);
    exchange("mean", () -> mpi.allToAll(piece, countsFrom, starts, received, countsTo, startsTo));
    MemorySegment mine = piece.asSlice(starts[rank], own);
    MemorySegment[] parts = new MemorySegment[size];
    for (int i = 0; i < size; i++) {
      parts[i] = i == rank ? mine : received.asSlice(startsTo[i], own);
    }
    sum.mean(parts, mine, elementBytes);
    exchange("mean", () -> mpi.allGather(piece, counts, starts));
  }

  /** Where the part of a rank begins. */
  private int part(int elements, int rank) {
    return (int) ((long) elements * rank / size);
  }

  @Override
  public void broadcast(MemorySegment bytes, int root) {
    if (root < 0 || root >= size) {
      throw new IllegalArgumentException("there is no rank " + root + " among " + size);
    }
    requireNative(bytes);
    require();
    broadcast("broadcast", bytes, root);
  }

  private void broadcast(String what, MemorySegment bytes, int root) {
    for (long at = 0; at < bytes.byteSize(); at += BROADCAST_BYTES) {
      MemorySegment piece = bytes.asSlice(at, Math.min(BROADCAST_BYTES, bytes.byteSize() - at));
      exchange(what, () -> mpi.broadcast(piece, root));
    }
  }

  @Override
  public List<byte[]> gather(byte[] bytes) {
    require();
    // What a failed exchange was given must stay, so this is closed after success alone.
    Arena memory = Arena.ofConfined();
    int[] counts = new int[size];
    int[] starts = new int[size];
    Arrays.fill(counts, Integer.BYTES);
    Arrays.setAll(starts, i -> i * Integer.BYTES);
    MemorySegment lengths = memory.allocate(JAVA_INT, size);
    lengths.setAtIndex(JAVA_INT, rank, bytes.length);
    exchange("gather", () -> mpi.allGather(lengths, counts, starts));
    List<byte[]> result = new ArrayList<>();
    for (int i = 0; i < size; i++) {
      MemorySegment text = memory.allocate(lengths.getAtIndex(JAVA_INT, i));
      if (i == rank) {
        MemorySegment.copy(bytes, 0, text, JAVA_BYTE, 0, bytes.length);
      }
      broadcast("gather", text, i);
      result.add(text.toArray(JAVA_BYTE));
    }
    memory.close();
    return result;
  }

  @Override
  public void barrier() {
    require();
    exchange("barrier", mpi::barrier);
  }

  @Override
  public void finish() {
    require();
    // The others may still have work to do, and the launcher knows if they are gone.
    exchange("finish", mpi::barrier, () -> FOR_EVER);
    finished = true;
    try {
      mpi.close();
    } catch (ForeignException e) {
      throw failed(RankFailure.of("MPI did not end in good order", this, e));
    }
  }

  @Override
  public void close() {
    if (!closed) {
      requireThread();
      closed = true;
      if (finished) {
        arena.close();
      }
    }
  }

  private void exchange(String what, Supplier<MpiRequest> start) {
    exchange(what, start, patience);
  }

  private void exchange(String what, Supplier<MpiRequest> start, Supplier<Duration> limit) {
    try {
      MpiRequest request = start.get();
      if (!RankWait.until(request::done, limit)) {
        throw failed(RankFailure.noAnswer(what, limit.get(), this));
      }
    } catch (ForeignException e) {
      throw failed(
          RankFailure.of(
              "the exchange with other ranks failed in " + what + ": " + e.getMessage(), this, e));
    }
  }

  private RankFailure failed(RankFailure why) {
    failure = why;
    return why;
  }

  private void require() {
    requireThread();
    if (failure != null) {
      throw new RankFailure(failure.getMessage(), failure);
    }
    if (finished || closed) {
      throw new IllegalStateException("this rank has left the others");
    }
  }

  private void requireThread() {
    if (Thread.currentThread() != owner) {
      throw new IllegalStateException(
          "ranks exchange on the thread that met them, " + owner.getName());
    }
  }

  private MemorySegment scratch(long bytes) {
    if (scratch.byteSize() < bytes) {
      scratch = arena.allocate(bytes, ALIGNMENT);
    }
    return scratch;
  }

  private static void requireElements(MemorySegment elements, int elementBytes) {
    if (elementBytes != Float.BYTES && elementBytes != Double.BYTES) {
      throw new IllegalArgumentException("elements have 4 or 8 bytes, not " + elementBytes);
    }
    if (elements.byteSize() % elementBytes != 0) {
      throw new IllegalArgumentException(
          elements.byteSize() + " bytes are no whole number of elements of " + elementBytes);
    }
    requireNative(elements);
  }

  private static void requireNative(MemorySegment bytes) {
    if (!bytes.isNative()) {
      throw new IllegalArgumentException("ranks exchange memory outside Java's heap alone");
    }
  }
}
