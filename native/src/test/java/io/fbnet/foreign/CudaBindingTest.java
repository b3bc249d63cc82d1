package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.StructLayout;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** Every CUDA function that is bound, against Bytedeco's wrapper; the driver's against JCuda's. */
class CudaBindingTest {
  private static final String GLOBAL = "org/bytedeco/cuda/global/";

  /** Symbols that the header gives another name, beside those whose macro appends {@code _v2}. */
  private static final Map<String, String> RENAMED =
      Map.of(
          // In cuda.h 12 and 13 the plain name is a macro for this symbol; the symbol of the plain
          // name has CUDA 10's parameters.
          "cuGraphInstantiateWithFlags", "cuGraphInstantiate");

  /**
   * Functions for which a macro of cuda.h appends {@code _v2} in both CUDA 12 and 13: the plain
   * symbol, where a driver still has it, is an older form with 32-bit sizes or other parameters.
   */
  private static final Set<String> SECOND_VERSIONS =
      Set.of(
          "cuDeviceTotalMem",
          "cuDevicePrimaryCtxRelease",
          "cuMemGetInfo",
          "cuMemAlloc",
          "cuMemFree",
          "cuMemcpyHtoDAsync",
          "cuMemcpyDtoHAsync",
          "cuMemcpyDtoDAsync",
          "cuStreamDestroy",
          "cuStreamBeginCapture",
          "cuEventDestroy");

  /** Driver functions that JCuda 12.6 lacks. */
  private static final Map<String, String> NOT_IN_JCUDA =
      Map.of("cuFuncGetParamInfo", "new in CUDA 12.4; JCuda's wrapper left it out");

  /** Where a device address is a long here and a {@code void*} in the header, by parameter. */
  private static final Map<String, Set<Integer>> ADDRESSES =
      Map.of(
          "cudnnConvolutionForward", Set.of(3, 5, 8, 12),
          "cudnnConvolutionBackwardData", Set.of(3, 5, 8, 12),
          "cudnnConvolutionBackwardFilter", Set.of(3, 5, 8, 12),
          "cublasLtMatmul", Set.of(3, 5, 8, 10, 13),
          "ncclAllReduce", Set.of(0, 1),
          "ncclBroadcast", Set.of(0, 1));

  private static String headerName(String symbol) {
    String plain = symbol.endsWith("_v2") ? symbol.substring(0, symbol.length() - 3) : symbol;
    return RENAMED.getOrDefault(symbol, plain);
  }

  /** A wrapper shows a struct that is passed by value as its class. */
  private static String kind(MemoryLayout layout) {
    return layout instanceof AddressLayout || layout instanceof StructLayout
        ? "pointer"
        : layout.equals(JAVA_LONG) ? "long" : layout.equals(JAVA_INT) ? "int" : "byte";
  }

  /** Our kinds, with device addresses as the header has them. */
  private static List<String> kinds(String symbol, FunctionDescriptor form) {
    List<String> kinds = new ArrayList<>();
    kinds.add(kind(form.returnLayout().orElseThrow()));
    form.argumentLayouts().forEach(argument -> kinds.add(kind(argument)));
    for (int parameter : ADDRESSES.getOrDefault(symbol, Set.of())) {
      assertEquals("long", kinds.set(1 + parameter, "pointer"), symbol + " parameter " + parameter);
    }
    return kinds;
  }

  private static void check(Binder binder, CudaHeaders headers, int least) {
    Map<String, FunctionDescriptor> bound = new TreeMap<>(binder.bound());
    assertTrue(bound.size() >= least, bound.keySet().toString());
    bound.forEach(
        (symbol, form) ->
            assertEquals(Set.of(kinds(symbol, form)), headers.forms(headerName(symbol)), symbol));
  }

  @Test
  void driverFunctionsAreThoseOfTheHeader() throws IOException {
    CudaSoftware.needs(Cuda.availability());
    check(CudaRaw.BINDER, new CudaHeaders(GLOBAL + "cudart"), 40);
  }

  @Test
  void cudnnFunctionsAreThoseOfTheHeader() throws IOException {
    CudaSoftware.needs(Cudnn.availability());
    check(CudnnRaw.BINDER, new CudaHeaders(GLOBAL + "cudnn"), 25);
  }

  @Test
  void cublasLtFunctionsAreThoseOfTheHeader() throws IOException {
    CudaSoftware.needs(CublasLt.availability());
    check(CublasLtRaw.BINDER, new CudaHeaders(GLOBAL + "cublas"), 15);
  }

  @Test
  void nvrtcFunctionsAreThoseOfTheHeader() throws IOException {
    CudaSoftware.needs(Nvrtc.availability());
    check(NvrtcRaw.BINDER, new CudaHeaders(GLOBAL + "nvrtc"), 9);
  }

  @Test
  void ncclFunctionsAreThoseOfTheHeader() throws IOException {
    CudaSoftware.needs(Nccl.availability());
    check(NcclRaw.BINDER, new CudaHeaders(GLOBAL + "nccl"), 12);
  }

  @Test
  void secondVersionsAreBoundWhereTheHeaderMeansThem() {
    CudaSoftware.needs(Cuda.availability());
    Set<String> second = new TreeSet<>();
    for (String symbol : CudaRaw.BINDER.bound().keySet()) {
      if (symbol.endsWith("_v2")) {
        second.add(headerName(symbol));
      }
    }
    assertEquals(new TreeSet<>(SECOND_VERSIONS), second);
    // 12.8 brought a cuEventElapsedTime_v2 too; the plain one is kept because older drivers have
    // no other, and both take the same parameters.
    assertTrue(CudaRaw.BINDER.bound().containsKey("cuEventElapsedTime"));
  }

  @Test
  void driverNamesAreThoseOfJcuda() throws IOException {
    CudaSoftware.needs(Cuda.availability());
    CudaHeaders jcuda = new CudaHeaders("jcuda/driver/JCudaDriver");
    for (Map.Entry<String, FunctionDescriptor> bound : CudaRaw.BINDER.bound().entrySet()) {
      String name = headerName(bound.getKey());
      Collection<List<String>> forms = jcuda.forms(name);
      if (NOT_IN_JCUDA.containsKey(name)) {
        assertTrue(forms.isEmpty(), name + " is in JCuda after all");
        continue;
      }
      assertFalse(forms.isEmpty(), name);
      int parameters = bound.getValue().argumentLayouts().size();
      assertTrue(
          forms.stream().anyMatch(form -> form.size() == 1 + parameters),
          name + " with " + parameters + " parameters, not " + forms);
    }
  }

  @Test
  void exceptionsAreStillNeeded() {
    CudaSoftware.needs(Cuda.availability());
    CudaSoftware.needs(Cudnn.availability());
    CudaSoftware.needs(CublasLt.availability());
    CudaSoftware.needs(Nccl.availability());
    Set<String> bound = new TreeSet<>(CudaRaw.BINDER.bound().keySet());
    assertTrue(bound.containsAll(RENAMED.keySet()), RENAMED.keySet().toString());
    assertTrue(bound.containsAll(NOT_IN_JCUDA.keySet()), NOT_IN_JCUDA.toString());
    bound.addAll(CudnnRaw.BINDER.bound().keySet());
    bound.addAll(CublasLtRaw.BINDER.bound().keySet());
    bound.addAll(NcclRaw.BINDER.bound().keySet());
    assertTrue(bound.containsAll(ADDRESSES.keySet()), ADDRESSES.keySet().toString());
  }
}
