package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Precision;

/**
 * How a CUDA back end works.
 *
 * @param precision of images and products
 * @param deterministic whether only library algorithms that give equal bits in every run are taken;
 *     our own kernels always do
 * @param graphs whether a step is captured once and replayed; without, every kernel is launched by
 *     itself, which is slower and easier to debug
 * @param fused whether some operations run as part of the one that reads them; without, each runs
 *     by itself, for comparison
 */
public record CudaOptions(
    Precision precision, boolean deterministic, boolean graphs, boolean fused) {
  /** f32, any algorithm, captured and fused. */
  public static final CudaOptions DEFAULT = new CudaOptions(Precision.F32, false, true, true);

  /**
   * {@return the same in another precision}
   *
   * @param other of images and products
   */
  public CudaOptions with(Precision other) {
    return new CudaOptions(other, deterministic, graphs, fused);
  }

  /** {@return the same with every operation by itself} */
  public CudaOptions separate() {
    return new CudaOptions(precision, deterministic, graphs, false);
  }
}
