package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Precision;
import io.fbnet.nas.UserException;
import io.fbnet.nas.kit.OrtMeter;

/** What runs a network when its latency is measured. */
enum MeasuringRuntime {
  ENGINE,
  ONNXRUNTIME;

  static final String DESCRIPTION =
      "What runs the networks: engine (this program's own) or onnxruntime (ONNX Runtime for Java on"
          + " the CPU, batch norms folded).";

  /** ONNX Runtime as the flags of a device ask for it. */
  static OrtMeter onnxRuntime(DeviceFlags flags) {
    if (flags.device != DeviceFlags.Device.AUTO && flags.device != DeviceFlags.Device.CPU) {
      throw UserException.usage("--runtime onnxruntime computes on the CPU: leave --device out");
    }
    if (flags.precision != Precision.F32) {
      throw UserException.usage("--runtime onnxruntime has f32 alone: leave --precision out");
    }
    return new OrtMeter(flags.threads());
  }
}
