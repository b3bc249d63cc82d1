// Images made of bytes: y = table[channel][byte] over a window of each image, mirrored where asked for, black
// beside the image. Bytes come as rows, NCHW; images are written channels-last.
//
// The table holds what each byte becomes, rounded on the host, so the results have the same bits as on the CPU.
// It has 1 KB a channel and stays in the first-level cache. One thread a pixel: neighbours read neighbouring
// bytes of each channel, and write next to each other.
// Bound by memory: a byte is read and 4 bytes (bf16: 2) are written.
#include "port.h"
#include "kernels.h"

template <class T>
INLINE void normalise(const unsigned char* pixels, const int* windows, const float* table, T* y, int n,
                      int c, int height, int width) {
  const int plane = height * width;
  for (RowWalk w = rowWalk(plane); w.row < n; next(w)) {
    const int place = (int)w.rest, i = place / width, j = place - i * width;
    const int* window = windows + 3 * w.row;
    const int row = i + window[0], column = (window[2] ? width - 1 - j : j) + window[1];
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    const long long from = w.row * c * plane + (inside ? row * width + column : 0);
    for (int channel = 0; channel < c; channel++) {
      const int byte = inside ? pixels[from + (long long)channel * plane] : 0;
      const float v[1] = {table[channel * 256 + byte]};
      store(y + w.at * c + channel, v);
    }
  }
}

#define NORMALISE(T, SUFFIX)                                                                            \
  KERNEL normalise_images_##SUFFIX(const unsigned char* __restrict__ pixels,                           \
                                   const int* __restrict__ windows, const float* __restrict__ table,   \
                                   T* __restrict__ y, int n, int c, int height, int width) {           \
    normalise(pixels, windows, table, y, n, c, height, width);                                         \
  }                                                                                                    \
  EXPORT_FLAT_KERNEL(normalise_images_##SUFFIX)

NORMALISE(float, f32)
NORMALISE(bf16, bf16)
