package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Confinement;
import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * The CPU back end with every input and intermediate between sentinels, looked at after each
 * kernel. Intermediates start as sentinels too, so a kernel that leaves a part of its result to
 * chance, or does not keep the lanes beyond the last channel at zero, is found.
 */
public final class GuardedBackend implements Backend {
  /** A NaN of its own: read by mistake it shows in a result, overwritten it is missed. */
  public static final int SENTINEL = 0x7FC0BEEF;

  private static final long GUARD = 256;

  private final CpuBackend inner;

  public GuardedBackend(CpuBackend inner) {
    this.inner = inner;
  }

  @Override
  public Confinement confinement() {
    return inner.confinement();
  }

  @Override
  public GraphCompiler compiler(Graph graph, boolean fixedParameters) {
    return new Compiler(graph, new CpuCompiler(inner, graph, fixedParameters));
  }

  private final class Compiler implements GraphCompiler {
    private final Graph graph;
    private final CpuCompiler compiler;
    private final Arena arena = Arena.ofShared();
    private final Map<Value, MemorySegment> guarded = new LinkedHashMap<>();

    Compiler(Graph graph, CpuCompiler compiler) {
      this.graph = graph;
      this.compiler = compiler;
    }

    private MemorySegment place(Value value, MemorySegment otherwise) {
      Storage storage = graph.storage().get(value);
      if (storage != null && !(storage instanceof Storage.Input)) {
        return otherwise;
      }
      long bytes = bytes(value);
      MemorySegment whole =
          guarded.computeIfAbsent(
              value,
              v -> {
                MemorySegment s = arena.allocate(bytes + 2 * GUARD, GUARD);
                for (long i = 0; i < s.byteSize() / 4; i++) {
                  s.setAtIndex(JAVA_INT, i, SENTINEL);
                }
                // Bytes may end between two words.
                for (long i = 0; i < GUARD; i += 4) {
                  s.set(JAVA_INT_UNALIGNED, GUARD + bytes + i, SENTINEL);
                }
                if (storage != null) {
                  s.asSlice(GUARD, bytes).fill((byte) 0);
                }
                return s;
              });
      return whole.asSlice(GUARD, bytes);
    }

    private void inspect(List<Value> outputs) {
      guarded.forEach(
          (value, whole) -> {
            for (long i = 0; i < GUARD; i += 4) {
              if (whole.get(JAVA_INT, i) != SENTINEL
                  || whole.get(JAVA_INT_UNALIGNED, whole.byteSize() - GUARD + i) != SENTINEL) {
                throw new AssertionError("the step of " + outputs + " wrote beside " + value);
              }
            }
          });
      for (Value value : outputs) {
        MemorySegment whole = guarded.get(value);
        if (whole != null && compiler.blocked(value)) {
          inspectLanes(value, whole.asSlice(GUARD, bytes(value)));
        }
      }
    }

    private void inspectLanes(Value value, MemorySegment images) {
      ImageLayout layout = ImageLayout.of(value.shape(), inner.imageLoops());
      for (int n = 0; n < layout.batch(); n++) {
        for (int c = layout.channels(); c < layout.paddedChannels(); c++) {
          long row = (long) n * layout.blocks() + c / layout.lanes();
          for (long p = 0; p < layout.pixels(); p++) {
            long at = (row * layout.pixels() + p) * layout.lanes() + c % layout.lanes();
            float v =
                layout.elementBytes() == Short.BYTES
                    ? Bf16.widen(images.getAtIndex(JAVA_SHORT, at))
                    : images.getAtIndex(JAVA_FLOAT, at);
            if (v != 0) {
              throw new AssertionError(v + " was left in an empty lane of " + value);
            }
          }
        }
      }
    }

    @Override
    public long bytes(Value value) {
      return compiler.bytes(value);
    }

    @Override
    public List<List<Step>> steps(List<List<Op>> sections, Set<Value> kept) {
      return compiler.steps(sections, kept).stream()
          .map(steps -> steps.stream().map(this::guarded).toList())
          .toList();
    }

    private Step guarded(Step step) {
      return new Step(
          step.inputs(),
          step.outputs(),
          memory -> {
            Kernel kernel = step.kernel().apply(v -> place(v, memory.apply(v)));
            return new Kernel() {
              @Override
              public void launch() {
                kernel.launch();
                inspect(step.outputs());
              }

              @Override
              public void close() {
                kernel.close();
              }
            };
          });
    }

    @Override
    public Kernel prepare(Op op, Function<Value, MemorySegment> memory) {
      throw new UnsupportedOperationException("steps are prepared");
    }

    @Override
    public void upload(Value value, MemorySegment host, MemorySegment device) {
      compiler.upload(value, host, place(value, device));
    }

    @Override
    public void download(Value value, MemorySegment device, MemorySegment host) {
      compiler.download(value, place(value, device), host);
    }

    @Override
    public long workspaceBytes() {
      return compiler.workspaceBytes();
    }

    @Override
    public void close() {
      compiler.close();
      arena.close();
    }
  }

  @Override
  public String name() {
    return inner.name();
  }

  @Override
  public String device() {
    return inner.device();
  }

  @Override
  public Map<String, String> fingerprint() {
    return inner.fingerprint();
  }

  @Override
  public int elementBytes() {
    return inner.elementBytes();
  }

  @Override
  public MemorySegment allocate(long bytes) {
    return inner.allocate(bytes);
  }

  @Override
  public void release(MemorySegment memory) {
    inner.release(memory);
  }

  @Override
  public void copyIn(MemorySegment host, MemorySegment device, long count) {
    inner.copyIn(host, device, count);
  }

  @Override
  public void copyOut(MemorySegment device, MemorySegment host, long count) {
    inner.copyOut(device, host, count);
  }

  @Override
  public void synchronise() {
    inner.synchronise();
  }

  @Override
  public void close() {
    inner.close();
  }
}
