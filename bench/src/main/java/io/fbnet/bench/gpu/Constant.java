package io.fbnet.bench.gpu;

/** The constants of {@link CostModel}; {@link FitCostModel} finds their values. */
enum Constant {
  LAUNCH("us", 1, "a kernel of ours in a replayed graph that does nothing"),
  ROUND("us", 0.3, "a load from global memory that a thread waits for"),
  SUM_ROUND("us", 0.1, "the same in sums over pixels, of which most rounds are in shared memory"),
  PASS("T elements/s", 1.5, "elements that passes load and store, all multiprocessors busy"),
  SUM("T elements/s", 1, "elements that sums load, all multiprocessors busy"),
  DEPTHWISE_SETUP("us", 3, "a depthwise kernel's launch, its weights brought to shared memory"),
  DEPTHWISE("TFLOP/s", 15, "depthwise convolutions and their gradients, all multiprocessors busy"),
  NORMALISED("TFLOP/s", 3, "depthwise convolutions that normalise what they load"),
  PRODUCT("us", 2.5, "a product of cuBLASLt that does nothing"),
  PRODUCT_SPEED("of the copy", 0.6, "the speed at which products move their bytes"),
  SPLIT("us", 2.5, "more for a product of weights, whose inner size is split and added up"),
  HOPPER_STEP(
      "ns", 3, "one of the inner size, not split, in a kernel for Hopper (bf16, rows of 16 bytes)"),
  AMPERE_STEP("ns", 10, "one of the inner size, not split, in a kernel for Ampere (all others)"),
  CONVOLUTION("TFLOP/s", 5, "convolutions of cuDNN");

  final String unit;

  /** Where the fit begins. */
  final double start;

  final String meaning;

  Constant(String unit, double start, String meaning) {
    this.unit = unit;
    this.start = start;
    this.meaning = meaning;
  }
}
