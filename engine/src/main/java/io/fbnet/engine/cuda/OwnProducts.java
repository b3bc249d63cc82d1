package io.fbnet.engine.cuda;

/**
 * Which 1x1 convolutions of a bank {@link BankProduct} computes, with the passes of the norms
 * around them: those where it fits and is expected to take no longer than cuBLASLt and the passes.
 *
 * @param expand whether the first ones, which then make the statistics of what they write
 * @param project whether the last ones, which then also normalise what they read
 * @param projectData whether the gradient in what the last ones read, which then leaves the sums of
 *     their norm's gradient
 * @param projectGradient whether {@link ProjectGradient} goes on from these sums, so that the
 *     gradient in what the last ones read is made twice and never stored
 */
record OwnProducts(boolean expand, boolean project, boolean projectData, boolean projectGradient) {
  /**
   * Operations that our kernel does in the time of a byte that the calls without it move: 100
   * TFLOP/s, the worst that is expected of it, by the 2 TB/s that those calls reach together.
   */
  private static final double MOST_FLOPS_OF_BYTE = 50;

  /** The kernel counts pixels in 32 bits. */
  private static final long MOST_PIXELS = 1 << 30;

  static OwnProducts of(CudaContext context, LayerBank bank) {
    long inputs = bank.x().shape().get(1);
    long width = bank.width();
    boolean projectData =
        fits(
            context,
            bank,
            bank.mix().y().shape().elements() / bank.outputs(),
            bank.outputs(),
            width * bank.outputs(),
            3 * width + bank.allOutputs());
    return new OwnProducts(
        fits(
            context,
            bank,
            bank.x().shape().elements() / inputs,
            inputs,
            inputs * width,
            inputs + 2 * width),
        fits(
            context,
            bank,
            bank.mix().y().shape().elements() / bank.outputs(),
            bank.outputs(),
            width * bank.outputs(),
            3 * width + 2L * bank.allOutputs()),
        projectData,
        projectData && bank.outputs() <= ProjectGradient.MOST_OUTPUTS);
  }

  /**
   * Whether our kernel serves. Images and weights begin at multiples of 256 bytes, so that channels
   * decide whether everything is made of whole vectors.
   *
   * @param channels of the side that all candidates share or have as many of
   * @param products multiply-adds of a pixel
   * @param moved elements of a pixel that the calls without it read or write
   */
  private static boolean fits(
      CudaContext context, LayerBank bank, long pixels, long channels, long products, long moved) {
    return context.bf16
        && channels % BankProduct.VECTOR == 0
        && bank.candidates().stream().allMatch(c -> c.width() % BankProduct.VECTOR == 0)
        && pixels <= MOST_PIXELS
        && 2.0 * products <= MOST_FLOPS_OF_BYTE * Short.BYTES * moved
        && context.backend.multipliesBf16();
  }
}
