package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.foreign.CublasLtMatmul.Matrix;
import io.fbnet.foreign.CudnnConvolution.Direction;
import io.fbnet.foreign.CudnnConvolution.Sizes;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** cuDNN and cuBLASLt: one small result each, what they refuse, and what they keep. */
class CudaLibrariesTest {
  private static final int[] ALIGNED = {256, 256, 256};
  private static final Sizes SIZES = new Sizes(1, 1, 3, 3, 1, 3, 3, 3, 1, 1);

  private CudaDevice device;
  private CudaStream stream;
  private Cudnn cudnn;
  private CublasLt cublas;
  private final List<MemorySegment> memory = new ArrayList<>();

  @BeforeAll
  static void needsLibraries() {
    CudaSoftware.needs(Cuda.availability());
    CudaSoftware.needs(Cudnn.availability());
    CudaSoftware.needs(CublasLt.availability());
  }

  @BeforeEach
  void open() {
    if (CudaSoftware.present()) {
      CudaSoftware.reset();
    }
    device = CudaDevice.open(0);
    stream = CudaStream.create();
    cudnn = Cudnn.open(stream);
    cublas = CublasLt.open();
  }

  @AfterEach
  void everythingIsGivenBack() {
    for (int i = 0; i < 2; i++) {
      cudnn.close();
      cublas.close();
      stream.close();
    }
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

  private MemorySegment upload(Arena arena, float... values) {
    MemorySegment segment = allocate(4L * values.length);
    stream.copyToDevice(segment, arena.allocateFrom(JAVA_FLOAT, values), 4L * values.length);
    stream.synchronise();
    return segment;
  }

  private float[] download(Arena arena, MemorySegment segment) {
    MemorySegment host = arena.allocate(segment.byteSize(), 4);
    stream.copyToHost(host, segment, segment.byteSize());
    stream.synchronise();
    return host.toArray(JAVA_FLOAT);
  }

  private static void assertRefusal(ForeignException e, String function, int code, String name) {
    assertEquals(function, e.function());
    assertEquals(code, e.code(), e.getMessage());
    assertTrue(
        e.getMessage().startsWith(function + " returned " + code + " (" + name), e.getMessage());
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
  }

  private CudnnConvolution convolution(Direction direction, boolean deterministic, long most) {
    return new CudnnConvolution(cudnn, direction, SIZES, false, deterministic, most);
  }

  @Test
  void versionsAreThreeNumbers() {
    for (Availability library : List.of(Cudnn.availability(), CublasLt.availability())) {
      assertTrue(library.version().matches("\\d+\\.\\d+\\.\\d+"), library.toString());
    }
    if (CudaSoftware.present()) {
      assertEquals("9.15.0", Cudnn.availability().version());
      assertEquals("13.0.0", CublasLt.availability().version());
    }
  }

  @Test
  void convolvesInEachDirection() {
    try (Arena arena = Arena.ofConfined();
        CudnnConvolution forward = convolution(Direction.FORWARD, true, 1 << 20);
        CudnnConvolution data = convolution(Direction.BACKWARD_DATA, true, 1 << 20);
        CudnnConvolution weights = convolution(Direction.BACKWARD_FILTER, true, 1 << 20)) {
      // A filter that takes the pixel to the left, and a gradient of one pixel.
      MemorySegment x = upload(arena, 1, 2, 3, 4, 5, 6, 7, 8, 9);
      MemorySegment w = upload(arena, 0, 0, 0, 1, 0, 0, 0, 0, 0);
      MemorySegment dy = upload(arena, 0, 0, 0, 0, 1, 0, 0, 0, 0);
      MemorySegment result = allocate(36);
      MemorySegment workspace = allocate(1 << 20);
      forward.run(x, w, result, workspace);
      assertArrayEquals(new float[] {0, 1, 2, 0, 4, 5, 0, 7, 8}, download(arena, result));
      data.run(w, dy, result, workspace);
      assertArrayEquals(new float[] {0, 0, 0, 1, 0, 0, 0, 0, 0}, download(arena, result));
      weights.run(x, dy, result, workspace);
      assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6, 7, 8, 9}, download(arena, result));
    }
  }

  /** The order of algorithms is cuDNN's own; which of them is steady is read from it. */
  @Test
  void onlyDeterministicAlgorithmsAreTakenWhereAsked() {
    CudaSoftware.needsSoftware();
    try (CudnnConvolution any = convolution(Direction.BACKWARD_FILTER, false, 1 << 20);
        CudnnConvolution steady = convolution(Direction.BACKWARD_FILTER, true, 1 << 20)) {
      assertEquals(0, any.algorithm());
      assertEquals(0, any.workspaceBytes());
      assertEquals(1, steady.algorithm());
      assertTrue(steady.workspaceBytes() > 0);
    }
  }

  @Test
  void noAlgorithmThatFitsIsARefusal() throws IOException {
    CudaSoftware.needsSoftware();
    CudaHeaders headers = new CudaHeaders("org/bytedeco/cuda/global/cudnn");
    ForeignException e =
        assertThrows(
            ForeignException.class, () -> convolution(Direction.BACKWARD_FILTER, true, 0).close());
    int code = (int) headers.constant("CUDNN_STATUS_NOT_SUPPORTED");
    String name = "no algorithm that is deterministic";
    assertRefusal(e, "cudnnGetConvolutionBackwardFilterAlgorithm_v7", code, name);
    assertTrue(e.getMessage().contains("kernel=3"), e.getMessage());
    assertEquals(1, CudaSoftware.live(CudaSoftware.LIVE_CUDNN), "more than the handle is left");
  }

  @Test
  void cudnnRefusesWhatDoesNotFit() {
    Sizes wrong = new Sizes(1, 1, 3, 3, 1, 2, 2, 3, 1, 1);
    ForeignException e =
        assertThrows(
            ForeignException.class,
            () ->
                new CudnnConvolution(cudnn, Direction.FORWARD, wrong, false, false, 1 << 20)
                    .close());
    assertEquals("cudnnGetConvolutionForwardAlgorithm_v7", e.function());
    assertTrue(e.getMessage().contains("CUDNN_STATUS_BAD_PARAM"), e.getMessage());
    if (CudaSoftware.present()) {
      assertRefusal(e, e.function(), 2000, "CUDNN_STATUS_BAD_PARAM)");
      assertEquals(1, CudaSoftware.live(CudaSoftware.LIVE_CUDNN), "more than the handle is left");
    }
  }

  private CublasLtMatmul product(
      CublasLtMatmul.Type a, CublasLtMatmul.Type d, boolean tf32, long columnsOfB) {
    Matrix left = new Matrix(a, 2, 2, 2, 0);
    Matrix right = new Matrix(a, 2, columnsOfB, 2, 0);
    Matrix result = new Matrix(d, 2, 2, 2, 0);
    return new CublasLtMatmul(
        cublas, left, false, right, true, result, 1, tf32, true, ALIGNED, 1 << 20);
  }

  @Test
  void multiplies() {
    try (Arena arena = Arena.ofConfined();
        CublasLtMatmul product =
            product(CublasLtMatmul.Type.F32, CublasLtMatmul.Type.F32, false, 2)) {
      // Column-major: A is [1 3; 2 4], B is [5 7; 6 8], the result A times B transposed.
      MemorySegment a = upload(arena, 1, 2, 3, 4);
      MemorySegment b = upload(arena, 5, 6, 7, 8);
      MemorySegment d = allocate(16);
      product.run(stream, a, b, d, allocate(1 << 20));
      assertArrayEquals(new float[] {26, 38, 30, 44}, download(arena, d));
    }
  }

  @Test
  void closingTwiceIsHarmless() {
    CublasLtMatmul product = product(CublasLtMatmul.Type.F32, CublasLtMatmul.Type.F32, false, 2);
    CudnnConvolution convolution = convolution(Direction.FORWARD, false, 1 << 20);
    for (int i = 0; i < 2; i++) {
      product.close();
      convolution.close();
    }
  }

  @Test
  void cublasRefusesWhatItDoesNotOffer() throws IOException {
    String heuristic = "cublasLtMatmulAlgoGetHeuristic";
    ForeignException shapes =
        assertThrows(
            ForeignException.class,
            () -> product(CublasLtMatmul.Type.F32, CublasLtMatmul.Type.F32, false, 3).close());
    assertEquals(heuristic, shapes.function());
    CudaSoftware.needsSoftware();
    assertRefusal(shapes, heuristic, 7, "CUBLAS_STATUS_INVALID_VALUE)");
    // TF32 is a way to multiply f32; with bf16 there is no such product.
    ForeignException types =
        assertThrows(
            ForeignException.class,
            () -> product(CublasLtMatmul.Type.BF16, CublasLtMatmul.Type.F32, true, 2).close());
    int code =
        (int)
            new CudaHeaders("org/bytedeco/cuda/global/cublas")
                .constant("CUBLAS_STATUS_NOT_SUPPORTED");
    assertRefusal(types, heuristic, code, "CUBLAS_STATUS_NOT_SUPPORTED)");
    assertEquals(1, CudaSoftware.live(CudaSoftware.LIVE_CUBLASLT), "more than the handle is left");
  }
}
