package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.Pages;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What programs hold on the CPU, what they give back, and what they refuse or say aloud. */
class ResourcesTest {
  private static final long SEED = 20260108L;
  private CpuBackend cpu;

  @BeforeEach
  void open() {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    cpu = CpuBackend.open(2);
  }

  @AfterEach
  void close() {
    if (cpu != null) {
      cpu.close();
    }
  }

  private static Graph convolution(int in, int out, int k) {
    GraphBuilder b = new GraphBuilder();
    Value w = b.parameter("weights", "w", true, new Initial.Normal(1), out, in, k, k);
    b.output("y", b.convolution(b.input("x", Type.F32, 2, in, 8, 8), w, 1, 1));
    return b.build();
  }

  @Test
  void programsGiveBackWhatTheyTook() {
    Graph graph = convolution(20, 24, 3);
    try (ParameterStore store = new ParameterStore(cpu, graph.parameters())) {
      store.initialise(SEED);
      int before = cpu.liveAllocations();
      for (int i = 0; i < 200; i++) {
        Program program =
            i % 2 == 0
                ? Program.compile(cpu, graph, store)
                : Program.compileFixed(cpu, graph, store);
        program.run();
        assertTrue(cpu.liveAllocations() > before);
        program.close();
        program.close();
        assertEquals(before, cpu.liveAllocations(), "after program " + i);
      }
    }
    assertEquals(0, cpu.liveAllocations());
  }

  @Test
  void runningAllocatesNothing() {
    SmallSupernet net = SmallSupernet.of(3, false, SmallSupernet.Update.NONE);
    try (Instance instance = new Instance(cpu, net.graph(), SEED)) {
      int before = cpu.liveAllocations();
      for (int i = 0; i < 20; i++) {
        instance.program.run();
      }
      assertEquals(before, cpu.liveAllocations());
      assertTrue(instance.program.plannedBytes() < instance.program.naiveBytes());
    }
    assertEquals(0, cpu.liveAllocations());
  }

  @Test
  void aProgramThatCannotBeCompiledLeavesNothing() {
    Graph graph = convolution(20, 24, 3);
    try (ParameterStore store = new ParameterStore(cpu, convolution(20, 25, 3).parameters())) {
      assertThrows(
          IllegalArgumentException.class, () -> Program.compile(cpu, graph, store).close());
    }
    assertEquals(0, cpu.liveAllocations());
  }

  @Test
  void aClosedProgramDoesNotRun() {
    Graph graph = convolution(20, 24, 3);
    try (ParameterStore store = new ParameterStore(cpu, graph.parameters())) {
      store.initialise(SEED);
      Program program = Program.compile(cpu, graph, store);
      program.close();
      assertThrows(IllegalStateException.class, program::run);
    }
  }

  @Test
  void aProgramWhoseParametersAreClosedDoesNotRun() {
    Graph graph = convolution(20, 24, 3);
    ParameterStore store = new ParameterStore(cpu, graph.parameters());
    store.initialise(SEED);
    try (Program program = Program.compile(cpu, graph, store)) {
      program.run();
      store.close();
      IllegalStateException e = assertThrows(IllegalStateException.class, program::run);
      assertTrue(e.getMessage().contains("parameters"), e.getMessage());
    }
  }

  /** Memory that was given and not touched yet counts, although the system still calls it free. */
  @Test
  void moreMemoryThanThereIsIsRefusedBeforeItIsTouched() {
    long most = 1L << 46;
    OutOfDeviceMemory none = assertThrows(OutOfDeviceMemory.class, () -> cpu.allocate(most));
    assertTrue(none.getMessage().contains("free"), none.getMessage());
    long third = Pages.available() / 3;
    List<MemorySegment> given = new ArrayList<>();
    try {
      assertThrows(
          OutOfDeviceMemory.class,
          () -> {
            for (int i = 0; i < 5; i++) {
              given.add(cpu.allocate(third));
            }
          });
      assertTrue(given.size() >= 2, "only " + given.size() + " thirds");
    } finally {
      given.forEach(cpu::release);
    }
    cpu.release(cpu.allocate(third));
    assertEquals(0, cpu.liveAllocations());
  }

  /** Too many channels for oneDNN's row-major kernels, too few for its blocked ones. */
  @Test
  void slowKernelsAreNamed() {
    Graph graph = convolution(4, 16, 5);
    try (ParameterStore store = new ParameterStore(cpu, graph.parameters());
        Program program = Program.compile(cpu, graph, store)) {
      List<String> slow = program.slowKernels();
      assertEquals(1, slow.size(), slow.toString());
      assertTrue(slow.getFirst().contains("[2, 4, 8, 8]"), slow.getFirst());
      assertTrue(slow.getFirst().contains("ref:any"), slow.getFirst());
    }
  }

  private String refusal(Function<GraphBuilder, Value> build) {
    GraphBuilder b = new GraphBuilder();
    b.output("y", build.apply(b));
    Graph graph = b.build();
    try (ParameterStore store = new ParameterStore(cpu, graph.parameters())) {
      return assertThrows(
              IllegalArgumentException.class, () -> Program.compile(cpu, graph, store).close())
          .getMessage();
    }
  }

  /** Blocks of channels have empty lanes, which a loop over plain numbers would count. */
  @Test
  void vectorOperationsOverImagesAreRefusedByName() {
    String mean = refusal(b -> b.mean(b.input("x", Type.F32, 2, 5, 3, 3)));
    assertTrue(mean.contains("Mean") && mean.contains("x[2, 5, 3, 3]"), mean);
    String mix =
        refusal(
            b ->
                b.weightedSum(List.of(b.input("x", Type.F32, 2, 5)), b.input("m", Type.F32, 1, 1)));
    assertTrue(mix.contains("WeightedSum") && mix.contains("[2, 5]"), mix);
    assertEquals(0, cpu.liveAllocations());
  }

  @Test
  void whatAProgramDoesNotHaveIsNamed() {
    Graph graph = convolution(20, 24, 3);
    try (ParameterStore store = new ParameterStore(cpu, graph.parameters());
        Program program = Program.compile(cpu, graph, store)) {
      String output =
          assertThrows(IllegalArgumentException.class, () -> program.read("z")).getMessage();
      assertTrue(output.contains("output z") && output.contains("[y]"), output);
      String control =
          assertThrows(IllegalArgumentException.class, () -> program.set("rate", 1.0)).getMessage();
      assertTrue(control.contains("control rate"), control);
    }
  }
}
