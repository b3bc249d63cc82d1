/**
 * What {@code bench/gpu-check.sh} runs on a machine with a GPU: each class with a main is a part.
 */
package io.fbnet.bench.gpu;
