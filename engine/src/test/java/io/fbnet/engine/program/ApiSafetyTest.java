package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Confinement;
import io.fbnet.engine.backend.ControlBlock;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.backend.RankMeans;
import io.fbnet.engine.backend.RankWait;
import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.ranks.Ranks;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Whatever public methods are given, the process lives and no memory is overwritten: wrong use ends
 * in an exception with words. A public method that is neither called wrongly here nor among the
 * harmless fails the test.
 */
@SuppressWarnings("restricted") // memory that was freed is what is tested
class ApiSafetyTest {
  private static final int ROWS = 2;
  private static final int COLUMNS = 3;

  /** Classes and methods that no argument can make touch foreign memory, with the reason. */
  private static final Map<String, String> HARMLESS = new LinkedHashMap<>();

  static {
    String data = "data on the Java heap; what is wrong is refused when it is made";
    for (String name : List.of("graph", "plan", "random")) {
      HARMLESS.put("io.fbnet.engine." + name + ".*", data);
    }
    for (String name :
        List.of("DeviceFailure", "RankFailure", "OutOfDeviceMemory", "Precision", "Launch")) {
      HARMLESS.put("io.fbnet.engine.backend." + name + "*", data);
    }
    String side = "a back end's side of Program, which alone calls it and checks what it is given";
    for (String name : List.of("GraphCompiler", "Kernel", "Step", "Workspace")) {
      HARMLESS.put("io.fbnet.engine.backend." + name + "*", side);
    }
    HARMLESS.put("io.fbnet.engine.cuda.CudaOptions*", data);
    String words = "says what was known when it was made";
    for (String name :
        List.of(
            "Program.graph",
            "Program.plannedBytes",
            "Program.naiveBytes",
            "Program.movedBytes",
            "Program.launches",
            "Program.calls",
            "Program.workspaceBytes",
            "Program.slowKernels",
            "ParameterStore.sets",
            "ParameterStore.has",
            "ParameterStore.bytes",
            "Backend.name",
            "Backend.device",
            "Backend.fingerprint",
            "Backend.elementBytes",
            "Backend.confinement",
            "Backend.communicator",
            "Communicator.alone",
            "Communicator.byItself",
            "Communicator.rank",
            "Communicator.size",
            "Communicator.localRank",
            "Communicator.localSize",
            "Communicator.patience",
            "Ranks.library",
            "Ranks.several",
            "CpuBackend.availability",
            "CpuBackend.vectorModule",
            "CpuBackend.processor",
            "CpuBackend.multipliesBf16",
            "CpuBackend.liveAllocations",
            "CudaBackend.libraries",
            "CudaBackend.obstacle",
            "CudaBackend.isSoftware",
            "Readback.arrived",
            "Readback.of",
            "ControlBlock.host",
            "ControlBlock.device",
            "HostMemory.offHeap")) {
      HARMLESS.put(name, words);
    }
    for (String name : List.of("barrier", "finish", "close")) {
      HARMLESS.put(
          "Communicator." + name, "nobody is waited for; those of several see ranks.RanksTest");
    }
    HARMLESS.put("Backend.warmUp", "runs loops of its own on memory of its own");
    HARMLESS.put("CudaBackend.open", "takes what a device shows, or refuses; see CudaFailureTest");
  }

  /** What was called wrongly, by class and method. */
  private final Set<String> called = new TreeSet<>();

  private static Graph graph() {
    GraphBuilder b = new GraphBuilder();
    var x = b.input("x", Type.F32, ROWS, COLUMNS);
    var _ = b.control("rate", Type.F32);
    var _ = b.control("count", Type.I64);
    var w = b.parameter("weights", "w", true, new Initial.Normal(0.5), 4, COLUMNS);
    var bias = b.parameter("weights", "b", false, new Initial.Constant(0.25f), 4);
    b.output("y", b.linear(x, w, bias));
    return b.build();
  }

  private void wrong(String method, Executable... calls) {
    called.add(method);
    for (int i = 0; i < calls.length; i++) {
      String which = method + ", call " + i;
      RuntimeException e = assertThrows(RuntimeException.class, calls[i], which);
      assertTrue(
          e instanceof IllegalArgumentException
              || e instanceof IllegalStateException
              || e instanceof NullPointerException,
          () -> which + " ends in " + e);
      assertFalse(e.getMessage() == null || e.getMessage().isBlank(), which + " says nothing");
    }
  }

