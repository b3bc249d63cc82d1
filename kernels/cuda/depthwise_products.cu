// Depthwise convolution on NHWC images in bf16, stride 1, on tensor cores: forward and gradient in the data, which is
// the forward one with the filter turned around; w is f32 OIHW [c, 1, k, k] and is rounded to bf16. As in depthwise.cu
// the forward kernel may normalise what it reads and leave the statistics of what it stores, and the gradient the sums
// that the gradient of the norm before the convolution needs. depthwise_products.h says how.
//
// grid (tiles of 32 channels, parts of the pixel tiles), 128 threads. Needs compute capability 8.0.
#include "port.h"
#include "depthwise_products.h"

#define STRIP_KERNEL extern "C" __global__ void __launch_bounds__(STRIP_THREADS, 3)

#define STRIP_ARGUMENTS                                                                                  \
  const bf16 *__restrict__ x, const float *__restrict__ w, bf16 *__restrict__ y, int jobs, int down,     \
      int right, int n, int stripsAcross, int stripsDown, int stripImages, int c, int h, int wd, int ldx, int ldy

#define STRIP_NORM                                                                                       \
  const float *__restrict__ mean, const float *__restrict__ inverse, const float *__restrict__ gamma,    \
      const float *__restrict__ beta, int relu

#define STRIP_BODY(K, TURNED, NORM, ...)                                                                 \
  __shared__ uint4 memory[StripTile<K>::BYTES / 16], bands[Bands<K>::VECTORS];                           \
  __shared__ float4 numbers[3 * DEPTHWISE_CHANNELS / 4], shifts[DEPTHWISE_CHANNELS / 4];                 \
  gatherStrips<K>(x, w, y, {jobs, down, right}, {n, stripsAcross, stripsDown, stripImages},              \
                  {h, wd, c, ldx}, {h, wd, c, ldy}, TURNED, NORM, reinterpret_cast<bf16*>(memory), bands, \
                  reinterpret_cast<float*>(numbers), reinterpret_cast<float*>(shifts), __VA_ARGS__)

#define STRIP_NUMBERS {mean, inverse, gamma, beta, relu}

#define DEPTHWISE_PRODUCTS(K)                                                                            \
  STRIP_KERNEL depthwise_products_k##K##_forward(STRIP_ARGUMENTS, STRIP_NORM) {                     \
    const Norm norm = STRIP_NUMBERS;                                                                     \
    STRIP_BODY(K, false, norm, NoSums{});                                                                \
  }                                                                                                      \
  EXPORT_KERNEL(depthwise_products_k##K##_forward)                                                       \
  STRIP_KERNEL                                                                                      \
  depthwise_products_k##K##_forward_statistics(                                                          \
      STRIP_ARGUMENTS, STRIP_NORM, float* partial, unsigned* tickets, long long pixels,                  \
      float* __restrict__ meanOf, float* __restrict__ inverseOf, float* __restrict__ runningMean,        \
      float* __restrict__ runningVariance, const float* __restrict__ momentum, float epsilon,            \
      const int* __restrict__ place, const float* __restrict__ gammaOf, float* __restrict__ packed) {    \
    const Norm norm = STRIP_NUMBERS;                                                                     \
    const StatisticsSums sums = {                                                                        \
        pixels, partial, tickets,                                                                        \
        {meanOf, inverseOf, runningMean, runningVariance, momentum, epsilon, gammaOf, packed}, place};   \
    STRIP_BODY(K, false, norm, sums);                                                                    \
  }                                                                                                      \
  EXPORT_KERNEL(depthwise_products_k##K##_forward_statistics)                                            \
  STRIP_KERNEL depthwise_products_k##K##_backward_data(STRIP_ARGUMENTS) {                           \
    const Norm norm = {};                                                                                \
    STRIP_BODY(K, true, norm, NoSums{});                                                                 \
  }                                                                                                      \
  EXPORT_KERNEL(depthwise_products_k##K##_backward_data)                                                 \
  STRIP_KERNEL                                                                                      \
  depthwise_products_k##K##_backward_data_sums(                                                          \
      STRIP_ARGUMENTS, const bf16* __restrict__ images, int ld, STRIP_NORM, float* partial,              \
      unsigned* tickets, long long pixels, float* __restrict__ means, float* __restrict__ dgamma,        \
      float* __restrict__ dbeta,                                                                         \
      const int* __restrict__ place) {                                                                   \
    const Norm norm = STRIP_NUMBERS;                                                                     \
    const GradientSums<bf16> sums = {images, ld, pixels, partial, tickets, means, dgamma, dbeta, place};     \
    STRIP_BODY(K, true, norm, sums);                                                                     \
  }                                                                                                      \
  EXPORT_KERNEL(depthwise_products_k##K##_backward_data_sums)

DEPTHWISE_PRODUCTS(3)
DEPTHWISE_PRODUCTS(5)
