package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.ControlBlock;
import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.plan.Schedule;
import io.fbnet.engine.plan.Sections;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * A graph compiled for one device: memory planned and kernels prepared once, run many times. Runs
 * after the first allocate nothing.
 */
public final class Program implements AutoCloseable {
  private final Backend backend;
  private final Graph graph;
  private final ParameterStore store;
  private final GraphCompiler compiler;
  private final ControlBlock controlBlock;
  private final Map<Value, MemorySegment> memory = new HashMap<>();
  private final Map<String, Value> inputs = new LinkedHashMap<>();
  private final Map<String, Value> controls = new LinkedHashMap<>();
  private final Map<Value, MemorySegment> controlHosts = new HashMap<>();
  private final List<MemorySegment> owned = new ArrayList<>();
  private final Sections sections;
  private final int[] alternatives;
  private final List<List<Step>> steps;
  private final List<List<Kernel>> kernels = new ArrayList<>();
  private final Intermediates intermediates;
  private final List<Launch> launches;
  private final List<Kernel> whole;
  private boolean controlsChanged = true;
  private boolean closed;

  private Program(Backend backend, Graph graph, ParameterStore store, boolean fixedParameters) {
    this.backend = backend;
    this.graph = graph;
    this.store = store;
    backend.confinement().require();
    store.requireOn(backend);
    compiler = backend.compiler(graph, fixedParameters);
    sections = Sections.of(graph, Schedule.sinkCandidateGradients(graph.ops()));
    alternatives = sections.alternatives();
    steps =
        compiler.steps(
            sections.sections().stream().map(Sections.Section::ops).toList(), sections.kept());
    intermediates = Intermediates.of(graph, sections, steps, compiler::bytes);
    try {
      controlBlock = backend.controls(controlsOf(graph));
      placeStored(store);
      placeIntermediates();
      for (List<Step> section : steps) {
        List<Kernel> prepared = new ArrayList<>();
        kernels.add(prepared);
        for (Step step : section) {
          prepared.add(step.kernel().apply(this::memoryOf));
        }
      }
      whole = compiler.whole(kernels);
      launches = compiler.launches();
    } catch (OutOfDeviceMemory e) {
      OutOfDeviceMemory whole = withPlan(e);
      close();
      throw whole;
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /**
   * Compiles a graph.
   *
   * @param backend the device
   * @param graph the step
   * @param store holds every parameter of the graph, on the same device; it outlives the program
   * @return the step, ready to run
   * @throws IllegalArgumentException where the store lacks one of the graph's parameters, or the
   *     graph updates a set of which it declares only a part
   * @throws OutOfDeviceMemory where the plan does not fit the device
   */
  public static Program compile(Backend backend, Graph graph, ParameterStore store) {
    return new Program(backend, graph, store, false);
  }

  /**
   * Compiles a graph whose parameters do not change after its first run: copies of them in the
   * device's formats are kept. For inference.
   *
   * @param backend the device
   * @param graph the step
   * @param store holds every parameter of the graph, on the same device; it outlives the program
   * @return the step, ready to run
   * @throws IllegalArgumentException as {@link #compile} does
   * @throws OutOfDeviceMemory where the plan does not fit the device
   */
  public static Program compileFixed(Backend backend, Graph graph, ParameterStore store) {
    return new Program(backend, graph, store, true);
  }

  private OutOfDeviceMemory withPlan(OutOfDeviceMemory e) {
    return e.during(neededBytes(), heldBytes(), graph.batch());
  }

  /** Runs something that may take memory when it is first done; says what the step plans. */
  private <T> T planned(Supplier<T> work) {
    requireOpen();
    try {
      return work.get();
    } catch (OutOfDeviceMemory e) {
      throw withPlan(e);
    }
  }

  private void planned(Runnable work) {
    planned(
        () -> {
          work.run();
          return null;
        });
  }

  /** What the step will hold at least: inputs, intermediates, and workspace got so far. */
  private long neededBytes() {
    long inputBytes =
        graph.storage().entrySet().stream()
            .filter(e -> e.getValue() instanceof Storage.Input)
            .mapToLong(e -> compiler.bytes(e.getKey()))
            .sum();
    return inputBytes + intermediates.arenaBytes() + compiler.workspaceBytes();
  }

  private long heldBytes() {
    return owned.stream().mapToLong(MemorySegment::byteSize).sum() + compiler.workspaceBytes();
  }

  private static int controlsOf(Graph graph) {
    return (int)
        graph.storage().values().stream().filter(Storage.Control.class::isInstance).count();
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
              long at = (long) controls.size() * ControlBlock.SCALAR_BYTES;
              controls.put(control.name(), value);
              controlHosts.put(value, controlBlock.host().asSlice(at, ControlBlock.SCALAR_BYTES));
              yield controlBlock.device().asSlice(at, ControlBlock.SCALAR_BYTES);
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
          String.format(
              Locale.ROOT,
              "%s of the graph does not cover parameter set %s of %d elements",
              value,
              flat.set(),
              size));
    }
    return store.buffer(flat.set(), flat.buffer());
  }

