package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * NCCL by a communicator of one process. Runs on a GPU with NCCL or on the software device;
 * exchanges between processes are tested where the engine uses them.
 */
class NcclTest {
  private static final float[] NUMBERS = {1.5f, -2.25f, 3e30f, 4e-30f};

  private final List<MemorySegment> memory = new ArrayList<>();
  private CudaDevice device;
  private CudaStream stream;

  @BeforeEach
  void open() {
    CudaSoftware.needs(Cuda.availability());
    CudaSoftware.needs(Nccl.availability());
    if (CudaSoftware.present()) {
      CudaSoftware.reset();
    }
    device = CudaDevice.open(0);
    stream = CudaStream.create();
  }

  @AfterEach
  void everythingIsGivenBack() {
    if (device == null) {
      return;
    }
    stream.close();
    memory.forEach(device::free);
    device.close();
    if (CudaSoftware.present()) {
      for (int kind = 0; kind <= CudaSoftware.LIVE_KINDS; kind++) {
        assertEquals(0, CudaSoftware.live(kind), "live objects of kind " + kind);
      }
      CudaSoftware.reset();
    }
  }

  private MemorySegment allocate(long bytes) {
    MemorySegment segment = device.allocate(bytes);
    memory.add(segment);
    return segment;
  }

  private void upload(MemorySegment to, MemorySegment host) {
    stream.copyToDevice(to, host, host.byteSize());
    stream.synchronise();
  }

  private MemorySegment download(Arena arena, MemorySegment from) {
    MemorySegment host = arena.allocate(from.byteSize(), 8);
    stream.copyToHost(host, from, from.byteSize());
    stream.synchronise();
    return host;
  }

  @Test
  void itsVersionHasThreeNumbers() {
    assertTrue(Nccl.availability().version().matches("2\\.\\d+\\.\\d+"), "" + Nccl.availability());
  }

  @Test
  void theMeanOverOneIsTheSameAlsoInAReplay() {
    try (Arena arena = Arena.ofConfined();
        Nccl nccl = Nccl.join(Nccl.uniqueId(), 1, 0)) {
      MemorySegment host = arena.allocateFrom(JAVA_FLOAT, NUMBERS);
      MemorySegment x = allocate(host.byteSize());
      MemorySegment y = allocate(host.byteSize());
      MemorySegment wide = allocate(2 * host.byteSize());
      double[] doubles = {1e300, -2, 3, 4};
      upload(x, host);
      upload(wide, arena.allocateFrom(JAVA_DOUBLE, doubles));
      Runnable work =
          () ->
              nccl.together(
                  () -> {
                    nccl.mean(stream, y, x, Float.BYTES);
                    nccl.mean(stream, wide, wide, Double.BYTES);
                    nccl.broadcast(stream, x, 0);
                  });
      work.run();
      stream.synchronise();
      assertArrayEquals(NUMBERS, download(arena, y).toArray(JAVA_FLOAT));
      stream.fill(y, (byte) 0);
      try (CudaGraph graph = stream.capture(work)) {
        assertEquals(0, download(arena, y).get(JAVA_FLOAT, 0), "a capture runs nothing");
        graph.launch(stream);
        graph.launch(stream);
        assertArrayEquals(NUMBERS, download(arena, y).toArray(JAVA_FLOAT));
        assertArrayEquals(doubles, download(arena, wide).toArray(JAVA_DOUBLE));
        assertArrayEquals(NUMBERS, download(arena, x).toArray(JAVA_FLOAT));
      }
      assertTrue(stream.isDone());
      nccl.requireWell();
    }
  }

  @Test
  void anEventIsDoneWhenTheStreamHasPassedIt() {
    try (CudaEvent event = CudaEvent.create(false)) {
      assertTrue(event.isDone(), "an event that was never recorded");
      stream.record(event);
      stream.synchronise();
      assertTrue(event.isDone());
      if (CudaSoftware.present()) {
        CudaSoftware.lazy(true);
        stream.record(event);
        assertFalse(event.isDone());
        stream.record(event);
        assertFalse(stream.isDone());
        stream.synchronise();
        assertTrue(event.isDone() && stream.isDone());
      }
    }
  }

  @Test
  void whatIsAbortedIsGone() {
    Nccl nccl = Nccl.join(Nccl.uniqueId(), 1, 0);
    nccl.abort();
    nccl.abort();
    nccl.close();
    MemorySegment x = allocate(16);
    IllegalStateException e =
        assertThrows(IllegalStateException.class, () -> nccl.mean(stream, x, x, Float.BYTES));
    assertEquals("the communicator of NCCL is closed", e.getMessage());
    assertThrows(IllegalStateException.class, nccl::requireWell);
  }

  @Test
  void wrongArgumentsAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> Nccl.join(new byte[127], 1, 0));
    byte[] id = Nccl.uniqueId();
    ForeignException rank = assertThrows(ForeignException.class, () -> Nccl.join(id, 1, 1));
    assertEquals("ncclCommInitRank", rank.function());
    assertEquals(4, rank.code(), rank.getMessage());
    assertEquals(1, rank.getMessage().lines().count(), rank.getMessage());
    try (Nccl nccl = Nccl.join(id, 1, 0)) {
      MemorySegment x = allocate(16);
      MemorySegment y = allocate(32);
      assertThrows(IllegalArgumentException.class, () -> nccl.mean(stream, x, y, Float.BYTES));
      assertThrows(IllegalArgumentException.class, () -> nccl.mean(stream, x, x, 2));
      ForeignException root =
          assertThrows(ForeignException.class, () -> nccl.broadcast(stream, x, 1));
      assertTrue(root.getMessage().startsWith("ncclBroadcast returned 4 ("), root.getMessage());
      // What is thrown inside a group is thrown on, and the group ends.
      assertThrows(
          IllegalArgumentException.class,
          () -> nccl.together(() -> nccl.mean(stream, x, y, Float.BYTES)));
      nccl.mean(stream, x, x, Float.BYTES);
      stream.synchronise();
    }
  }
}
