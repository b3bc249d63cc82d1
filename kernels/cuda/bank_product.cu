// 1x1 convolutions of a bank: all first ones, whose results' statistics are made while they are stored; all last ones,
// which normalise what they read; and the gradients in what these normalised, with the sums that the gradient of that
// norm needs. bank_product.h says how.
//
// grid (blocks of all factors), 256 threads.
#include "port.h"
#include "bank_product.h"

#define PRODUCT_ARGUMENTS                                                                                \
  const bf16 *__restrict__ a, int lda, const bf16 *__restrict__ w, bf16 *d, int ldd, int pixels,         \
      const Factor *__restrict__ factors, int count, float *partial, unsigned *tickets

#define STATISTICS_ARGUMENTS                                                                             \
  float *__restrict__ mean, float *__restrict__ inverse, float *__restrict__ runningMean,                \
      float *__restrict__ runningVariance, const float *__restrict__ momentum, float epsilon,            \
      const int *__restrict__ place, const float *__restrict__ gamma, float *__restrict__ packed

#define NORMAL_ARGUMENTS                                                                                 \
  const float *__restrict__ readMean, const float *__restrict__ readInverse,                             \
      const float *__restrict__ readGamma, const float *__restrict__ readBeta, int relu

#define PRODUCT_BODY(BN, KIND, NUMBERS, NORM, STATISTICS, GRADIENT)                                      \
  __shared__ uint4 stages[PRODUCT_STAGES * (PRODUCT_PIXELS + BN) * PRODUCT_PITCH / 8];                   \
  __shared__ float4 small[NUMBERS * BN / 4];                                                             \
  bankProduct<BN, KIND>({a, lda, w, d, ldd, pixels}, factors, count, NORM, STATISTICS, GRADIENT,         \
                        reinterpret_cast<bf16*>(stages), reinterpret_cast<float*>(small))

#define BANK_PRODUCT(BN)                                                                                 \
  KERNEL_FITTING(3) bank_product_##BN(PRODUCT_ARGUMENTS, STATISTICS_ARGUMENTS) {                         \
    const Statistics statistics = {                                                                      \
        partial, tickets,                                                                                \
        {mean, inverse, runningMean, runningVariance, momentum, epsilon, gamma, packed}, place};         \
    PRODUCT_BODY(BN, PRODUCT_PLAIN, 1, {}, statistics, {});                                              \
  }                                                                                                      \
  EXPORT_KERNEL(bank_product_##BN)                                                                       \
  KERNEL_FITTING(3)                                                                                      \
  bank_product_normalised_##BN(PRODUCT_ARGUMENTS, STATISTICS_ARGUMENTS, NORMAL_ARGUMENTS) {              \
    const Statistics statistics = {                                                                      \
        partial, tickets,                                                                                \
        {mean, inverse, runningMean, runningVariance, momentum, epsilon, gamma, packed}, place};         \
    const Normal norm = {readMean, readInverse, readGamma, readBeta, relu};                              \
    PRODUCT_BODY(BN, PRODUCT_NORMALISED, 1, norm, statistics, {});                                       \
  }                                                                                                      \
  EXPORT_KERNEL(bank_product_normalised_##BN)                                                            \
  KERNEL_FITTING(3)                                                                                      \
  bank_product_gradient_##BN(PRODUCT_ARGUMENTS, const bf16* __restrict__ x, NORMAL_ARGUMENTS,            \
                             float* __restrict__ means, float* __restrict__ dgamma,                      \
                             float* __restrict__ dbeta, const int* __restrict__ place) {                 \
    const Normal norm = {readMean, readInverse, readGamma, readBeta, relu};                              \
    const GradientSums gradient = {x, norm, partial, means, tickets, dgamma, dbeta, place};              \
    PRODUCT_BODY(BN, PRODUCT_GRADIENT, 3, {}, {}, gradient);                                             \
  }                                                                                                      \
  EXPORT_KERNEL(bank_product_gradient_##BN)

BANK_PRODUCT(32)
BANK_PRODUCT(64)
