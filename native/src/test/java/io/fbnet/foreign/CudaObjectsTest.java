package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.foreign.CudaDevice.Attribute;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The driver's objects: devices, memory, streams, events. Runs on a GPU or the software device. */
class CudaObjectsTest {
  private static final int COUNT = 64;
  private static final long BYTES = 4L * COUNT;

  private CudaDevice device;
  private final List<MemorySegment> memory = new ArrayList<>();
  private final List<MemorySegment> pinned = new ArrayList<>();

  @BeforeAll
  static void needsDriver() {
    CudaSoftware.needs(Cuda.availability());
  }

  @BeforeEach
  void open() {
    if (CudaSoftware.present()) {
      CudaSoftware.reset();
    }
    device = CudaDevice.open(0);
  }

  @AfterEach
  void everythingIsGivenBack() {
    memory.forEach(device::free);
    pinned.forEach(device::freePinned);
    device.close();
    device.close();
    if (CudaSoftware.present()) {
      for (int kind = 0; kind <= CudaSoftware.LIVE_KINDS; kind++) {
        assertEquals(0, CudaSoftware.live(kind), "live objects of kind " + kind);
      }
      CudaSoftware.reset();
    }
  }

  private MemorySegment allocate() {
    MemorySegment segment = device.allocate(BYTES);
    memory.add(segment);
    return segment;
  }

  private MemorySegment pinned(int first) {
    MemorySegment segment = device.allocatePinned(BYTES);
    pinned.add(segment);
    MemorySegment.copy(numbers(first), 0, segment, JAVA_INT, 0, COUNT);
    return segment;
  }

  private static int[] numbers(int first) {
    int[] numbers = new int[COUNT];
    for (int i = 0; i < COUNT; i++) {
      numbers[i] = first + i;
    }
    return numbers;
  }

  private static void assertHolds(int first, MemorySegment host) {
    assertArrayEquals(numbers(first), host.toArray(JAVA_INT));
  }

  private static ForeignException refused(int code, String name, Runnable call) {
    ForeignException e = assertThrows(ForeignException.class, call::run);
    assertEquals(code, e.code(), e.getMessage());
    assertTrue(e.getMessage().startsWith(e.function() + " returned " + code + " (" + name));
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    return e;
  }

  @Test
  void tellsItsProperties() {
    assertTrue(CudaDevice.count() >= 1);
    assertEquals(0, device.ordinal());
    assertTrue(Cuda.availability().version().matches("CUDA \\d+\\.\\d+"), "a version");
    assertTrue(device.computeCapability() >= 75, "compute " + device.computeCapability());
    assertTrue(device.attribute(Attribute.MULTIPROCESSOR_COUNT) > 0);
    assertTrue(device.attribute(Attribute.MAX_SHARED_MEMORY_PER_BLOCK) >= 48 << 10);
    assertTrue(device.freeMemory() > 0 && device.freeMemory() <= device.totalMemory());
    if (CudaSoftware.present()) {
      assertEquals(1, CudaDevice.count());
      assertEquals("Software CUDA device (tests only)", device.name());
      assertEquals("CUDA 13.0", Cuda.availability().version());
      assertEquals(90, device.computeCapability());
      assertEquals(2L << 30, device.totalMemory());
    }
  }

  @Test
  void aDeviceThatIsNotThereIsRefused() {
    ForeignException e =
        refused(101, "CUDA_ERROR_INVALID_DEVICE", () -> CudaDevice.open(1000).close());
    assertEquals("cuDeviceGet", e.function());
  }

  @Test
  void memoryIsTakenAndGivenBack() {
    long before = device.freeMemory();
    MemorySegment segment = device.allocate(64 << 20);
    assertEquals(64 << 20, segment.byteSize());
    assertTrue(device.freeMemory() <= before - (64 << 20));
    device.free(segment);
    assertTrue(device.freeMemory() > before - (64 << 20));
  }

  @Test
  void tooMuchMemoryIsRefused() {
    long most = device.totalMemory();
    ForeignException e =
        refused(2, "CUDA_ERROR_OUT_OF_MEMORY: ", () -> memory.add(device.allocate(most + 1)));
    assertTrue(CudaDevice.isOutOfMemory(e));
    assertFalse(CudaDevice.isLost(e));
    assertTrue(e.getMessage().endsWith(" for " + (most + 1) + " bytes"), e.getMessage());
  }

  @Test
  void pinnedMemoryThatRunsOutIsRefused() {
    CudaSoftware.needsSoftware();
    CudaSoftware.failNext(CudaSoftware.DEVICE_ALLOCATION, 2);
    ForeignException e = refused(2, "CUDA_ERROR_OUT_OF_MEMORY", () -> pinned(0));
    assertEquals("cuMemHostAlloc", e.function());
    assertTrue(e.getMessage().endsWith(" for 256 bytes"), e.getMessage());
  }