  /** The same on another thread. */
  private static Executable elsewhere(Executable call) {
    return () -> {
      List<Throwable> thrown = new ArrayList<>();
      Thread thread =
          Thread.ofPlatform()
              .start(
                  () -> {
                    try {
                      call.execute();
                    } catch (Throwable t) {
                      thrown.add(t);
                    }
                  });
      thread.join();
      for (Throwable t : thrown) {
        throw t;
      }
    };
  }

  private static MemorySegment input(Arena arena) {
    MemorySegment host = arena.allocate(ROWS * COLUMNS * 4L, 64);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
      host.setAtIndex(JAVA_FLOAT, i, i - 2.5f);
    }
    return host;
  }

  private static float[] run(Program program, MemorySegment host) {
    program.write("x", host);
    program.run();
    return program.read("y");
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu, 2 threads", "cuda"})
  void wrongUseEndsInWords(String device) {
    Graph graph = graph();
    try (Arena arena = Arena.ofConfined()) {
      // First, since opening the software device anew ends what was open on it.
      ends(graph, device, input(arena));
    }
    try (Backend backend = Devices.open(device);
        Backend other = new ReferenceBackend();
        Arena arena = Arena.ofConfined()) {
      MemorySegment host = input(arena);
      ParameterStore store = new ParameterStore(backend, graph.parameters());
      store.initialise(7);
      Program program = Program.compile(backend, graph, store);
      float[] right = run(program, host);

      programs(backend, other, graph, store, program, host);
      stores(backend, store);
      memory(backend, host);
      assertArrayEquals(right, run(program, host), "something was overwritten");

      program.close();
      store.close();
      closed(program, store, host);
      assertThrows(
          IllegalStateException.class, () -> Program.compile(backend, graph, store), "store");
    }
    opening();
    ranks();
    complete();
  }

  private static MemorySegment freed(long bytes) {
    try (Arena gone = Arena.ofConfined()) {
      return gone.allocate(bytes, 64);
    }
  }

  private void programs(
      Backend backend,
      Backend other,
      Graph graph,
      ParameterStore store,
      Program program,
      MemorySegment host) {
    ParameterStore foreign = new ParameterStore(other, graph.parameters());
    ParameterStore empty = new ParameterStore(backend, List.of());
    for (String method : List.of("Program.compile", "Program.compileFixed")) {
      boolean fixed = method.endsWith("Fixed");
      wrong(
          method,
          () -> compile(fixed, null, graph, store),
          () -> compile(fixed, backend, null, store),
          () -> compile(fixed, backend, graph, null),
          () -> compile(fixed, backend, graph, foreign),
          () -> compile(fixed, backend, graph, empty),
          elsewhere(() -> compile(fixed, backend, graph, store)));
    }
    MemorySegment small = host.asSlice(4);
    wrong(
        "Program.write",
        () -> program.write(null, host),
        () -> program.write("z", host),
        () -> program.write("y", host),
        () -> program.write("x", null),
        () -> program.write("x", small),
        () -> program.write("x", MemorySegment.NULL),
        () -> program.write("x", freed(ROWS * COLUMNS * 4L)),
        elsewhere(() -> program.write("x", host)));
    wrong(
        "Program.lend",
        () -> program.lend("z", host),
        () -> program.lend("x", null),
        () -> program.lend("x", small),
        () -> program.lend("x", freed(ROWS * COLUMNS * 4L)),
        elsewhere(() -> program.lend("x", host)));
    if (backend instanceof CudaBackend) {
      MemorySegment heap = MemorySegment.ofArray(new float[ROWS * COLUMNS]);
      wrong("Program.lend", () -> program.lend("x", heap));
    }
    wrong(
        "Program.set",
        () -> program.set("z", 1.0),
        () -> program.set(null, 1.0),
        () -> program.set("count", 1.0),
        () -> program.set("rate", 1L),
        elsewhere(() -> program.set("rate", 1.0)));
    wrong(
        "Program.run",
        elsewhere(program::run),
        elsewhere(() -> program.run("", new int[0])),
        () -> program.run("", new int[] {0}),
        () -> program.run("none", new int[0]));
    wrong(
        "Program.read",
        () -> program.read("z"),
        () -> program.read(null),
        () -> program.read("x"),
        elsewhere(() -> program.read("y")));
    wrong("Program.scalar", () -> program.scalar("z"), elsewhere(() -> program.scalar("y")));
    wrong(
        "Program.readLater",
        () -> program.readLater("y", "z"),
        () -> program.readLater((String[]) null),
        elsewhere(() -> program.readLater("y")));
    wrong(
        "Program.time",
        () -> program.time(0),
        () -> program.time(-1),
        elsewhere(() -> program.time(1)));
    wrong("Program.close", elsewhere(program::close));
  }

  private static void compile(boolean fixed, Backend on, Graph graph, ParameterStore store) {
    Program made =
        fixed ? Program.compileFixed(on, graph, store) : Program.compile(on, graph, store);
    made.close();
  }

  private void stores(Backend backend, ParameterStore store) {
    wrong("ParameterStore.initialise", elsewhere(() -> store.initialise(1)));
    wrong("ParameterStore.layout", () -> store.layout("z"), () -> store.layout(null));
    long bytes = store.layout("weights").size() * 4;
    MemorySegment small = Arena.ofAuto().allocate(bytes - 4, 64);
    MemorySegment good = Arena.ofAuto().allocate(bytes, 64);
    wrong(
        "ParameterStore.load",
        () -> store.load("z", "values", good),
        () -> store.load("weights", "values", small),
        () -> store.load("weights", "values", null),
        () -> store.load("weights", "values", freed(bytes)),
        elsewhere(() -> store.load("weights", "values", good)));
    wrong(
        "ParameterStore.save",
        () -> store.save("z", "values", good),
        () -> store.save("weights", "values", small),
        () -> store.save("weights", "values", null),
        () -> store.save("weights", "values", good.asReadOnly()),
        elsewhere(() -> store.save("weights", "values", good)));
    wrong(
        "ParameterStore.readAll",
        () -> store.readAll("z", "values"),
        elsewhere(() -> store.readAll("weights", "values")));
    wrong(
        "ParameterStore.read",
        () -> store.read("z", "values", "w"),
        () -> store.read("weights", "values", "z"),
        () -> store.read("weights", "values", null),
        elsewhere(() -> store.read("weights", "values", "w")));
    wrong("ParameterStore.close", elsewhere(store::close));
    wrong(
        "ParameterStore.<init>",
        () -> new ParameterStore(null, List.of()),
        () -> new ParameterStore(backend, null));
  }

  private void memory(Backend backend, MemorySegment host) {
    MemorySegment device = backend.allocate(64);
    int few = 64 / backend.elementBytes();
    wrong("Backend.allocate", () -> backend.allocate(-1), elsewhere(() -> backend.allocate(64)));
    wrong("Backend.allocateExchanged", () -> backend.allocateExchanged(-1));
    List<Executable> in = new ArrayList<>();
    List<Executable> out = new ArrayList<>();
    for (long count : new long[] {-1, few + 1, 1 << 20, Long.MAX_VALUE}) {
      MemorySegment large = Arena.ofAuto().allocate((few + 1) * 4L, 64);
      in.add(() -> backend.copyIn(large, device, count));
      out.add(() -> backend.copyOut(device, large, count));
    }
    in.add(() -> backend.copyIn(null, device, 1));
    in.add(() -> backend.copyIn(host, null, 1));
    in.add(() -> backend.copyIn(freed(ROWS * COLUMNS * 4L), device, 1));
    in.add(elsewhere(() -> backend.copyIn(host, device, 1)));
    out.add(() -> backend.copyOut(device, host.asReadOnly(), 1));
    out.add(() -> backend.copyOut(device, null, 1));
    out.add(() -> backend.copyOut(null, host, 1));
    out.add(() -> backend.copyOut(device, freed(ROWS * COLUMNS * 4L), 1));
    out.add(elsewhere(() -> backend.copyOut(device, host, 1)));
    if (backend instanceof CudaBackend) {
      MemorySegment heap = MemorySegment.ofArray(new float[1]);
      in.add(() -> backend.copyIn(heap, device, 1));
      in.add(() -> backend.copyIn(host, host, 1));
      out.add(() -> backend.copyOut(device, heap, 1));
      out.add(() -> backend.copyOut(host, host, 1));
    }
    wrong("Backend.copyIn", in.toArray(Executable[]::new));
    wrong("Backend.copyOut", out.toArray(Executable[]::new));
    wrong("Backend.release", () -> backend.release(null), elsewhere(() -> backend.release(device)));
    backend.release(device);
    backend.release(device);
    backend.release(host);
    wrong("Backend.controls", () -> backend.controls(-1));
    wrong(
        "Backend.compiler",
        () -> backend.compiler(null, false).steps(null, Set.of()),
        elsewhere(() -> backend.compiler(graph(), false)));
    wrong("Backend.synchronise", elsewhere(backend::synchronise));
    wrong("Backend.close", elsewhere(backend::close));
    HostMemory memory = backend.hostMemory();
    wrong(
        "HostMemory.allocate",
        () -> memory.allocate(-1, 64),
        () -> memory.allocate(Long.MIN_VALUE, 1));
    memory.close();
    memory.close();
    called.add("HostMemory.close");
    called.add("Backend.hostMemory");
    ControlBlock block = backend.controls(2);
    block.close();
    block.close();
    called.add("ControlBlock.close");
    wrong("ControlBlock.push", () -> pushed(block));
    wrong("ControlBlock.onHost", () -> ControlBlock.onHost(-1));
    wrong("HostMemory.requireReadable", () -> HostMemory.requireReadable(host, 1 << 20));
    wrong("HostMemory.requireWritable", () -> HostMemory.requireWritable(host.asReadOnly(), 1));
    wrong(
        "HostMemory.requireNative",
        () -> HostMemory.requireNative(MemorySegment.ofArray(new byte[1])));
    wrong("HostMemory.bytes", () -> HostMemory.bytes(-1, 4));
  }

  /** A block of the host has nothing to push; a closed one cannot be written. */
  private static void pushed(ControlBlock block) {
    block.push();
    block.host().set(JAVA_FLOAT, 0, 1);
  }

  /** Closed in the wrong order: the back end first, then what lies on it. */
  private void ends(Graph graph, String device, MemorySegment host) {
    Backend backend = Devices.open(device);
    ParameterStore store = new ParameterStore(backend, graph.parameters());
    store.initialise(7);
    Program program = Program.compile(backend, graph, store);
    float[] _ = run(program, host);
    Readback later = program.readLater("y");
    HostMemory memory = backend.hostMemory();
    ControlBlock block = backend.controls(1);
    MemorySegment owned = backend.allocate(64);
    backend.close();
    backend.close();
    closed(program, store, host);
    wrong("Backend.allocate", () -> backend.allocate(64));
    wrong("Backend.allocateExchanged", () -> backend.allocateExchanged(64));
    wrong("Backend.copyIn", () -> backend.copyIn(host, owned, 1));
    wrong("Backend.copyOut", () -> backend.copyOut(owned, host, 1));
    wrong("Backend.compiler", () -> backend.compiler(graph, false));
    wrong("Backend.synchronise", backend::synchronise);
    wrong("Program.compile", () -> compile(false, backend, graph, store));
    backend.release(owned);
    block.close();
    memory.close();
    program.close();
    program.close();
    store.close();
    store.close();
    closed(program, store, host);
    if (backend instanceof CudaBackend) {
      wrong("Readback.await", later::await);
      wrong("HostMemory.allocate", () -> memory.allocate(64, 64));
    }
    called.add("Readback.await");
  }

  private void closed(Program program, ParameterStore store, MemorySegment host) {
    wrong("Program.write", () -> program.write("x", host));
    wrong("Program.lend", () -> program.lend("x", host));
    wrong("Program.set", () -> program.set("rate", 1.0), () -> program.set("count", 1L));
    wrong("Program.run", program::run, () -> program.run("", new int[0]));
    wrong("Program.read", () -> program.read("y"));
    wrong("Program.readLater", () -> program.readLater("y"));
    wrong("Program.time", () -> program.time(1));
    wrong("ParameterStore.initialise", () -> store.initialise(1));
    wrong("ParameterStore.readAll", () -> store.readAll("weights", "values"));
    MemorySegment room = Arena.ofAuto().allocate(store.layout("weights").size() * 4, 64);
    wrong("ParameterStore.load", () -> store.load("weights", "values", room));
    wrong("ParameterStore.save", () -> store.save("weights", "values", room));
  }

  private void opening() {
    wrong("CpuBackend.open", () -> CpuBackend.open(0), () -> CpuBackend.open(1, Precision.TF32));
    wrong("CpuBackend.openScalar", () -> CpuBackend.openScalar(-1, Precision.F32));
    called.add("ReferenceBackend.<init>");
    Confinement here = new Confinement("x");
    assertTrue(here.close() && !here.close() && here.isClosed());
    wrong("Confinement.require", here::require);
    wrong("Confinement.requireThread", elsewhere(here::requireThread));
    wrong("Confinement.close", elsewhere(here::close));
    called.add("Confinement.isClosed");
    called.add("Confinement.<init>");
  }

  /** What one process may be asked; those of several refuse the same, see ranks.RanksTest. */
  private void ranks() {
    Communicator alone = Communicator.alone();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment seven = arena.allocate(7);
      MemorySegment eight = arena.allocate(8);
      wrong(
          "Communicator.mean",
          () -> alone.mean(null, 4),
          () -> alone.mean(eight, 2),
          () -> alone.mean(seven, 4));
      wrong(
          "Communicator.broadcast",
          () -> alone.broadcast(null, 0),
          () -> alone.broadcast(eight, 1),
          () -> alone.broadcast(eight, -1));
      wrong("Communicator.gather", () -> alone.gather(null));
      wrong(
          "Communicator.allocate", () -> alone.allocate(null, 8), () -> alone.allocate(arena, -1));
      wrong(
          "Communicator.means",
          () -> alone.means(null, 4),
          () -> alone.means(eight, 2).run(),
          () -> alone.means(seven, 4).run());
      wrong(
          "RankMeans.kernel",
          () -> RankMeans.kernel(null, List.of(eight), List.of(eight), 4),
          () -> RankMeans.kernel(alone, List.of(), List.of(), 4),
          () -> RankMeans.kernel(alone, List.of(eight), List.of(), 4),
          () -> RankMeans.kernel(alone, List.of(eight), List.of(seven), 4),
          () -> RankMeans.kernel(alone, List.of(eight), List.of(eight.asReadOnly()), 4));
      wrong(
          "RankMeans.of",
          () -> RankMeans.of(null, new double[1]),
          () -> RankMeans.of(alone, (double[][]) null));
    }
    wrong(
        "RankWait.until",
        () -> RankWait.until(null, () -> Duration.ZERO),
        () -> RankWait.until(() -> false, null));
    wrong("Ranks.ofThisProcess", () -> Ranks.ofThisProcess(null, note -> {}));
  }

  /** Every public method of a public class was called wrongly, or cannot be. */
  private void complete() {
    Set<String> missing = new TreeSet<>();
    for (JavaClass each :
        new ClassFileImporter()
            .importUrl(Program.class.getProtectionDomain().getCodeSource().getLocation())) {
      if (!each.getPackageName().startsWith("io.fbnet.engine")
          || !each.getModifiers().contains(JavaModifier.PUBLIC)
          || isHarmless(each.getName())) {
        continue;
      }
      Class<?> type = each.reflect();
      if (type.getEnclosingClass() != null
          && !Modifier.isPublic(type.getEnclosingClass().getModifiers())) {
        continue;
      }
      List<String> names =
          Arrays.stream(type.getDeclaredMethods())
              .filter(method -> Modifier.isPublic(method.getModifiers()))
              .filter(method -> !method.isSynthetic())
              .map(Method::getName)
              .collect(Collectors.toList());
      if (type.getConstructors().length > 0) {
        names.add("<init>");
      }
      for (String name : names) {
        String owner =
            Backend.class.isAssignableFrom(type) && isOf(Backend.class, name)
                ? "Backend"
                : type.getSimpleName();
        String method = owner + "." + name;
        if (!called.contains(method) && !HARMLESS.containsKey(method)) {
          missing.add(method);
        }
      }
    }
    assertEquals(Set.of(), missing, "neither called wrongly nor known to be harmless");
  }

  private static boolean isOf(Class<?> type, String name) {
    return Arrays.stream(type.getMethods()).anyMatch(method -> method.getName().equals(name));
  }

  private static boolean isHarmless(String type) {
    return HARMLESS.keySet().stream()
        .anyMatch(
            known ->
                known.endsWith("*") && type.startsWith(known.substring(0, known.length() - 1)));
  }

  @Test
  void theHarmlessAreThere() {
    HARMLESS.forEach((name, reason) -> assertFalse(reason.isBlank(), name));
  }
}
