package io.fbnet.engine.backend;

/** How images are kept and multiplied on a device. Parameters and statistics are f32 always. */
public enum Precision {
  /** f32 throughout. */
  F32,
  /** f32, with products of inputs rounded to 10 bits of mantissa on tensor cores. */
  TF32,
  /** Images as bf16, sums in f32; on a GPU, products of what stays f32 as in TF32. */
  BF16
}
