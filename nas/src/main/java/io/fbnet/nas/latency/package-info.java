/** Latency tables: milliseconds per layer and block on one device, and how well sums predict. */
package io.fbnet.nas.latency;
