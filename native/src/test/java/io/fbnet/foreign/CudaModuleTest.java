package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Modules, functions, arguments and launches, and NVRTC's refusals. */
class CudaModuleTest {
  /** Two kernels that do nothing, with the parameters of two that the software device knows. */
  private static final byte[] PTX =
      """
      .version 7.0
      .target sm_75
      .address_size 64
      .visible .entry cast_to_bf16(
        .param .u64 x,
        .param .u64 y,
        .param .u64 n
      )
      {
        ret;
      }
      .visible .entry filter_to_channels_last(
        .param .u64 oihw,
        .param .u64 ohwi,
        .param .u32 o,
        .param .u32 c,
        .param .u32 taps
      )
      {
        ret;
      }
      """
          .getBytes(StandardCharsets.US_ASCII);

  private CudaDevice device;

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
  void close() {
    device.close();
    if (CudaSoftware.present()) {
      for (int kind = 0; kind <= CudaSoftware.LIVE_KINDS; kind++) {
        assertEquals(0, CudaSoftware.live(kind), "live objects of kind " + kind);
      }
      CudaSoftware.reset();
    }
  }

  @Test
  void garbageIsNoModule() {
    byte[] garbage = "not an image".getBytes(StandardCharsets.US_ASCII);
    ForeignException e =
        assertThrows(ForeignException.class, () -> CudaModule.load(garbage).close());
    assertEquals("cuModuleLoadData", e.function());
    assertEquals(200, e.code(), e.getMessage());
    assertTrue(e.getMessage().contains("(CUDA_ERROR_INVALID_IMAGE: "), e.getMessage());
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    assertTrue(CudaModule.isForAnotherDevice(e));
    assertThrows(ForeignException.class, () -> CudaModule.load(new byte[0]).close());
  }

  @Test
  void findsKernelsByName() {
    CudaModule module = CudaModule.load(PTX);
    CudaFunction function = module.function("cast_to_bf16");
    assertEquals("cast_to_bf16", function.name());
    assertTrue(function.registers() > 0 && function.localBytes() == 0);
    assertSame(function, module.function("cast_to_bf16"));
    ForeignException e =
        assertThrows(ForeignException.class, () -> module.function("no_such_kernel"));
    assertEquals(500, e.code());
    assertTrue(e.getMessage().startsWith("cuModuleGetFunction returned 500 (CUDA_ERROR_NOT_FOUND"));
    assertTrue(e.getMessage().endsWith(" for no_such_kernel"), e.getMessage());
    module.close();
    module.close();
  }

  private static String refused(CudaModule module, String name, CudaArguments arguments) {
    int[] one = {1, 1, 1};
    return assertThrows(
            IllegalArgumentException.class,
            () -> module.function(name).prepare(one, one, 0, arguments).close())
        .getMessage();
  }

  @Test
  void argumentsMustFitTheKernelsParameters() {
    assumeTrue(
        CudaRaw.BINDER.has("cuFuncGetParamInfo"), "drivers before 12.4 do not tell parameters");
    try (CudaModule module = CudaModule.load(PTX)) {
      String cast = "cast_to_bf16";
      String few = refused(module, cast, new CudaArguments().pointer(null).pointer(null));
      assertEquals("kernel cast_to_bf16 takes more than 2 parameters", few);
      CudaArguments four = new CudaArguments().pointer(null).pointer(null).i64(1).i64(1);
      assertEquals("kernel cast_to_bf16 takes 3 parameters, not 4", refused(module, cast, four));
      CudaArguments narrow = new CudaArguments().pointer(null).pointer(null).i32(1);
      assertEquals(
          "parameter 2 of kernel cast_to_bf16 has 8 bytes at offset 16, but the argument has 4 at"
              + " 16",
          refused(module, cast, narrow));
      CudaArguments swapped = new CudaArguments().pointer(null).i32(1).pointer(null).i32(1).i32(1);
      assertTrue(
          refused(module, "filter_to_channels_last", swapped)
              .startsWith("parameter 1 of kernel filter_to_channels_last has 8 bytes at offset 8"));
      assertThrows(
          IllegalArgumentException.class,
          () -> new CudaArguments().pointers(1, List.of(MemorySegment.NULL, MemorySegment.NULL)));
    }
  }

