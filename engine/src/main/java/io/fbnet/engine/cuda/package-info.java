/**
 * The CUDA back end: NVIDIA libraries for dense convolutions and products, our own kernels else.
 */
package io.fbnet.engine.cuda;
