package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.engine.cuda.SoftwareCuda.Count;
import io.fbnet.engine.cuda.SoftwareCuda.Live;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A whole step on a GPU, or on the software device: right, captured, overlapped, given back. */
class CudaStepTest {
  private static final long SEED = 20260111L;

  private static void step(Instance instance, int number) {
    instance.program.set("step", (long) number);
    instance.program.set("count", (double) number);
    instance.program.set("rate", 0.01);
    instance.program.run();
  }

  private static List<Map<String, List<Integer>>> steps(Backend backend) {
    SmallSupernet net = SmallSupernet.of(5, true, SmallSupernet.Update.BOTH_OPTIMISERS);
    try (Instance instance = new Instance(backend, net.graph(), SEED)) {
      List<Map<String, List<Integer>>> bits = new ArrayList<>();
      for (int number = 1; number <= 4; number++) {
        step(instance, number);
        bits.add(instance.bits());
      }
      return bits;
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void agreesWithReference(boolean noisePerImage) {
    SmallSupernet net = SmallSupernet.of(5, noisePerImage, SmallSupernet.Update.NONE);
    try (Backend reference = new ReferenceBackend();
        Backend cuda = Devices.open("cuda");
        Instance expected = new Instance(reference, net.graph(), SEED);
        Instance actual = new Instance(cuda, net.graph(), SEED)) {
      expected.program.run();
      actual.program.run();
      for (String output : net.graph().outputs().keySet()) {
        float[] e = expected.program.read(output);
        float[] a = actual.program.read(output);
        double largest = 0;
        for (float v : e) {
          largest = Math.max(largest, Math.abs(v));
        }
        assertTrue(largest > 0, output + " is tested on zeros");
        for (int i = 0; i < e.length; i++) {
          // Ten layers of sums in f32, each within 1e-5 of its largest element.
          assertEquals(e[i], a[i], 1e-4 * largest, output + "[" + i + "], seed " + SEED);
        }
      }
    }
  }

  /** The first step is launched kernel by kernel, the second captures, the others replay. */
  @Test
  void aCapturedStepEqualsAnEagerOneBitForBit() {
    List<Map<String, List<Integer>>> captured;
    try (Backend backend = Devices.open("cuda, deterministic")) {
      captured = steps(backend);
    }
    try (Backend eager = Devices.cuda(new CudaOptions(Precision.F32, true, false, true))) {
      assertEquals(captured, steps(eager), "kernel by kernel, seed " + SEED);
    }
    for (String order : List.of("cuda, deterministic, lazy", "cuda, deterministic, descending")) {
      assumeTrue(SoftwareCuda.present(), "other orders exist on the software device alone");
      try (Backend other = Devices.open(order)) {
        assertEquals(captured, steps(other), order + ", seed " + SEED);
      }
    }
    assertTrue(
        captured.stream().map(s -> s.get("loss")).distinct().count() == 4, "the loss stands still");
  }

  @ParameterizedTest
  @EnumSource(Precision.class)
  void deterministicStepsRepeatThemselves(Precision precision) {
    List<List<Map<String, List<Integer>>>> runs = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      try (Backend backend = Devices.cuda(new CudaOptions(precision, true, true, true))) {
        runs.add(steps(backend));
      }
    }
    assertEquals(runs.get(0), runs.get(1), precision + ", seed " + SEED);
  }

  @Test
  void aReplayedStepIsOneLaunchAndAllocatesNothing() {
    assumeTrue(SoftwareCuda.present(), "counts exist on the software device alone");
    SmallSupernet net = SmallSupernet.of(3, true, SmallSupernet.Update.BOTH_OPTIMISERS);
    try (Backend backend = Devices.open("cuda");
        Instance instance = new Instance(backend, net.graph(), SEED)) {
      step(instance, 1);
      step(instance, 2);
      instance.program.readLater("loss").await();
      long graphs = SoftwareCuda.count(Count.GRAPH_LAUNCHES);
      long memory = SoftwareCuda.live(Live.DEVICE_BYTES);
      long pinned = SoftwareCuda.live(Live.PINNED_ALLOCATIONS);
      for (int number = 3; number < 8; number++) {
        step(instance, number);
        instance.program.readLater("loss").await();
      }
      assertEquals(graphs + 5, SoftwareCuda.count(Count.GRAPH_LAUNCHES));
      assertEquals(memory, SoftwareCuda.live(Live.DEVICE_BYTES));
      assertEquals(pinned, SoftwareCuda.live(Live.PINNED_ALLOCATIONS));
    }
  }

  /**
   * Five batches on their way at once, with what each gave read in the end.
   *
   * @param lent whether the device copies them when it comes to it
   */
  private static List<float[]> losses(String device, boolean wait, boolean lent) {
    SmallSupernet net = SmallSupernet.of(4, true, SmallSupernet.Update.BOTH_OPTIMISERS);
    List<float[]> losses = new ArrayList<>();
    List<Readback> pending = new ArrayList<>();
    try (Backend backend = Devices.open(device);
        HostMemory memory = backend.hostMemory();
        Instance instance = new Instance(backend, net.graph(), SEED)) {
      Random random = new Random(SEED);
      for (int number = 1; number <= 5; number++) {
        MemorySegment images = memory.allocate(4 * 3 * 7 * 7 * 4L, 64);
        for (int i = 0; i < 4 * 3 * 7 * 7; i++) {
          images.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
        }
        if (lent) {
          instance.program.lend("images", images);
        } else {
          instance.program.write("images", images);
          // The caller's memory is its own again at once.
          images.fill((byte) -1);
        }
        step(instance, number);
        Readback loss = instance.program.readLater("loss", "rank");
        if (wait) {
          losses.add(loss.await()[0]);
        } else {
          pending.add(loss);
        }
      }
      for (Readback loss : pending) {
        losses.add(loss.await()[0]);
      }
    }
    return losses;
  }

  @Test
  void stepsMayOverlapWithCopiesOfLaterBatches() {
    List<float[]> expected = losses("cuda, deterministic", true, false);
    assertNotEquals(expected.get(0)[0], expected.get(1)[0]);
    for (String device : List.of("cuda, deterministic", "cuda, deterministic, lazy")) {
      for (boolean lent : new boolean[] {false, true}) {
        List<float[]> actual = losses(device, false, lent);
        for (int i = 0; i < expected.size(); i++) {
          String what = device + ", step " + i + (lent ? ", lent" : "");
          assertArrayEquals(expected.get(i), actual.get(i), what);
        }
      }
    }
  }

  /** What is lent is read when the device comes to it, and its results say that it was read. */
  @Test
  void lentMemoryIsReadLaterAndFreeWhenResultsHaveArrived() {
    assumeTrue(SoftwareCuda.present(), "only the software device waits until it is waited for");
    GraphBuilder b = new GraphBuilder();
    b.output("y", b.mean(b.input("x", Type.F32, 3)));
    try (Backend backend = Devices.open("cuda, lazy");
        HostMemory memory = backend.hostMemory();
        Instance instance = new Instance(backend, b.build(), SEED)) {
      MemorySegment x = memory.allocate(12, 4);
      instance.program.lend("x", x);
      MemorySegment.copy(new float[] {1, 2, 6}, 0, x, JAVA_FLOAT, 0, 3);
      instance.program.run();
      Readback before = instance.program.readLater("y");
      assertEquals(3, before.await()[0][0]);
      x.fill((byte) 0);
      instance.program.run();
      assertEquals(3, instance.program.scalar("y"), "the input stays as it was copied");
    }
    for (Live kind : Live.values()) {
      assertEquals(0, SoftwareCuda.live(kind), kind.toString());
    }
  }

  @Test
  void everythingIsGivenBack() {
    assumeTrue(SoftwareCuda.present(), "counts exist on the software device alone");
    SmallSupernet net = SmallSupernet.of(3, true, SmallSupernet.Update.BOTH_OPTIMISERS);
    try (Backend backend = Devices.open("cuda")) {
      for (int i = 0; i < 5; i++) {
        try (Instance instance = new Instance(backend, net.graph(), SEED)) {
          step(instance, 1);
          step(instance, 2);
          instance.program.readLater("loss");
          instance.program.time(20);
        }
      }
    }
    for (Live kind : Live.values()) {
      assertEquals(0, SoftwareCuda.live(kind), kind.toString());
    }
  }

  @Test
  void timesAreTheDevicesOwn() {
    SmallSupernet net = SmallSupernet.of(3, true, SmallSupernet.Update.NONE);
    try (Backend backend = Devices.open("cuda");
        Instance instance = new Instance(backend, net.graph(), SEED)) {
      instance.program.run();
      float before = instance.program.scalar("loss");
      double[] samples = instance.program.time(40);
      assertEquals(4, samples.length);
      for (double ms : samples) {
        assertTrue(ms > 0 && ms < 60_000, "a pass took " + ms + " ms");
      }
      instance.program.run();
      assertEquals(before, instance.program.scalar("loss"));
    }
  }

  /** One pass is what was asked for: a second would find its input in the caches. */
  @Test
  void oneTimedPassIsOne() {
    assumeTrue(SoftwareCuda.present(), "counts exist on the software device alone");
    SmallSupernet net = SmallSupernet.of(3, true, SmallSupernet.Update.NONE);
    try (Backend backend = Devices.open("cuda");
        Instance instance = new Instance(backend, net.graph(), SEED)) {
      instance.program.time(1);
      for (int passes : new int[] {1, 3, 10, 25}) {
        instance.program.time(passes);
        long before = SoftwareCuda.count(Count.LAUNCHES);
        assertEquals(Math.max(1, passes / 10), instance.program.time(passes).length);
        long one = SoftwareCuda.count(Count.LAUNCHES) - before;
        before = SoftwareCuda.count(Count.LAUNCHES);
        instance.program.time(1);
        long single = SoftwareCuda.count(Count.LAUNCHES) - before;
        assertTrue(single > 0);
        assertEquals(single * (passes < 10 ? passes : passes / 10 * 10), one, passes + " passes");
      }
    }
  }

  /** Kernels read copies of weights: behind an update in the same phase those of the new ones. */
  @ParameterizedTest
  @ValueSource(strings = {"cpu, 2 threads", "cuda", "cuda bf16"})
  void whatFollowsAnUpdateReadsTheNewWeights(String name) {
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, 3, 8, 5, 6);
    Value w = b.parameter("weights", "w", true, new Initial.Normal(1), 16, 8, 1, 1);
    Value loss = b.mean(b.globalPool(b.convolution(x, w, 1, 1)));
    Autodiff.gradients(b, loss, List.of(w));
    b.sgd("weights", b.fill(400, 1), b.fill(1, 1), 0, 0);
    b.output("after", b.globalPool(b.convolution(x, w, 1, 1)));
    b.output("before", loss);
    Graph graph = b.build();
    try (Backend reference = new ReferenceBackend();
        Backend device = Devices.open(name);
        Instance expected = new Instance(reference, graph, SEED);
        Instance actual = new Instance(device, graph, SEED)) {
      for (int run = 0; run < 3; run++) {
        expected.program.run();
        actual.program.run();
        float[] want = expected.program.read("after");
        float[] got = actual.program.read("after");
        for (int i = 0; i < want.length; i++) {
          assertEquals(want[i], got[i], 0.05 * Math.abs(want[i]) + 0.05, name + ", run " + run);
        }
      }
    }
  }
}