  @Test
  void launchesAreCheckedAndRun() {
    try (CudaModule module = CudaModule.load(PTX);
        CudaStream stream = CudaStream.create();
        Arena arena = Arena.ofConfined()) {
      MemorySegment x = device.allocate(16);
      MemorySegment y = device.allocate(8);
      MemorySegment host = arena.allocateFrom(JAVA_FLOAT, 1f, -2f, 0.5f, 3f);
      CudaFunction cast = module.function("cast_to_bf16");
      CudaArguments arguments = new CudaArguments().pointer(x).pointer(y).i64(4);
      stream.copyToDevice(x, host, 16);
      stream.fill(y, (byte) 0);
      try (CudaLaunch launch =
              cast.prepare(new int[] {1, 1, 1}, new int[] {32, 1, 1}, 0, arguments);
          CudaLaunch tooWide =
              cast.prepare(new int[] {1, 1, 1}, new int[] {2048, 1, 1}, 0, arguments)) {
        launch.on(stream);
        stream.copyToHost(host, y, 8);
        stream.synchronise();
        ForeignException e = assertThrows(ForeignException.class, () -> tooWide.on(stream));
        assertTrue(e.getMessage().startsWith("cuLaunchKernel returned 1 ("), e.getMessage());
        assertTrue(e.getMessage().endsWith(" for cast_to_bf16"), e.getMessage());
      }
      if (CudaSoftware.present()) {
        // The kernels of that name that it was built with, whatever the PTX says.
        assertEquals((short) 0x3f80, host.getAtIndex(JAVA_SHORT, 0));
        assertEquals((short) 0xc000, host.getAtIndex(JAVA_SHORT, 1));
      }
      device.free(x);
      device.free(y);
    }
  }

  @Test
  void whatNvrtcCompilesLoads() {
    CudaSoftware.needs(Nvrtc.availability());
    byte[] cubin =
        Nvrtc.compile(
            "double.cu",
            "#include \"name.h\"\nextern \"C\" __global__ void NAME(float* x) { *x *= 2.0f; }\n",
            Map.of("name.h", "#define NAME twice\n"),
            device.computeCapability());
    assertTrue(cubin.length >= 64, cubin.length + " bytes");
    CudaModule.load(cubin).close();
  }

  @Test
  void aSourceThatDoesNotCompileSaysWhyInOneLine() {
    CudaSoftware.needs(Nvrtc.availability());
    String source =
        "#include \"absent.h\"\n#include \"gone.h\"\nextern \"C\" __global__ void f() {}\n";
    ForeignException e =
        assertThrows(
            ForeignException.class,
            () -> Nvrtc.compile("broken.cu", source, Map.of(), device.computeCapability()));
    assertEquals("nvrtcCompileProgram", e.function());
    assertEquals(6, e.code());
    String message = e.getMessage();
    assertTrue(
        message.startsWith(
            "nvrtcCompileProgram returned 6 (NVRTC_ERROR_COMPILATION) for broken.cu: "),
        message);
    assertTrue(message.contains("broken.cu(1)") && message.contains("\"absent.h\""), message);
    assertEquals(1, message.lines().count(), message);
  }

  @Test
  void anArchitectureThatNvrtcDoesNotKnowIsRefused() {
    CudaSoftware.needs(Nvrtc.availability());
    ForeignException e =
        assertThrows(
            ForeignException.class,
            () -> Nvrtc.compile("f.cu", "extern \"C\" __global__ void f() {}", Map.of(), 7));
    assertEquals("nvrtcCompileProgram", e.function());
    assertTrue(e.getMessage().contains("NVRTC_ERROR_INVALID_OPTION"), e.getMessage());
  }
}
