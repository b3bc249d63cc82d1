/**
 * Hardware-aware architecture search: spaces, supernets, latency tables, training and the command
 * line.
 */
package io.fbnet.nas;
