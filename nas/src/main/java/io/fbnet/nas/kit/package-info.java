/**
 * Timing kits: every distinct block of a space as an ONNX file, how their times become a latency
 * table, and ONNX Runtime for Java as the device that takes them.
 */
package io.fbnet.nas.kit;
