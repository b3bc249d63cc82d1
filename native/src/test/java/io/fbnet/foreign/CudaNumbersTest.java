package io.fbnet.foreign;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Every constant of the CUDA bindings, against NVIDIA's headers as Bytedeco's wrapper has them. */
class CudaNumbersTest {
  private static final String GLOBAL = "org/bytedeco/cuda/global/";

  /** Ours by class and name; what is no number of a header has no place here. */
  private static final Map<Class<?>, Map<String, String>> NAMES =
      Map.of(
          Cuda.class,
              Map.of(
                  "SUCCESS", "CUDA_SUCCESS",
                  "OUT_OF_MEMORY", "CUDA_ERROR_OUT_OF_MEMORY",
                  "NO_DEVICE", "CUDA_ERROR_NO_DEVICE",
                  "INVALID_IMAGE", "CUDA_ERROR_INVALID_IMAGE",
                  "NO_BINARY_FOR_GPU", "CUDA_ERROR_NO_BINARY_FOR_GPU",
                  "INVALID_PTX", "CUDA_ERROR_INVALID_PTX",
                  "UNSUPPORTED_PTX_VERSION", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
                  "INVALID_VALUE", "CUDA_ERROR_INVALID_VALUE",
                  "NOT_READY", "CUDA_ERROR_NOT_READY"),
          Nccl.class,
              Map.of(
                  "ID_BYTES", "NCCL_UNIQUE_ID_BYTES",
                  "SUCCESS", "ncclSuccess",
                  "IN_PROGRESS", "ncclInProgress",
                  "BYTES", "ncclUint8",
                  "F32", "ncclFloat32",
                  "F64", "ncclFloat64",
                  "AVERAGE", "ncclAvg"),
          CudaDevice.class, Map.of("HOST_PORTABLE", "CU_MEMHOSTALLOC_PORTABLE"),
          CudaStream.class,
              Map.of(
                  "NON_BLOCKING", "CU_STREAM_NON_BLOCKING",
                  "CAPTURE_THREAD_LOCAL", "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL",
                  "RECORD_EXTERNAL", "CU_EVENT_RECORD_EXTERNAL"),
          CudaEvent.class,
              Map.of(
                  "DEFAULT",
                  "CU_EVENT_DEFAULT",
                  "BLOCKING_SYNC",
                  "CU_EVENT_BLOCKING_SYNC",
                  "DISABLE_TIMING",
                  "CU_EVENT_DISABLE_TIMING"),
          CudaModule.class,
              Map.of(
                  "REGISTERS", "CU_FUNC_ATTRIBUTE_NUM_REGS",
                  "LOCAL_BYTES", "CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES"),
          Cudnn.class,
              Map.of(
                  "HOST_ALLOCATION_FAILED", "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
                  "DEVICE_ALLOCATION_FAILED",
                      "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
          CudnnConvolution.class,
              Map.of(
                  "DATA_FLOAT", "CUDNN_DATA_FLOAT",
                  "TENSOR_NHWC", "CUDNN_TENSOR_NHWC",
                  "CROSS_CORRELATION", "CUDNN_CROSS_CORRELATION",
                  "DEFAULT_MATH", "CUDNN_DEFAULT_MATH",
                  "FMA_MATH", "CUDNN_FMA_MATH",
                  "DETERMINISTIC", "CUDNN_DETERMINISTIC"),
          CublasLt.class, Map.of("ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED"),
          CublasLtMatmul.class,
              Map.ofEntries(
                  Map.entry("COMPUTE_32F", "CUBLAS_COMPUTE_32F"),
                  Map.entry("COMPUTE_32F_FAST_TF32", "CUBLAS_COMPUTE_32F_FAST_TF32"),
                  Map.entry("TRANSA", "CUBLASLT_MATMUL_DESC_TRANSA"),
                  Map.entry("TRANSB", "CUBLASLT_MATMUL_DESC_TRANSB"),
                  Map.entry("OP_N", "CUBLAS_OP_N"),
                  Map.entry("OP_T", "CUBLAS_OP_T"),
                  Map.entry("LAYOUT_BATCH_COUNT", "CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT"),
                  Map.entry("LAYOUT_BATCH_OFFSET", "CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET"),
                  Map.entry("PREFERENCE_WORKSPACE", "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES"),
                  Map.entry("PREFERENCE_REDUCTION", "CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK"),
                  Map.entry(
                      "PREFERENCE_ALIGNMENT_A", "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES")));

  /** Constants that a test of their own checks, or that are not the headers'. */
  private static final Set<String> NOT_ENUMERATORS =
      Set.of(
          // A union of two bits.
          "CublasLtMatmul.REDUCTION_ORDERED",
          // Structs: CudaLayoutTest.
          "CublasLtMatmul.RESULT_BYTES",
          "CublasLtMatmul.RESULT_WORKSPACE",
          "CublasLtMatmul.RESULT_STATE",
          "CudnnConvolution.PERF_BYTES",
          "CudnnConvolution.PERF_ALGO",
          "CudnnConvolution.PERF_STATUS",
          "CudnnConvolution.PERF_MEMORY",
          "CudnnConvolution.PERF_DETERMINISM",
          "CudnnConvolution.PERF_MATH",
          // How many proposals we ask for.
          "CudnnConvolution.MOST_ALGORITHMS");

  /** Driver errors that are newer than JCuda 12.6. */
  private static final Set<String> NOT_IN_JCUDA =
      Set.of("CUDA_ERROR_CONTAINED", "CUDA_ERROR_TENSOR_MEMORY_LEAK");

  private static CudaHeaders headers;
  private static CudaHeaders jcuda;

  @BeforeAll
  static void readHeaders() throws IOException {
    headers =
        new CudaHeaders(
            GLOBAL + "cudart",
            GLOBAL + "cudnn",
            GLOBAL + "cublas",
            GLOBAL + "nvrtc",
            GLOBAL + "nccl");
    String driver = "jcuda/driver/";
    jcuda =
        new CudaHeaders(
            driver + "CUresult",
            driver + "JCudaDriver",
            driver + "CUdevice_attribute",
            driver + "CUfunction_attribute",
            driver + "CUstream_flags",
            driver + "CUstreamCaptureMode",
            driver + "CUevent_flags");
  }

  @Test
  void constantsAreThoseOfTheHeaders() throws IllegalAccessException {
    for (Map.Entry<Class<?>, Map<String, String>> ours : NAMES.entrySet()) {
      Set<String> seen = new TreeSet<>();
      for (Field field : ours.getKey().getDeclaredFields()) {
        String name = ours.getKey().getSimpleName() + "." + field.getName();
        boolean number = field.getType() == int.class || field.getType() == long.class;
        if (!Modifier.isStatic(field.getModifiers()) || !number || NOT_ENUMERATORS.contains(name)) {
          continue;
        }
        field.setAccessible(true);
        String theirs = ours.getValue().get(field.getName());
        assertTrue(theirs != null, name + " is held against nothing");
        assertEquals(headers.constant(theirs), ((Number) field.get(null)).longValue(), name);
        seen.add(field.getName());
      }
      assertEquals(new TreeSet<>(ours.getValue().keySet()), seen, ours.getKey().toString());
    }
  }

  @Test
  void deviceAttributesAreThoseOfTheHeader() {
    for (CudaDevice.Attribute attribute : CudaDevice.Attribute.values()) {
      String name = "CU_DEVICE_ATTRIBUTE_" + attribute.name();
      assertEquals(headers.constant(name), attribute.code, name);
      assertEquals(jcuda.constant(name), attribute.code, name);
    }
  }

  @Test
  void elementTypesAreThoseOfTheHeader() {
    for (CublasLtMatmul.Type type : CublasLtMatmul.Type.values()) {
      String name =
          switch (type) {
            case F32 -> "CUDA_R_32F";
            case BF16 -> "CUDA_R_16BF";
          };
      assertEquals(headers.constant(name), type.code, name);
    }
  }

  @Test
  void orderedReductionsAreThoseThroughWorkspace() {
    long inPlace = headers.constant("CUBLASLT_REDUCTION_SCHEME_INPLACE");
    assertEquals(
        headers.constant("CUBLASLT_REDUCTION_SCHEME_MASK") & ~inPlace,
        CublasLtMatmul.REDUCTION_ORDERED);
    assertEquals(
        headers.constant("CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE")
            | headers.constant("CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE"),
        CublasLtMatmul.REDUCTION_ORDERED);
  }

  /** The four alignments are set by adding 0 to 3 to the first. */
  @Test
  void alignmentPreferencesFollowOneAnother() {
    for (int i = 0; i < 4; i++) {
      String name = "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_" + "ABCD".charAt(i) + "_BYTES";
      assertEquals(headers.constant(name), CublasLtMatmul.PREFERENCE_ALIGNMENT_A + i, name);
    }
  }

  /** Zeros that stand in the code as such: no flags, and success. */
  @Test
  void zerosOfTheCodeAreThoseOfTheHeaders() {
    for (String name :
        new String[] {
          "CU_EVENT_WAIT_DEFAULT", "CUDNN_STATUS_SUCCESS", "CUBLAS_STATUS_SUCCESS", "NVRTC_SUCCESS"
        }) {
      assertEquals(0, headers.constant(name), name);
    }
  }

  private static Set<String> names(String prefix, String function, Predicate<ForeignException> p) {
    Set<String> names = new TreeSet<>();
    headers
        .constants(prefix)
        .forEach(
            (name, code) -> {
              if (p.test(new ForeignException(function, code.intValue(), name, ""))) {
                names.add(name);
              }
            });
    return names;
  }

  @Test
  void theErrorsThatLoseTheDevice() {
    Set<String> expected =
        new TreeSet<>(
            Set.of(
                "CUDA_ERROR_ASSERT",
                "CUDA_ERROR_CONTAINED",
                "CUDA_ERROR_CONTEXT_IS_DESTROYED",
                "CUDA_ERROR_DEINITIALIZED",
                "CUDA_ERROR_DEVICE_UNAVAILABLE",
                "CUDA_ERROR_ECC_UNCORRECTABLE",
                "CUDA_ERROR_NVLINK_UNCORRECTABLE",
                "CUDA_ERROR_ILLEGAL_ADDRESS",
                "CUDA_ERROR_LAUNCH_TIMEOUT",
                "CUDA_ERROR_HARDWARE_STACK_ERROR",
                "CUDA_ERROR_ILLEGAL_INSTRUCTION",
                "CUDA_ERROR_MISALIGNED_ADDRESS",
                "CUDA_ERROR_INVALID_ADDRESS_SPACE",
                "CUDA_ERROR_INVALID_PC",
                "CUDA_ERROR_LAUNCH_FAILED",
                "CUDA_ERROR_TENSOR_MEMORY_LEAK",
                "CUDA_ERROR_UNKNOWN"));
    assertEquals(expected, names("CUDA_ERROR_", "cuLaunchKernel", CudaDevice::isLost));
    assertEquals(Set.of(), names("CUDNN_STATUS_", "cudnnCreate", CudaDevice::isLost));
    assertEquals(Set.of(), names("CUBLAS_STATUS_", "cublasLtMatmul", CudaDevice::isLost));
    assertEquals(Set.of(), names("NVRTC_", "nvrtcCompileProgram", CudaDevice::isLost));
  }

  @Test
  void theErrorsThatMeanShortMemory() {
    assertEquals(
        Set.of("CUDA_ERROR_OUT_OF_MEMORY"),
        names("CUDA_ERROR_", "cuMemAlloc_v2", CudaDevice::isOutOfMemory));
    assertEquals(
        Set.of(
            // cuDNN 8's name for the first.
            "CUDNN_STATUS_ALLOC_FAILED",
            "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
            "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        names("CUDNN_STATUS_", "cudnnConvolutionForward", CudaDevice::isOutOfMemory));
    assertEquals(
        Set.of("CUBLAS_STATUS_ALLOC_FAILED"),
        names("CUBLAS_STATUS_", "cublasLtMatmul", CudaDevice::isOutOfMemory));
    assertFalse(CudaDevice.isOutOfMemory(new ForeignException("nvrtcVersion", 2, "", "")));
  }

  @Test
  void theErrorsThatMeanAnImageForAnotherDevice() {
    assertEquals(
        Set.of(
            "CUDA_ERROR_INVALID_IMAGE",
            "CUDA_ERROR_INVALID_PTX",
            "CUDA_ERROR_NO_BINARY_FOR_GPU",
            "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"),
        names("CUDA_ERROR_", "cuModuleLoadData", CudaModule::isForAnotherDevice));
  }

  /** A second opinion: the driver's numbers in the other wrapper. */
  @Test
  void driverNumbersAreThoseOfJcuda() {
    Map<String, Long> driver = new TreeMap<>(headers.constants("CUDA_ERROR_"));
    driver.keySet().removeIf(name -> !jcuda.hasConstant(name));
    for (Class<?> ours :
        Set.of(Cuda.class, CudaDevice.class, CudaStream.class, CudaEvent.class, CudaModule.class)) {
      for (String name : NAMES.get(ours).values()) {
        if (!name.startsWith("CU_EVENT_RECORD")) {
          // JCuda passes these flags as plain numbers.
          driver.put(name, headers.constant(name));
        }
      }
    }
    assertTrue(driver.size() > 80, driver.toString());
    driver.forEach((name, value) -> assertEquals(jcuda.constant(name), value, name));
    Set<String> lost = names("CUDA_ERROR_", "cuLaunchKernel", CudaDevice::isLost);
    lost.removeIf(jcuda::hasConstant);
    assertEquals(NOT_IN_JCUDA, lost);
  }
}
