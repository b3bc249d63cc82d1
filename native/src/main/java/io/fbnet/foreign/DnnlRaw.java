package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Raw handles of the oneDNN 3 C API (oneapi/dnnl/dnnl.h). Touch this class only after {@link
 * DnnlSymbols#missing} has found every symbol: its initialiser binds them all.
 */
@SuppressWarnings("restricted")
final class DnnlRaw {
  private static final Linker LINKER = Linker.nativeLinker();

  static final MethodHandle ENGINE_CREATE =
      status("dnnl_engine_create", ADDRESS, JAVA_INT, JAVA_LONG);
  static final MethodHandle ENGINE_DESTROY = status("dnnl_engine_destroy", ADDRESS);
  static final MethodHandle STREAM_CREATE =
      status("dnnl_stream_create", ADDRESS, ADDRESS, JAVA_INT);
  static final MethodHandle STREAM_WAIT = status("dnnl_stream_wait", ADDRESS);
  static final MethodHandle STREAM_DESTROY = status("dnnl_stream_destroy", ADDRESS);
  static final MethodHandle VERSION = handle("dnnl_version", ADDRESS);
  static final MethodHandle EFFECTIVE_ISA = handle("dnnl_get_effective_cpu_isa", JAVA_INT);
  static final MethodHandle CACHE_CAPACITY = status("dnnl_set_primitive_cache_capacity", JAVA_INT);
  static final MethodHandle MD_WITH_TAG =
      status("dnnl_memory_desc_create_with_tag", ADDRESS, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT);
  static final MethodHandle MD_CLONE = status("dnnl_memory_desc_clone", ADDRESS, ADDRESS);
  static final MethodHandle MD_DESTROY = status("dnnl_memory_desc_destroy", ADDRESS);
  static final MethodHandle MD_SIZE = handle("dnnl_memory_desc_get_size", JAVA_LONG, ADDRESS);
  static final MethodHandle MD_EQUAL = handle("dnnl_memory_desc_equal", JAVA_INT, ADDRESS, ADDRESS);
  static final MethodHandle MEMORY_CREATE =
      status("dnnl_memory_create", ADDRESS, ADDRESS, ADDRESS, ADDRESS);
  static final MethodHandle MEMORY_SET_DATA_HANDLE =
      status("dnnl_memory_set_data_handle", ADDRESS, ADDRESS);
  static final MethodHandle MEMORY_DESTROY = status("dnnl_memory_destroy", ADDRESS);
  static final MethodHandle ATTR_CREATE = status("dnnl_primitive_attr_create", ADDRESS);
  static final MethodHandle ATTR_DESTROY = status("dnnl_primitive_attr_destroy", ADDRESS);
  static final MethodHandle ATTR_SCRATCHPAD =
      status("dnnl_primitive_attr_set_scratchpad_mode", ADDRESS, JAVA_INT);
  static final MethodHandle ATTR_DETERMINISTIC =
      status("dnnl_primitive_attr_set_deterministic", ADDRESS, JAVA_INT);
  static final MethodHandle CONVOLUTION_FORWARD =
      status(
          "dnnl_convolution_forward_primitive_desc_create",
          ADDRESS,
          ADDRESS,
          JAVA_INT,
          JAVA_INT,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS);
  static final MethodHandle CONVOLUTION_BACKWARD_DATA =
      status(
          "dnnl_convolution_backward_data_primitive_desc_create",
          ADDRESS,
          ADDRESS,
          JAVA_INT,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS);
  static final MethodHandle CONVOLUTION_BACKWARD_WEIGHTS =
      status(
          "dnnl_convolution_backward_weights_primitive_desc_create",
          ADDRESS,
          ADDRESS,
          JAVA_INT,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS);
  static final MethodHandle MATMUL =
      status(
          "dnnl_matmul_primitive_desc_create",
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS);
  static final MethodHandle REORDER =
      status(
          "dnnl_reorder_primitive_desc_create",
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS);
  static final MethodHandle PD_QUERY =
      status("dnnl_primitive_desc_query", ADDRESS, JAVA_INT, JAVA_INT, ADDRESS);
  static final MethodHandle PD_QUERY_MD =
      handle("dnnl_primitive_desc_query_md", ADDRESS, ADDRESS, JAVA_INT, JAVA_INT);
  static final MethodHandle PD_DESTROY = status("dnnl_primitive_desc_destroy", ADDRESS);
  static final MethodHandle PRIMITIVE_CREATE = status("dnnl_primitive_create", ADDRESS, ADDRESS);
  static final MethodHandle PRIMITIVE_EXECUTE =
      status("dnnl_primitive_execute", ADDRESS, ADDRESS, JAVA_INT, ADDRESS);
  static final MethodHandle PRIMITIVE_DESTROY = status("dnnl_primitive_destroy", ADDRESS);
  static final MethodHandle OMP_SET_NUM_THREADS =
      LINKER.downcallHandle(
          DnnlLibrary.symbols().find("omp_set_num_threads").orElseThrow(),
          FunctionDescriptor.ofVoid(JAVA_INT));

  private DnnlRaw() {}

  private static MethodHandle status(String name, MemoryLayout... arguments) {
    return handle(name, JAVA_INT, arguments);
  }

  private static MethodHandle handle(String name, MemoryLayout result, MemoryLayout... arguments) {
    MemorySegment symbol = DnnlLibrary.symbols().find(name).orElseThrow();
    return LINKER.downcallHandle(symbol, FunctionDescriptor.of(result, arguments));
  }
}
