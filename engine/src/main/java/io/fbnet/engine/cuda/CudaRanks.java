package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankFailure;
import io.fbnet.engine.backend.RankWait;
import io.fbnet.foreign.Availability;
import io.fbnet.foreign.CudaDevice;
import io.fbnet.foreign.CudaDevice.Attribute;
import io.fbnet.foreign.CudaEvent;
import io.fbnet.foreign.CudaGraph;
import io.fbnet.foreign.CudaStream;
import io.fbnet.foreign.ForeignException;
import io.fbnet.foreign.Nccl;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * A device among those of other ranks: exchanges between them by NCCL where all of them can, and
 * waits of the host for a stream, which may itself wait for a rank that is gone.
 */
final class CudaRanks implements AutoCloseable {
  /** How long a stream that is given up may still take. */
  private static final Duration CLOSING = Duration.ofSeconds(10);

  /** Another machine, or the same after a restart, has another. */
  private static final Path MACHINE = Path.of("/proc/sys/kernel/random/boot_id");

  /** What ranks that are about to meet here say first. */
  private static final String MEETING = "GPUs";

  private final Communicator ranks;
  private final CudaDevice device;
  private final Consumer<String> notes;
  private boolean joined;
  private boolean saidApart;
  private Nccl nccl;
  private RankFailure failure;

  /** What runs beside the step: its stream, and events of where it left and where it came back. */
  private CudaStream beside;

  private CudaEvent left;
  private CudaEvent back;

  /** Whether something was enqueued beside the step since it came back. */
  private boolean away;

  /** Graphs that may hold exchanges: NCCL ends only after them. */
  private final List<CudaGraph> graphs = new ArrayList<>();

  /** Has not met the others yet. */
  CudaRanks(Communicator ranks, CudaDevice device, Consumer<String> notes) {
    this.ranks = ranks;
    this.device = device;
    this.notes = notes;
  }

