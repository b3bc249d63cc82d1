// 1x1 convolutions of a bank: all first ones, whose results' statistics are made while they are stored, and all
// last ones, which normalise what they read. bank_product.h says how.
//
// grid (blocks of all factors), 256 threads.
#include "port.h"
#include "bank_product.h"

#define PRODUCT_ARGUMENTS                                                                                \
  const bf16 *__restrict__ a, int lda, const bf16 *__restrict__ w, bf16 *d, int ldd, int pixels,         \
      const Factor *__restrict__ factors, int count, float *partial, unsigned *tickets,                  \
      float *__restrict__ mean, float *__restrict__ inverse, float *__restrict__ runningMean,            \
      float *__restrict__ runningVariance, const float *__restrict__ momentum, float epsilon,            \
      const int *__restrict__ place, const float *__restrict__ gamma, float *__restrict__ packed

#define PRODUCT_BODY(BN, NORMALISED, NORM)                                                               \
  __shared__ uint4 stages[PRODUCT_STAGES * (PRODUCT_PIXELS + BN) * PRODUCT_PITCH / 8];                   \
  __shared__ float4 shift[BN / 4];                                                                       \
  const Statistics statistics = {                                                                        \
      partial, tickets, {mean, inverse, runningMean, runningVariance, momentum, epsilon, gamma, packed}, \
      place};                                                                                            \
  bankProduct<BN, NORMALISED>({a, lda, w, d, ldd, pixels}, factors, count, NORM, statistics,             \
                              reinterpret_cast<bf16*>(stages), reinterpret_cast<float*>(shift))

#define BANK_PRODUCT(BN)                                                                                 \
  KERNEL_FITTING(3) bank_product_##BN(PRODUCT_ARGUMENTS) {                                               \
    const Normal none = {};                                                                              \
    PRODUCT_BODY(BN, false, none);                                                                       \
  }                                                                                                      \
  EXPORT_KERNEL(bank_product_##BN)                                                                       \
  KERNEL_FITTING(3)                                                                                      \
  bank_product_normalised_##BN(PRODUCT_ARGUMENTS, const float* __restrict__ readMean,                    \
                               const float* __restrict__ readInverse,                                    \
                               const float* __restrict__ readGamma, const float* __restrict__ readBeta,  \
                               int relu) {                                                               \
    const Normal norm = {readMean, readInverse, readGamma, readBeta, relu};                              \
    PRODUCT_BODY(BN, true, norm);                                                                        \
  }                                                                                                      \
  EXPORT_KERNEL(bank_product_normalised_##BN)

BANK_PRODUCT(32)
BANK_PRODUCT(64)
