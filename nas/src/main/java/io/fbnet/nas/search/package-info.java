/** The search itself: alternating steps, checkpoints, sampling and scoring of architectures. */
package io.fbnet.nas.search;
