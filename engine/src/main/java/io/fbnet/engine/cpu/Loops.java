package io.fbnet.engine.cpu;

import java.lang.foreign.MemorySegment;

/**
 * The inner loops of the CPU back end. Images lie in blocks of {@link #lanes()} channels: [N, C /
 * lanes, H, W, lanes], so one pixel of one block is one vector. Offsets and lengths of segments are
 * in bytes, of arrays in elements; per-channel arrays are padded to whole blocks. What lies in
 * segments is f32, or bf16 that is widened when it is read and rounded when it is written.
 */
interface Loops {
  /** Channels in a block. */
  int lanes();

  /** Bytes of a number in segments: 4 of f32, 2 of bf16. */
  int elementBytes();

  /** How the loops are carried out, for a person. */
  String description();

  /** Loops over the same images that not every network needs. */
  Activations activations();

  /** Adds over pixels, lane by lane: acc[lane] += x - shift, acc[lanes + lane] += (x - shift)^2. */
  void moments(MemorySegment x, long at, int pixels, float[] shift, int channel, float[] acc);

  /** y = (x - mean) * scale + beta, then max(0, y) where {@code relu}. */
  void normalise(
      MemorySegment x,
      long xAt,
      MemorySegment y,
      long yAt,
      int pixels,
      float[] mean,
      float[] scale,
      float[] beta,
      int channel,
      boolean relu);

  /**
   * Adds over pixels: acc[lane] += d, acc[lanes + lane] += d * (x - mean), where d is dy, or 0
   * where the ReLU was off.
   */
  void backwardMoments(
      MemorySegment x,
      long xAt,
      MemorySegment dy,
      long dyAt,
      int pixels,
      float[] mean,
      float[] scale,
      float[] beta,
      int channel,
      boolean relu,
      float[] acc);

  /** dx = scale * (d - c0 - (x - mean) * c1). */
  void backwardNormalise(
      MemorySegment x,
      long xAt,
      MemorySegment dy,
      long dyAt,
      MemorySegment dx,
      long dxAt,
      int pixels,
      float[] mean,
      float[] scale,
      float[] beta,
      float[] c0,
      float[] c1,
      int channel,
      boolean relu);

  /**
   * y = the sum over k of weights[first + k] * xs[k], read from ats[k] on. It may take the place of
   * the first of the xs, of no other.
   *
   * @param ats not kept as they are
   */
  void weightedSum(
      MemorySegment[] xs,
      long[] ats,
      float[] weights,
      int first,
      MemorySegment y,
      long yAt,
      long bytes);

  /** y = weight * x. */
  void scale(MemorySegment x, long xAt, float weight, MemorySegment y, long yAt, long bytes);

  /**
   * The dot product, summed in double over pieces of at most 4,096 elements, lane by lane.
   *
   * @param scratch at least {@link #lanes()} elements
   */
  double dot(MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes, float[] scratch);

  /** acc[lane] = the sum over pixels. */
  void pixelSum(MemorySegment x, long at, int pixels, float[] acc);

  /** Every pixel = value[lane]. */
  void pixelFill(MemorySegment y, long at, int pixels, float[] value);

  /**
   * Copies numbers to an array.
   *
   * @param bytes of them in x
   */
  void read(MemorySegment x, long at, long bytes, float[] to, int index);

  /**
   * Copies numbers to f32.
   *
   * @param bytes of them in x
   */
  void widen(MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes);

  /**
   * Copies numbers from f32.
   *
   * @param bytes of them in y
   */
  void narrow(MemorySegment x, long xAt, MemorySegment y, long yAt, long bytes);

  /** See the operation SgdUpdate. */
  void sgd(
      MemorySegment value,
      MemorySegment gradient,
      MemorySegment velocity,
      long at,
      long bytes,
      float rate,
      float momentum,
      float decay);

  /** See the operation Blend. */
  void blend(
      MemorySegment target, MemorySegment source, long at, long bytes, float keep, float share);

  /** Whether every element is finite. */
  boolean finite(MemorySegment x, long at, long bytes);

  /**
   * The weight gradient of a depthwise 5x5 convolution for one block of one image: acc[first + tap
   * * lanes + lane] += the sum over pixels of dy * x.
   *
   * @param padded x with two pixels of zeros around it, [height + 4][width + 4][lanes]
   */
  void depthwise5Weights(
      float[] padded,
      int paddedWidth,
      MemorySegment dy,
      long at,
      int outHeight,
      int outWidth,
      int stride,
      float[] acc,
      int first);
}
