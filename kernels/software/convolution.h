// The arithmetic under cuDNN's stand-in.
#pragma once
#include <stddef.h>

namespace soft {
struct Image {  // strides of a tensor of n x c x h x w, in elements
  int n, c, h, w;
  long sn, sc, sh, sw;
  bool imageIsLine() const { return sh == w * sw; }                // pixel p of an image lies at p * sw
  bool batchIsLine() const { return imageIsLine() && sn == h * sh; }  // pixel p of the batch lies at p * sw
  size_t elements() const { return size_t((n - 1) * sn + (c - 1) * sc + (h - 1) * sh + (w - 1) * sw + 1); }
};
struct Filter {
  int o, c, r, s;
  bool channelsLast;  // [o][r][s][c], else [o][c][r][s]
  size_t elements() const { return size_t(o) * size_t(c) * size_t(r) * size_t(s); }
};
struct Convolution {
  Image x, y;
  Filter f;
  int pad[2], stride[2], dilation[2], groups;
  bool tf32;
  float alpha, beta;
  unsigned turn;  // not 0: sums are taken in an order of their own, as atomics would
};
void convolveForward(const Convolution& c, const float* x, const float* w, float* y);
void convolveBackwardData(const Convolution& c, const float* w, const float* dy, float* dx);
void convolveBackwardFilter(const Convolution& c, const float* x, const float* dy, float* dw);
}  // namespace soft