  private MemorySegment own(long bytes) {
    MemorySegment segment = backend.allocate(bytes);
    owned.add(segment);
    return segment;
  }

  private void placeIntermediates() {
    MemorySegment arena = own(intermediates.arenaBytes());
    for (int i = 0; i < intermediates.values().size(); i++) {
      memory.put(
          intermediates.values().get(i),
          arena.asSlice(intermediates.plan().offset(i), intermediates.lifetimes().get(i).bytes()));
    }
  }

  /** Where a value lies on the device. */
  MemorySegment memoryOf(Value value) {
    MemorySegment where = memory.get(sections.place(value));
    if (where == null) {
      throw new IllegalArgumentException(value + " is read before anything writes it");
    }
    return where;
  }

  /**
   * Copies an input to the device.
   *
   * @param input its name
   * @param host its elements, row-major, of its type; free again when this returns
   * @throws IllegalArgumentException where the program has no such input, or the memory is too
   *     small
   * @throws IllegalStateException where program, parameters, back end or memory are closed, or on
   *     another thread
   */
  public void write(String input, MemorySegment host) {
    Value value = input(input, host);
    planned(() -> compiler.upload(value, host, memoryOf(value)));
  }

  /**
   * Copies an input to the device when the device comes to it. From memory of {@link
   * Backend#hostMemory} this costs the host nothing.
   *
   * @param input its name
   * @param host its elements, row-major, of its type; to be left as it is until results of a run
   *     that follows have arrived, or the back end was synchronised
   * @throws IllegalArgumentException where the program has no such input, the memory is too small,
   *     or it lies where the device cannot reach it
   * @throws IllegalStateException as {@link #write} does
   */
  public void lend(String input, MemorySegment host) {
    Value value = input(input, host);
    planned(() -> compiler.uploadLent(value, host, memoryOf(value)));
  }

  private Value input(String name, MemorySegment host) {
    requireOpen();
    Value value = find(inputs, name, "input");
    HostMemory.requireReadable(host, value.shape().elements() * value.type().bytes());
    return value;
  }

  /**
   * Sets an f32 of the control block, for the runs that follow.
   *
   * @param control its name
   * @param value rounded to f32
   * @throws IllegalArgumentException where the program has no such control, or of another type
   */
  public void set(String control, double value) {
    requireOpen();
    Value v = find(controls, control, "control");
    requireType(v, Type.F32);
    controlHosts.get(v).set(JAVA_FLOAT, 0, (float) value);
    controlsChanged = true;
  }

  /**
   * Sets a 64-bit integer of the control block, for the runs that follow.
   *
   * @param control its name
   * @param value all 64 bits of it
   * @throws IllegalArgumentException where the program has no such control, or of another type
   */
  public void set(String control, long value) {
    requireOpen();
    Value v = find(controls, control, "control");
    requireType(v, Type.I64);
    controlHosts.get(v).set(JAVA_LONG, 0, value);
    controlsChanged = true;
  }

  private static void requireType(Value v, Type type) {
    if (v.type() != type) {
      throw new IllegalArgumentException(v.name() + " is of type " + v.type() + ", not " + type);
    }
  }

  /**
   * Runs the whole step, or enqueues it where the device works beside the host.
   *
   * @throws IllegalStateException where the graph has choices
   */
  public void run() {
    requireNoChoices();
    planned(
        () -> {
          pushControls();
          whole.forEach(Kernel::launch);
        });
  }

  /**
   * Runs one phase of the step with one alternative of every choice.
   *
   * @param phase its name; {@link Op.Phase#FIRST} where the graph has but one
   * @param path the alternative of each choice; -1 leaves all of a choice out
   * @throws IllegalArgumentException where there is no such phase, or no such alternative
   */
  public void run(String phase, int[] path) {
    int number = sections.phases().indexOf(phase);
    if (number < 0) {
      throw new IllegalArgumentException(
          "the program has no phase '" + phase + "', it has " + sections.phases());
    }
    requirePath(path);
    planned(
        () -> {
          pushControls();
          for (int s = 0; s < whole.size(); s++) {
            Sections.Section section = sections.sections().get(s);
            if (section.phase() == number
                && (section.choice() == Sections.ALWAYS
                    || path[section.choice()] == section.alternative())) {
              whole.get(s).launch();
            }
          }
        });
  }

