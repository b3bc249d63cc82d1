/** Graphs of the engine as ONNX files, which other run times can execute. */
package io.fbnet.nas.onnx;
