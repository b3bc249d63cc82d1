package io.fbnet.foreign;

import java.lang.foreign.SymbolLookup;
import java.util.List;

/**
 * The names that {@link DnnlRaw} binds. They are kept apart from it because its initialiser fails
 * where one is absent, and an absent one must be described, not thrown while a class loads.
 */
final class DnnlSymbols {
  static final List<String> NAMES =
      List.of(
          "dnnl_convolution_backward_data_primitive_desc_create",
          "dnnl_convolution_backward_weights_primitive_desc_create",
          "dnnl_convolution_forward_primitive_desc_create",
          "dnnl_engine_create",
          "dnnl_engine_destroy",
          "dnnl_get_effective_cpu_isa",
          "dnnl_matmul_primitive_desc_create",
          "dnnl_memory_create",
          "dnnl_memory_desc_clone",
          "dnnl_memory_desc_create_with_tag",
          "dnnl_memory_desc_destroy",
          "dnnl_memory_desc_equal",
          "dnnl_memory_desc_get_size",
          "dnnl_memory_destroy",
          "dnnl_memory_set_data_handle",
          "dnnl_primitive_attr_create",
          "dnnl_primitive_attr_destroy",
          "dnnl_primitive_attr_set_deterministic",
          "dnnl_primitive_attr_set_scratchpad_mode",
          "dnnl_primitive_create",
          "dnnl_primitive_desc_destroy",
          "dnnl_primitive_desc_query",
          "dnnl_primitive_desc_query_md",
          "dnnl_primitive_destroy",
          "dnnl_primitive_execute",
          "dnnl_reorder_primitive_desc_create",
          "dnnl_set_primitive_cache_capacity",
          "dnnl_stream_create",
          "dnnl_stream_destroy",
          "dnnl_stream_wait",
          "dnnl_version",
          "omp_set_num_threads");

  private DnnlSymbols() {}

  /** Symbols that the library lacks; an older or newer major version shows here. */
  static List<String> missing(SymbolLookup symbols) {
    return NAMES.stream().filter(name -> symbols.find(name).isEmpty()).toList();
  }
}
