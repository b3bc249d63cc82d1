package io.fbnet.foreign;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * Structs of cuDNN and cuBLASLt that the bindings read by offset. Order and types of the fields are
 * in Bytedeco's wrapper; places follow from them by the rules of the x86-64 and AArch64 ABIs. The
 * lengths of arrays are not in the wrapper and stand here as in the headers.
 */
class CudaLayoutTest {
  private static final String ALGORITHM = "org/bytedeco/cuda/cublas/cublasLtMatmulAlgo_t";

  private static final Map<String, Long> SIZES = Map.of("int", 4L, "float", 4L, "long", 8L);

  /** Lays fields out one after the other, each at a multiple of its size, and so the whole. */
  private static Map<String, Long> offsets(Map<String, String> fields, Map<String, Integer> lengths)
      throws IOException {
    Map<String, Long> offsets = new LinkedHashMap<>();
    long at = 0;
    long widest = 1;
    for (Map.Entry<String, String> field : fields.entrySet()) {
      String type = field.getValue();
      long alignment;
      long bytes;
      if (type.equals(ALGORITHM)) {
        Map<String, String> inner = CudaHeaders.struct(ALGORITHM);
        assertEquals(Map.of("data", "long[]"), inner);
        // uint64_t data[8].
        alignment = 8;
        bytes = offsets(inner, Map.of("data", 8)).get("");
      } else if (type.endsWith("[]")) {
        alignment = SIZES.get(type.substring(0, type.length() - 2));
        bytes = alignment * lengths.get(field.getKey());
      } else {
        alignment = SIZES.get(type);
        bytes = alignment;
      }
      at = (at + alignment - 1) / alignment * alignment;
      offsets.put(field.getKey(), at);
      at += bytes;
      widest = Math.max(widest, alignment);
    }
    offsets.put("", (at + widest - 1) / widest * widest);
    return offsets;
  }

  @Test
  void performanceOfAConvolutionAlgorithm() throws IOException {
    for (String way : List.of("Fwd", "BwdData", "BwdFilter")) {
      String name = "org/bytedeco/cuda/cudnn/cudnnConvolution" + way + "AlgoPerf_t";
      // int reserved[3].
      Map<String, Long> offsets = offsets(CudaHeaders.struct(name), Map.of("reserved", 3));
      assertEquals(CudnnConvolution.PERF_ALGO, offsets.get("algo"), way);
      assertEquals(CudnnConvolution.PERF_STATUS, offsets.get("status"), way);
      assertEquals(CudnnConvolution.PERF_MEMORY, offsets.get("memory"), way);
      assertEquals(CudnnConvolution.PERF_DETERMINISM, offsets.get("determinism"), way);
      assertEquals(CudnnConvolution.PERF_MATH, offsets.get("mathType"), way);
      assertEquals(CudnnConvolution.PERF_BYTES, offsets.get(""), way);
    }
  }

  @Test
  void resultOfTheMatmulHeuristic() throws IOException {
    String name = "org/bytedeco/cuda/cublas/cublasLtMatmulHeuristicResult_t";
    // int reserved[4].
    Map<String, Long> offsets = offsets(CudaHeaders.struct(name), Map.of("reserved", 4));
    // The algorithm is handed on as the slice before the workspace's size.
    assertEquals(0, offsets.get("algo"));
    assertEquals(CublasLtMatmul.RESULT_WORKSPACE, offsets.get("workspaceSize"));
    assertEquals(CublasLtMatmul.RESULT_STATE, offsets.get("state"));
    assertEquals(CublasLtMatmul.RESULT_BYTES, offsets.get(""));
  }
}