  /**
   * Meets the others, once: before the first step that exchanges anything, when all are known to
   * compute alike. All ranks come to the same end, NCCL or the way through the host, which says
   * why.
   */
  void join() {
    if (joined || ranks.size() == 1) {
      return;
    }
    joined = true;
    byte[] id = new byte[Nccl.ID_BYTES];
    String obstacle = obstacle(said(ownObstacle(id), place()));
    if (obstacle.isEmpty()) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_BYTE, id);
        ranks.broadcast(bytes, 0);
        obstacle = join(bytes.toArray(ValueLayout.JAVA_BYTE));
      }
    }
    if (!obstacle.isEmpty() && ranks.rank() == 0) {
      notes.accept(
          "GPUs exchange by way of the host, which is slower, since they cannot by NCCL: "
              + obstacle);
    }
  }

  /** Joins a communicator of NCCL of one rank, which exchanges nothing but is asked as any is. */
  void joinAlone() {
    joined = true;
    nccl = Nccl.join(Nccl.uniqueId(), 1, 0);
  }

  private String join(byte[] id) {
    String own = "";
    try {
      nccl = Nccl.join(id, ranks.size(), ranks.rank());
    } catch (ForeignException e) {
      own = e.getMessage();
    }
    String obstacle = obstacle(said(own, place()));
    if (!obstacle.isEmpty() && nccl != null) {
      nccl.abort();
      nccl = null;
    }
    return obstacle;
  }

  /** What keeps this rank from it, empty for nothing; rank 0 makes the id that all need. */
  private String ownObstacle(byte[] id) {
    Availability library = Nccl.availability();
    if (!library.found()) {
      return "NCCL was not found; " + library.remedy();
    }
    if (ranks.rank() == 0) {
      try {
        System.arraycopy(Nccl.uniqueId(), 0, id, 0, id.length);
      } catch (ForeignException e) {
        return e.getMessage();
      }
    }
    return "";
  }

  /** Where the device is, as NCCL tells devices apart: parts of one GPU are one. */
  private String place() {
    String machine;
    try {
      machine = Files.readString(MACHINE).strip();
    } catch (IOException e) {
      machine = "";
    }
    return String.format(
        Locale.ROOT,
        "%s %x:%x:%x",
        machine,
        device.attribute(Attribute.PCI_DOMAIN_ID),
        device.attribute(Attribute.PCI_BUS_ID),
        device.attribute(Attribute.PCI_DEVICE_ID));
  }

  /** What each rank says, an obstacle and its place. */
  private List<String[]> said(String obstacle, String place) {
    String own = MEETING + "\n" + place + "\n" + obstacle.replaceAll("\\s+", " ");
    List<String[]> all = new ArrayList<>();
    for (byte[] each : ranks.gather(own.getBytes(StandardCharsets.UTF_8))) {
      String text = new String(each, StandardCharsets.UTF_8);
      String[] lines = text.split("\n", -1);
      if (lines.length != 3 || !lines[0].equals(MEETING)) {
        throw RankFailure.of(
            "rank " + all.size() + " did not come to where GPUs meet: " + text, ranks, null);
      }
      all.add(lines);
    }
    return all;
  }

  /** The first thing that stands in the way, equal on all ranks; empty for none. */
  private static String obstacle(List<String[]> said) {
    Map<String, Integer> places = new HashMap<>();
    String shared = "";
    for (int rank = 0; rank < said.size(); rank++) {
      if (!said.get(rank)[2].isEmpty()) {
        return "on rank " + rank + ", " + said.get(rank)[2];
      }
      Integer other = places.putIfAbsent(said.get(rank)[1], rank);
      if (other != null && shared.isEmpty()) {
        shared = "ranks " + other + " and " + rank + " share a GPU";
      }
    }
    return shared;
  }

  /** Says once that norms over ranks are no part of a bank. */
  void sayApart() {
    if (!saidApart && ranks.rank() == 0) {
      notes.accept(
          "batch norms are over the images of all processes, so a layer's candidates run one after"
              + " another on the GPU, not side by side, which is slower");
    }
    saidApart = true;
  }

  /** Whether exchanges run on the device's stream. */
  boolean onDevice() {
    return nccl != null;
  }

  /**
   * Enqueues that values of f32 are replaced by their means over the ranks beside what follows, up
   * to the next {@link #mean}.
   */
  void meanBeside(CudaStream stream, List<MemorySegment> xs) {
    if (left == null) {
      left = CudaEvent.create(false);
    }
    if (back == null) {
      back = CudaEvent.create(false);
    }
    if (beside == null) {
      beside = CudaStream.create();
    }
    away = true;
    stream.record(left);
    beside.waitFor(left);
    enqueue(beside, xs, xs, Float.BYTES);
  }

  /**
   * Enqueues that values are replaced by their means over the ranks, which is done before what
   * follows, as everything is that was enqueued beside. One thing follows the other on one stream,
   * since all ranks must come to NCCL in the same order.
   */
  void mean(CudaStream stream, List<MemorySegment> xs, List<MemorySegment> ys, int elementBytes) {
    if (away) {
      stream.record(left);
      beside.waitFor(left);
      enqueue(beside, xs, ys, elementBytes);
      beside.record(back);
      stream.waitFor(back);
      away = false;
    } else {
      enqueue(stream, xs, ys, elementBytes);
    }
  }

  private void enqueue(
      CudaStream stream, List<MemorySegment> xs, List<MemorySegment> ys, int elementBytes) {
    nccl.together(
        () -> {
          for (int i = 0; i < xs.size(); i++) {
            nccl.mean(stream, ys.get(i), xs.get(i), elementBytes);
          }
        });
  }

  /** Is told of a graph that may hold exchanges. */
  void hold(CudaGraph graph) {
    if (nccl != null) {
      graphs.add(graph);
    }
  }

  /** Is told that such a graph is closed. */
  void release(CudaGraph graph) {
    graphs.remove(graph);
  }

  /** Returns when a stream has done all that was enqueued. */
  void await(CudaStream stream) {
    await(stream::isDone, stream::synchronise);
  }

  /** Returns when a stream has passed an event. */
  void await(CudaEvent event) {
    await(event::isDone, event::synchronise);
  }

  private void await(BooleanSupplier done, Runnable wait) {
    if (nccl == null) {
      wait.run();
    } else if (!RankWait.until(well(done), ranks::patience)) {
      throw failed(RankFailure.noAnswer("a step on the GPU", ranks.patience(), ranks));
    }
  }

  /**
   * Asks whether the device still works; waits for nobody else.
   *
   * @throws ForeignException where it does not
   */
  void askDevice(CudaStream stream) {
    if (nccl == null || stream.isDone()) {
      device.synchronise();
    }
  }

  /** Asks NCCL too, which may know that there is nothing to wait for. */
  private BooleanSupplier well(BooleanSupplier done) {
    return () -> {
      boolean is = done.getAsBoolean();
      if (!is) {
        nccl.requireWell();
      }
      return is;
    };
  }

  /**
   * Returns when streams have done all that was enqueued, or never will: then what waits for other
   * ranks is ended.
   */
  void settle(CudaStream... streams) {
    Stream<CudaStream> all = Stream.concat(Arrays.stream(streams), Stream.ofNullable(beside));
    for (CudaStream stream : all.toList()) {
      if (nccl != null && failure == null) {
        try {
          if (!RankWait.until(well(stream::isDone), this::closing)) {
            failed(RankFailure.noAnswer("a step that is given up", closing(), ranks));
          }
        } catch (ForeignException e) {
          failed(e);
        }
      }
      stream.synchronise();
    }
  }

  private Duration closing() {
    Duration patience = ranks.patience();
    return patience.compareTo(CLOSING) < 0 ? patience : CLOSING;
  }

  /** Refuses everything after a failure: streams and graphs were ended with it. */
  void require() {
    if (failure != null) {
      throw new RankFailure(failure.getMessage(), failure);
    }
  }

  /** Whether an error is NCCL's own. */
  static boolean isOurs(ForeignException e) {
    return e.function().startsWith("nccl");
  }

  /** Ends what waits for other ranks, and gives what to say. */
  RankFailure failed(ForeignException e) {
    return failed(RankFailure.of("the exchange between GPUs failed: " + e.getMessage(), ranks, e));
  }

  private RankFailure failed(RankFailure why) {
    failure = why;
    try {
      end(true);
    } catch (ForeignException e) {
      why.addSuppressed(e);
    }
    return why;
  }

  private void end(boolean abort) {
    try {
      List.copyOf(graphs).forEach(CudaGraph::close);
      graphs.clear();
    } finally {
      if (abort) {
        nccl.abort();
      } else {
        nccl.close();
      }
    }
  }

  /** Leaves the others; the streams have settled, so this waits for nobody. */
  @Override
  public void close() {
    try (var _ = beside;
        var _ = left;
        var _ = back) {
      if (nccl != null && failure == null) {
        end(false);
      }
    }
  }
}
