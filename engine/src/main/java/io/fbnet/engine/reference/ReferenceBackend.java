package io.fbnet.engine.reference;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Confinement;
import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.backend.RankMeans;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;

/** The back end that is right by being simple: row-major doubles on the Java heap, one thread. */
public final class ReferenceBackend implements Backend {
  private final Confinement confinement = new Confinement("reference");
  private final Communicator ranks;

  /** Holds nothing; any number may be open at once. */
  public ReferenceBackend() {
    this(Communicator.alone());
  }

  /**
   * One of several ranks.
   *
   * @param ranks whose means its operations take; to be closed by the caller, after this
   */
  public ReferenceBackend(Communicator ranks) {
    this.ranks = ranks;
  }

  @Override
  public Communicator communicator() {
    return ranks;
  }

  @Override
  public String name() {
    return "reference";
  }

  @Override
  public String device() {
    return "plain Java, double precision, one thread";
  }

  @Override
  public Map<String, String> fingerprint() {
    return Map.of("backend", "reference", "precision", "f64", "threads", "1");
  }

  @Override
  public int elementBytes() {
    return Double.BYTES;
  }

  @Override
  public Confinement confinement() {
    return confinement;
  }

  @Override
  public MemorySegment allocate(long bytes) {
    confinement.require();
    if (bytes < 0) {
      throw new IllegalArgumentException("no memory of " + bytes + " bytes");
    }
    try {
      return MemorySegment.ofArray(new double[Math.toIntExact((bytes + 7) / 8)]);
    } catch (ArithmeticException | OutOfMemoryError e) {
      throw new OutOfDeviceMemory(bytes, -1, "the Java heap (raise -Xmx)", e);
    }
  }

  @Override
  public void release(MemorySegment memory) {
    confinement.requireThread();
    Objects.requireNonNull(memory, "no memory");
    // The garbage collector takes it.
  }

  @Override
  public void copyIn(MemorySegment host, MemorySegment device, long count) {
    confinement.require();
    HostMemory.requireReadable(host, HostMemory.bytes(count, Float.BYTES));
    HostMemory.requireWritable(device, HostMemory.bytes(count, Double.BYTES));
    for (long i = 0; i < count; i++) {
      device.setAtIndex(JAVA_DOUBLE, i, host.getAtIndex(JAVA_FLOAT, i));
    }
  }

  @Override
  public void copyOut(MemorySegment device, MemorySegment host, long count) {
    confinement.require();
    HostMemory.requireReadable(device, HostMemory.bytes(count, Double.BYTES));
    HostMemory.requireWritable(host, HostMemory.bytes(count, Float.BYTES));
    for (long i = 0; i < count; i++) {
      host.setAtIndex(JAVA_FLOAT, i, (float) device.getAtIndex(JAVA_DOUBLE, i));
    }
  }

  @Override
  public GraphCompiler compiler(Graph graph, boolean fixedParameters) {
    confinement.require();
    return new Compiler(ranks);
  }

  @Override
  public void synchronise() {
    confinement.require();
    // Every launch returns when its work is done.
  }

  @Override
  public void close() {
    // Nothing is held outside the heap.
    boolean _ = confinement.close();
  }

  private static final class Compiler implements GraphCompiler {
    private final Communicator ranks;

    Compiler(Communicator ranks) {
      this.ranks = ranks;
    }

    @Override
    public long bytes(Value value) {
      int element = value.type() == Type.F32 ? Double.BYTES : value.type().bytes();
      return value.shape().elements() * element;
    }

    @Override
    public Kernel prepare(Op op, Function<Value, MemorySegment> memory) {
      Function<Value, Tensor> tensors = v -> new Tensor(v, memory.apply(v));
      if (op instanceof Op.MeanOverRanks means) {
        return RankMeans.kernel(
            ranks,
            means.xs().stream().map(memory).toList(),
            means.ys().stream().map(memory).toList(),
            Double.BYTES);
      }
      Kernel images = ReferenceImages.prepare(op, tensors, ranks);
      return images != null ? images : ReferenceVectors.prepare(op, tensors);
    }

    @Override
    public void upload(Value value, MemorySegment host, MemorySegment device) {
      long n = value.shape().elements();
      if (value.type() != Type.F32) {
        MemorySegment.copy(host, 0, device, 0, n * value.type().bytes());
        return;
      }
      for (long i = 0; i < n; i++) {
        device.setAtIndex(JAVA_DOUBLE, i, host.getAtIndex(JAVA_FLOAT, i));
      }
    }

    @Override
    public void download(Value value, MemorySegment device, MemorySegment host) {
      long n = value.shape().elements();
      if (value.type() != Type.F32) {
        MemorySegment.copy(device, 0, host, 0, n * value.type().bytes());
        return;
      }
      for (long i = 0; i < n; i++) {
        host.setAtIndex(JAVA_FLOAT, i, (float) device.getAtIndex(JAVA_DOUBLE, i));
      }
    }

    @Override
    public long workspaceBytes() {
      return 0;
    }

    @Override
    public void close() {
      // Kernels hold nothing.
    }
  }
}
