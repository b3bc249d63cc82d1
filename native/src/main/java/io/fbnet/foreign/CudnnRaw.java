package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.invoke.MethodHandle;

/** Raw handles of cuDNN 9's convolution functions (cudnn_cnn.h). Use through {@link Cudnn}. */
final class CudnnRaw {
  static final Binder BINDER = Cudnn.LIBRARY.binder();

  static final MethodHandle VERSION =
      BINDER.function("cudnnGetVersion", FunctionDescriptor.of(JAVA_LONG));
  static final MethodHandle ERROR_STRING =
      BINDER.function("cudnnGetErrorString", FunctionDescriptor.of(ADDRESS, JAVA_INT));
  static final MethodHandle CREATE = BINDER.status("cudnnCreate", ADDRESS);
  static final MethodHandle DESTROY = BINDER.status("cudnnDestroy", ADDRESS);
  static final MethodHandle SET_STREAM = BINDER.status("cudnnSetStream", ADDRESS, ADDRESS);
  static final MethodHandle TENSOR_CREATE = BINDER.status("cudnnCreateTensorDescriptor", ADDRESS);
  static final MethodHandle TENSOR_SET =
      BINDER.status("cudnnSetTensorNdDescriptor", ADDRESS, JAVA_INT, JAVA_INT, ADDRESS, ADDRESS);
  static final MethodHandle TENSOR_DESTROY = BINDER.status("cudnnDestroyTensorDescriptor", ADDRESS);
  static final MethodHandle FILTER_CREATE = BINDER.status("cudnnCreateFilterDescriptor", ADDRESS);
  static final MethodHandle FILTER_SET =
      BINDER.status("cudnnSetFilterNdDescriptor", ADDRESS, JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS);
  static final MethodHandle FILTER_DESTROY = BINDER.status("cudnnDestroyFilterDescriptor", ADDRESS);
  static final MethodHandle CONVOLUTION_CREATE =
      BINDER.status("cudnnCreateConvolutionDescriptor", ADDRESS);
  static final MethodHandle CONVOLUTION_SET =
      BINDER.status(
          "cudnnSetConvolutionNdDescriptor",
          ADDRESS,
          JAVA_INT,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          JAVA_INT,
          JAVA_INT);
  static final MethodHandle CONVOLUTION_GROUPS =
      BINDER.status("cudnnSetConvolutionGroupCount", ADDRESS, JAVA_INT);
  static final MethodHandle CONVOLUTION_MATH =
      BINDER.status("cudnnSetConvolutionMathType", ADDRESS, JAVA_INT);
  static final MethodHandle CONVOLUTION_DESTROY =
      BINDER.status("cudnnDestroyConvolutionDescriptor", ADDRESS);

  static final MethodHandle FIND_FORWARD = find("cudnnGetConvolutionForwardAlgorithm_v7");
  static final MethodHandle FIND_DATA = find("cudnnGetConvolutionBackwardDataAlgorithm_v7");
  static final MethodHandle FIND_FILTER = find("cudnnGetConvolutionBackwardFilterAlgorithm_v7");
  static final MethodHandle SPACE_FORWARD = space("cudnnGetConvolutionForwardWorkspaceSize");
  static final MethodHandle SPACE_DATA = space("cudnnGetConvolutionBackwardDataWorkspaceSize");
  static final MethodHandle SPACE_FILTER = space("cudnnGetConvolutionBackwardFilterWorkspaceSize");
  static final MethodHandle FORWARD = run("cudnnConvolutionForward");
  static final MethodHandle DATA = run("cudnnConvolutionBackwardData");
  static final MethodHandle FILTER = run("cudnnConvolutionBackwardFilter");

  private CudnnRaw() {}

  /** (handle, two descriptors, convolution, descriptor, requested, returned, results). */
  private static MethodHandle find(String name) {
    return BINDER.status(
        name, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, JAVA_INT, ADDRESS, ADDRESS);
  }

  /** (handle, two descriptors, convolution, descriptor, algorithm, bytes). */
  private static MethodHandle space(String name) {
    return BINDER.status(name, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, JAVA_INT, ADDRESS);
  }

  /**
   * (handle, alpha, descriptor, pointer, descriptor, pointer, convolution, algorithm, workspace,
   * bytes, beta, descriptor, pointer). Device pointers are longs.
   */
  private static MethodHandle run(String name) {
    return BINDER.status(
        name, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG, ADDRESS, JAVA_LONG, ADDRESS, JAVA_INT,
        JAVA_LONG, JAVA_LONG, ADDRESS, ADDRESS, JAVA_LONG);
  }
}