  private void requirePath(int[] path) {
    if (path.length != alternatives.length) {
      throw new IllegalArgumentException(
          "a path through "
              + alternatives.length
              + " choices names as many alternatives, not "
              + path.length);
    }
    for (int c = 0; c < path.length; c++) {
      if (path[c] < -1 || path[c] >= alternatives[c]) {
        throw new IllegalArgumentException(
            "choice " + c + " has " + alternatives[c] + " alternatives, and none is " + path[c]);
      }
    }
  }

  private void requireNoChoices() {
    if (alternatives.length > 0) {
      throw new IllegalStateException(
          "the step has " + alternatives.length + " choices: a run must say which path it takes");
    }
  }

  private void pushControls() {
    if (controlsChanged) {
      controlBlock.push();
      controlsChanged = false;
    }
  }

  private void requireOpen() {
    backend.confinement().require();
    if (closed) {
      throw new IllegalStateException("the program is closed");
    }
    if (store.isClosed()) {
      throw new IllegalStateException("the program's parameters are closed");
    }
  }

  /**
   * {@return an output's elements, row-major; waits for the step}
   *
   * @param output its name
   * @throws IllegalArgumentException where the program has no such output
   */
  public float[] read(String output) {
    return readLater(output).await()[0];
  }

  /**
   * {@return the first element of an output; waits for the step}
   *
   * @param output its name
   * @throws IllegalArgumentException where the program has no such output
   */
  public float scalar(String output) {
    return read(output)[0];
  }

  /**
   * Begins to copy outputs as the last run left them, and does not wait. Later runs do not change
   * what {@link Readback#await} gives.
   *
   * @param outputs their names
   * @return their elements, once they have arrived
   * @throws IllegalArgumentException where the program has no such output
   */
  public Readback readLater(String... outputs) {
    List<Value> values = new ArrayList<>();
    for (String output : outputs) {
      values.add(find(graph.outputs(), output, "output"));
    }
    return planned(() -> compiler.read(values, this::memoryOf));
  }

  /**
   * Times the step by the device's own means.
   *
   * @param passes how often it runs, from 1 up
   * @return milliseconds, one figure a sample; a device may spread {@code passes} over fewer
   * @throws IllegalStateException where the graph has choices
   */
  public double[] time(int passes) {
    requireNoChoices();
    if (passes < 1) {
      throw new IllegalArgumentException("one pass or more, not " + passes);
    }
    return planned(
        () -> {
          pushControls();
          return compiler.time(kernels.stream().flatMap(List::stream).toList(), passes);
        });
  }

  private static Value find(Map<String, Value> among, String name, String kind) {
    Value value = among.get(name);
    if (value == null) {
      throw new IllegalArgumentException(
          "the program has no " + kind + " " + name + ", it has " + among.keySet());
    }
    return value;
  }

  /** What the device carries out, in order. */
  List<Step> steps() {
    return steps.stream().flatMap(List::stream).toList();
  }

  /** {@return the graph that was compiled} */
  public Graph graph() {
    return graph;
  }

  /** {@return bytes of the arena that the intermediates share} */
  public long plannedBytes() {
    return intermediates.plan().bytes();
  }

  /** {@return bytes of every value that the graph's operations write, gradients included} */
  public long naiveBytes() {
    return graph.ops().stream()
        .flatMap(op -> op.outputs().stream())
        .filter(value -> !graph.storage().containsKey(value))
        .filter(value -> sections.place(value).equals(value))
        .mapToLong(compiler::bytes)
        .sum();
  }

  /**
   * {@return bytes that a run must move at least: what each thing that the device carries out in
   * one go reads and writes, once}
   */
  public long movedBytes() {
    return steps().stream()
        .flatMap(step -> Stream.concat(step.inputs().stream(), step.outputs().stream()))
        .mapToLong(compiler::bytes)
        .sum();
  }

  /**
   * {@return kernels and library functions that a run has the device carry out, in order, uploads
   * and downloads aside; none on the host}
   */
  public List<Launch> launches() {
    return launches;
  }

  /** {@return how many of them there are} */
  public int calls() {
    return launches.size();
  }

  /** {@return bytes that kernels hold beside the values} */
  public long workspaceBytes() {
    return compiler.workspaceBytes();
  }

  /** {@return kernels that run by an implementation known to be slow, one sentence each} */
  public List<String> slowKernels() {
    return compiler.slowKernels();
  }

  @Override
  public void close() {
    backend.confinement().requireThread();
    if (!closed) {
      closed = true;
      if (backend.confinement().isClosed()) {
        // What kernels hold belongs to libraries that were let go with the back end.
        return;
      }
      if (whole != null) {
        whole.forEach(Kernel::close);
      }
      kernels.reversed().forEach(section -> section.reversed().forEach(Kernel::close));
      compiler.close();
      owned.reversed().forEach(backend::release);
      if (controlBlock != null) {
        controlBlock.close();
      }
    }
  }
}
