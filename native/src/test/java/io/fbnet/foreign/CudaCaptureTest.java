package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Work captured as a graph, and captures that go wrong. */
class CudaCaptureTest {
  private CudaDevice device;
  private CudaStream stream;
  private MemorySegment in;
  private MemorySegment out;
  private MemorySegment memory;

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
    stream = CudaStream.create();
    in = device.allocatePinned(4);
    out = device.allocatePinned(4);
    memory = device.allocate(4);
    in.set(JAVA_INT, 0, 1);
    out.set(JAVA_INT, 0, 0);
  }

  @AfterEach
  void everythingIsGivenBack() {
    device.free(memory);
    device.freePinned(in);
    device.freePinned(out);
    stream.close();
    device.close();
    if (CudaSoftware.present()) {
      for (int kind = 0; kind <= CudaSoftware.LIVE_KINDS; kind++) {
        assertEquals(0, CudaSoftware.live(kind), "live objects of kind " + kind);
      }
      CudaSoftware.reset();
    }
  }

  private void copies() {
    stream.copyToDevice(memory, in, 4);
    stream.copyToHost(out, memory, 4);
  }

  /** The stream takes work, and another capture, as if nothing had been. */
  private void assertUsable() {
    in.set(JAVA_INT, 0, 77);
    copies();
    stream.synchronise();
    assertEquals(77, out.get(JAVA_INT, 0));
    in.set(JAVA_INT, 0, 78);
    try (CudaGraph graph = stream.capture(this::copies)) {
      graph.launch(stream);
      stream.synchronise();
    }
    assertEquals(78, out.get(JAVA_INT, 0));
  }

  @Test
  void aCaptureRunsWhenItIsLaunchedAndNotBefore() {
    try (CudaGraph graph = stream.capture(this::copies)) {
      stream.synchronise();
      assertEquals(0, out.get(JAVA_INT, 0));
      for (int value = 5; value < 8; value++) {
        in.set(JAVA_INT, 0, value);
        graph.launch(stream);
        stream.synchronise();
        assertEquals(value, out.get(JAVA_INT, 0));
      }
    }
  }

  @Test
  void anEventRecordedExternallyIsRecordedByEveryLaunch() {
    try (CudaEvent start = CudaEvent.create(true);
        CudaEvent end = CudaEvent.create(true);
        CudaGraph graph =
            stream.capture(
                () -> {
                  stream.recordExternally(start);
                  copies();
                  stream.recordExternally(end);
                })) {
      for (int i = 0; i < 2; i++) {
        graph.launch(stream);
        end.synchronise();
        double milliseconds = end.millisecondsSince(start);
        assertTrue(milliseconds >= 0 && milliseconds < 60_000, milliseconds + " ms");
      }
    }
  }

  @Test
  void workThatThrowsEndsTheCapture() {
    IllegalStateException thrown = new IllegalStateException("in the middle");
    IllegalStateException e =
        assertThrows(
            IllegalStateException.class,
            () ->
                stream.capture(
                    () -> {
                      stream.copyToDevice(memory, in, 4);
                      throw thrown;
                    }));
    assertSame(thrown, e);
    assertEquals(0, e.getSuppressed().length);
    assertUsable();
  }

  @Test
  void aCallThatACaptureForbidsIsNamedAndEndsIt() {
    ForeignException e =
        assertThrows(
            ForeignException.class,
            () ->
                stream.capture(
                    () -> {
                      copies();
                      stream.synchronise();
                    }));
    assertEquals("cuStreamSynchronize", e.function());
    assertEquals(900, e.code(), e.getMessage());
    assertTrue(e.getMessage().contains("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"), e.getMessage());
    // That the capture had become invalid comes as a further, suppressed failure.
    ForeignException end = (ForeignException) e.getSuppressed()[0];
    assertEquals("cuStreamEndCapture", end.function());
    assertEquals(901, end.code(), end.getMessage());
    assertUsable();
  }

  @Test
  void anAllocationInsideACaptureIsRefused() {
    ForeignException e =
        assertThrows(
            ForeignException.class, () -> stream.capture(() -> device.free(device.allocate(4))));
    assertEquals("cuMemAlloc_v2", e.function());
    assertEquals(900, e.code(), e.getMessage());
    assertUsable();
  }

  @Test
  void aSwallowedFailureStillSpoilsTheCapture() {
    ForeignException e =
        assertThrows(
            ForeignException.class,
            () ->
                stream.capture(
                    () -> assertThrows(ForeignException.class, () -> stream.synchronise())));
    assertEquals("cuStreamEndCapture", e.function());
    assertEquals(901, e.code(), e.getMessage());
    assertUsable();
  }
}