  @Test
  void javaCannotReachDeviceMemory() {
    MemorySegment segment = allocate();
    assertThrows(IllegalStateException.class, () -> segment.get(JAVA_BYTE, 0));
    assertThrows(IllegalStateException.class, () -> segment.set(JAVA_INT, 0, 1));
    assertThrows(IllegalStateException.class, () -> segment.asSlice(8, 8).fill((byte) 0));
    assertThrows(IllegalStateException.class, () -> segment.toArray(JAVA_INT));
  }

  @Test
  void copiesBothWays() {
    try (CudaStream stream = CudaStream.create();
        Arena arena = Arena.ofConfined()) {
      MemorySegment first = allocate();
      MemorySegment second = allocate();
      MemorySegment out = pinned(0);
      stream.copyToDevice(first, pinned(7), BYTES);
      stream.copyOnDevice(second, first, BYTES);
      stream.copyToHost(out, second, BYTES);
      stream.synchronise();
      assertHolds(7, out);
      // Memory that is not pinned, and parts of an allocation.
      MemorySegment plain = arena.allocateFrom(JAVA_INT, numbers(100));
      stream.copyToDevice(first.asSlice(BYTES / 2), plain, BYTES / 2);
      stream.copyToHost(plain, first, BYTES);
      stream.synchronise();
      assertEquals(7, plain.getAtIndex(JAVA_INT, 0));
      assertEquals(100, plain.getAtIndex(JAVA_INT, COUNT / 2));
      stream.fill(first, (byte) 0x11);
      stream.copyToHost(plain, first, BYTES);
      stream.synchronise();
      assertEquals(0x11111111, plain.getAtIndex(JAVA_INT, COUNT - 1));
    }
  }

  @Test
  void aCopyThatFailsIsNamed() {
    CudaSoftware.needsSoftware();
    try (CudaStream stream = CudaStream.create()) {
      MemorySegment segment = allocate();
      MemorySegment host = pinned(0);
      CudaSoftware.failNext(CudaSoftware.COPY, 999);
      ForeignException e =
          refused(999, "CUDA_ERROR_UNKNOWN", () -> stream.copyToDevice(segment, host, BYTES));
      assertEquals("cuMemcpyHtoDAsync_v2", e.function());
      assertTrue(CudaDevice.isLost(e));
      refused(1, "CUDA_ERROR_INVALID_VALUE", () -> stream.copyToHost(host, segment, BYTES + 4));
    }
  }

  @Test
  void eventsTellTime() {
    try (CudaStream stream = CudaStream.create();
        CudaEvent start = CudaEvent.create(true);
        CudaEvent end = CudaEvent.create(true);
        CudaEvent untimed = CudaEvent.create(false)) {
      // Never recorded: returns at once.
      start.synchronise();
      MemorySegment segment = allocate();
      stream.record(start);
      stream.fill(segment, (byte) 1);
      stream.record(end);
      stream.record(untimed);
      end.synchronise();
      double milliseconds = end.millisecondsSince(start);
      assertTrue(milliseconds >= 0 && milliseconds < 60_000, milliseconds + " ms");
      untimed.synchronise();
      ForeignException e =
          refused(400, "CUDA_ERROR_INVALID_HANDLE", () -> untimed.millisecondsSince(start));
      assertEquals("cuEventElapsedTime", e.function());
    }
  }

  /** Two streams; what the second one copies, the first one writes. */
  private int seenBySecondStream(boolean waits) {
    try (CudaStream first = CudaStream.create();
        CudaStream second = CudaStream.create();
        CudaEvent written = CudaEvent.create(false)) {
      MemorySegment segment = allocate();
      MemorySegment out = pinned(0);
      first.fill(segment, (byte) 0);
      first.synchronise();
      first.copyToDevice(segment, pinned(5), BYTES);
      first.record(written);
      if (waits) {
        second.waitFor(written);
      }
      second.copyToHost(out, segment, BYTES);
      second.synchronise();
      return out.getAtIndex(JAVA_INT, 0);
    }
  }

  @Test
  void aStreamWaitsForAnother() {
    assertEquals(5, seenBySecondStream(true));
  }

  @Test
  void aMissingWaitShowsOnALazyDevice() {
    CudaSoftware.needsSoftware();
    CudaSoftware.lazy(true);
    assertEquals(5, seenBySecondStream(true));
    assertEquals(0, seenBySecondStream(false));
  }

  @Test
  void closingTwiceIsHarmless() {
    CudaStream stream = CudaStream.create();
    CudaEvent event = CudaEvent.create(true);
    MemorySegment segment = allocate();
    CudaGraph graph = stream.capture(() -> stream.fill(segment, (byte) 1));
    for (AutoCloseable object : new AutoCloseable[] {graph, event, stream}) {
      for (int i = 0; i < 2; i++) {
        try {
          object.close();
        } catch (Exception e) {
          throw new AssertionError(object.toString(), e);
        }
      }
    }
  }
}
