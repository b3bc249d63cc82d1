// The activations and their slopes, at one number. NaN stays NaN.
#pragma once

INLINE float sigmoid(float v) { return 1.0f / (1.0f + expf(-v)); }

INLINE float hardSigmoid(float v) {
  const float w = v * (1.0f / 6.0f) + 0.5f;
  return w < 0.0f ? 0.0f : w > 1.0f ? 1.0f : w;
}

// 5 ReLU, 6 swish, 7 hard swish.
INLINE float activation(float v, int function) {
  return function == 5 ? relu(v) : v * (function == 6 ? sigmoid(v) : hardSigmoid(v));
}

INLINE float activationSlope(float v, int function) {
  if (function == 5) {
    return v > 0.0f ? 1.0f : 0.0f;
  }
  if (function == 6) {
    const float s = sigmoid(v);
    return s + v * s * (1.0f - s);
  }
  return v <= -3.0f ? 0.0f : v >= 3.0f ? 1.0f : v * (1.0f / 3.0f) + 0.5f;
}
