package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.plan.MemoryPlan;
import io.fbnet.engine.plan.Schedule;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A graph compiled for one device: memory planned and kernels prepared once, run many times. A run
 * allocates nothing.
 */
public final class Program implements AutoCloseable {
  private static final long CONTROL_BYTES = 8;

  private final Backend backend;
  private final Graph graph;
  private final GraphCompiler compiler;
  private final Arena controlArena = Arena.ofShared();
  private final Map<Value, MemorySegment> memory = new HashMap<>();
  private final Map<String, Value> inputs = new LinkedHashMap<>();
  private final Map<String, Value> controls = new LinkedHashMap<>();
  private final List<MemorySegment> owned = new ArrayList<>();
  private final List<Kernel> kernels = new ArrayList<>();
  private final MemoryPlan plan;
  private boolean closed;

  private Program(Backend backend, Graph graph, ParameterStore store, boolean fixedParameters) {
    this.backend = backend;
    this.graph = graph;
    compiler = backend.compiler(graph, fixedParameters);
    try {
      placeStored(store);
      List<Op> ops = Schedule.sinkCandidateGradients(graph.ops());
      plan = placeIntermediates(ops);
      for (Op op : ops) {
        kernels.add(compiler.prepare(op, this::memoryOf));
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /**
   * Compiles a graph.
   *
   * @throws IllegalArgumentException where the store lacks one of the graph's parameters, or the
   *     graph updates a set of which it declares only a part
   * @throws io.fbnet.engine.backend.OutOfDeviceMemory where the plan does not fit the device
   */
  public static Program compile(Backend backend, Graph graph, ParameterStore store) {
    return new Program(backend, graph, store, false);
  }

  /**
   * Compiles a graph whose parameters do not change after its first run: copies of them in the
   * device's formats are kept. For inference.
   */
  public static Program compileFixed(Backend backend, Graph graph, ParameterStore store) {
    return new Program(backend, graph, store, true);
  }

  private void placeStored(ParameterStore store) {
    long element = backend.elementBytes();
    for (Map.Entry<Value, Storage> entry : graph.storage().entrySet()) {
      Value value = entry.getKey();
      MemorySegment where =
          switch (entry.getValue()) {
            case Storage.Input input -> {
              inputs.put(input.name(), value);
              yield own(compiler.bytes(value));
            }
            case Storage.Control control -> {
              controls.put(control.name(), value);
              yield controlArena.allocate(CONTROL_BYTES, CONTROL_BYTES);
            }
            case Storage.Parameter p ->
                slice(store, p.set(), Storage.Flat.VALUES, p.name(), value, element);
            case Storage.Gradient g ->
                slice(store, g.set(), Storage.Flat.GRADIENTS, g.name(), value, element);
            case Storage.Flat flat -> whole(store, flat, value);
          };
      memory.put(value, where);
    }
  }

  private static MemorySegment slice(
      ParameterStore store, String set, String buffer, String name, Value value, long element) {
    ParameterLayout.Entry entry = store.layout(set).find(name, value.shape());
    return store
        .buffer(set, buffer)
        .asSlice(entry.offset() * element, value.shape().elements() * element);
  }

  private static MemorySegment whole(ParameterStore store, Storage.Flat flat, Value value) {
    long size = store.layout(flat.set()).size();
    if (size != value.shape().elements()) {
      throw new IllegalArgumentException(
          "%s of the graph does not cover parameter set %s of %d elements"
              .formatted(value, flat.set(), size));
    }
    return store.buffer(flat.set(), flat.buffer());
  }

  private MemorySegment own(long bytes) {
    MemorySegment segment = backend.allocate(bytes);
    owned.add(segment);
    return segment;
  }

  private MemoryPlan placeIntermediates(List<Op> ops) {
    Map<Value, int[]> spans = new LinkedHashMap<>();
    for (int i = 0; i < ops.size(); i++) {
      for (Value v : ops.get(i).outputs()) {
        int at = i;
        spans.computeIfAbsent(v, key -> new int[] {at, at})[1] = i;
      }
      for (Value v : ops.get(i).inputs()) {
        if (spans.containsKey(v)) {
          spans.get(v)[1] = i;
        }
      }
    }
    for (Value output : graph.outputs().values()) {
      if (spans.containsKey(output)) {
        spans.get(output)[1] = ops.size();
      }
    }
    spans.keySet().removeAll(graph.storage().keySet());
    List<Value> values = List.copyOf(spans.keySet());
    List<MemoryPlan.Lifetime> lifetimes = new ArrayList<>();
    for (Value v : values) {
      int[] span = spans.get(v);
      lifetimes.add(new MemoryPlan.Lifetime(span[0], span[1], compiler.bytes(v)));
    }
    MemoryPlan result = MemoryPlan.of(lifetimes);
    MemorySegment arena = own(Math.max(MemoryPlan.ALIGNMENT, result.bytes()));
    for (int i = 0; i < values.size(); i++) {
      memory.put(values.get(i), arena.asSlice(result.offset(i), lifetimes.get(i).bytes()));
    }
    return result;
  }

  /** Where a value lies on the device. */
  MemorySegment memoryOf(Value value) {
    MemorySegment where = memory.get(value);
    if (where == null) {
      throw new IllegalArgumentException(value + " is read before anything writes it");
    }
    return where;
  }

  /** Copies an input from row-major host memory of its type. */
  public void write(String input, MemorySegment host) {
    Value value = find(inputs, input, "input");
    compiler.upload(value, host, memoryOf(value));
  }

  /** Sets an f32 of the control block. */
  public void set(String control, double value) {
    Value v = find(controls, control, "control");
    requireType(v, Type.F32);
    memoryOf(v).set(JAVA_FLOAT, 0, (float) value);
  }

  /** Sets a 64-bit integer of the control block. */
  public void set(String control, long value) {
    Value v = find(controls, control, "control");
    requireType(v, Type.I64);
    memoryOf(v).set(JAVA_LONG, 0, value);
  }

  private static void requireType(Value v, Type type) {
    if (v.type() != type) {
      throw new IllegalArgumentException(v.name() + " is of type " + v.type() + ", not " + type);
    }
  }

  /** Runs the step. */
  public void run() {
    for (Kernel kernel : kernels) {
      kernel.launch();
    }
  }

  /** An output's elements, row-major. */
  public float[] read(String output) {
    return readValue(find(graph.outputs(), output, "output"));
  }

  /** The first element of an output. */
  public float scalar(String output) {
    return read(output)[0];
  }

  float[] readValue(Value value) {
    backend.synchronise();
    try (Arena arena = Arena.ofConfined()) {
      long n = value.shape().elements();
      MemorySegment host = arena.allocate(n * Float.BYTES, 64);
      compiler.download(value, memoryOf(value), host);
      return host.toArray(JAVA_FLOAT);
    }
  }

  private static Value find(Map<String, Value> among, String name, String kind) {
    Value value = among.get(name);
    if (value == null) {
      throw new IllegalArgumentException(
          "the program has no " + kind + " " + name + ", it has " + among.keySet());
    }
    return value;
  }

  /** Whether the program has an input of this name. */
  public boolean hasInput(String name) {
    return inputs.containsKey(name);
  }

  /** The graph that was compiled. */
  public Graph graph() {
    return graph;
  }

  /** Bytes of the arena that the intermediates share. */
  public long plannedBytes() {
    return plan.bytes();
  }

  /** Bytes that the intermediates would take without sharing. */
  public long naiveBytes() {
    return plan.naiveBytes();
  }

  /** Bytes that kernels hold beside the values. */
  public long workspaceBytes() {
    return compiler.workspaceBytes();
  }

  /** Kernels that run by an implementation known to be slow, one sentence each. */
  public List<String> slowKernels() {
    return compiler.slowKernels();
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      kernels.reversed().forEach(Kernel::close);
      compiler.close();
      owned.reversed().forEach(backend::release);
      controlArena.close();
    }
  }
}
