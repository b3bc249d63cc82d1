// Convolutions as matrix products over gathered pixels (im2col), a group and a few images at a time.
#include "convolution.h"

#include <string.h>

#include <algorithm>
#include <vector>

#include "gemm.h"

namespace soft {
namespace {
// What one (group, chunk of images) needs.
struct Chunk {
  int from, count, group;
};
struct Work {
  const Convolution& c;
  long taps, outputs, k;  // taps of the filter, output channels a group, taps * channels a group
  long pixels;            // of one output image
  bool direct;            // 1x1, stride 1, no padding: the image is its own gathered matrix
  int chunk;              // images at a time
  Element element;

  explicit Work(const Convolution& conv) : c(conv) {
    taps = long(c.f.r) * c.f.s;
    outputs = c.f.o / c.groups;
    k = taps * c.f.c;
    pixels = long(c.y.h) * c.y.w;
    direct = taps == 1 && c.stride[0] == 1 && c.stride[1] == 1 && !c.pad[0] && !c.pad[1] && c.x.imageIsLine();
    bool lines = c.y.batchIsLine() && (!direct || c.x.batchIsLine());
    long few = std::max(1l, (1l << 20) / (pixels * k));
    chunk = !lines || c.turn ? 1 : direct ? c.x.n : int(std::min(few, long(c.x.n)));
    element = c.tf32 ? Element::TF32 : Element::F32;
  }
  long column(long tap, long channel) const { return c.f.channelsLast ? tap * c.f.c + channel : channel * taps + tap; }
  template <class F>
  void each(F body) const {
    int chunks = (c.x.n + chunk - 1) / chunk;
    for (int g = 0; g < c.groups; g++)
      for (int i = 0; i < chunks; i++) {
        int from = int((unsigned(i) + c.turn) % unsigned(chunks)) * chunk;
        body(Chunk{from, std::min(chunk, c.x.n - from), g});
      }
  }
  // Visits (row of the gathered matrix, tap, offset of channel 0 in the image) of every tap inside an image.
  template <class F>
  void taken(const Chunk& part, F body) const {
    for (int n = 0; n < part.count; n++)
      for (long t = 0; t < taps; t++) {
        long tap = (t + c.turn) % taps, r = tap / c.f.s, s = tap % c.f.s;
        for (int oh = 0; oh < c.y.h; oh++) {
          long h = long(oh) * c.stride[0] - c.pad[0] + r * c.dilation[0];
          if (h < 0 || h >= c.x.h) continue;
          for (int ow = 0; ow < c.y.w; ow++) {
            long w = long(ow) * c.stride[1] - c.pad[1] + s * c.dilation[1];
            if (w < 0 || w >= c.x.w) continue;
            body(n * pixels + long(oh) * c.y.w + ow, tap, (part.from + n) * c.x.sn + h * c.x.sh + w * c.x.sw);
          }
        }
      }
  }
  long inputOffset(const Chunk& p) const { return p.from * c.x.sn + p.group * c.f.c * c.x.sc; }
  long outputOffset(const Chunk& p) const { return p.from * c.y.sn + p.group * outputs * c.y.sc; }
  long filterOffset(const Chunk& p) const { return p.group * outputs * k; }

  Operand gathered(const Chunk& part, const float* x, std::vector<float>& into) const {
    if (direct) return {x + inputOffset(part), c.x.sw, c.x.sc, element};
    into.assign(size_t(part.count * pixels * k), 0.0f);
    const float* base = x + part.group * c.f.c * c.x.sc;
    taken(part, [&](long row, long tap, long at) {
      float* to = &into[size_t(row * k)];
      if (c.x.sc == 1 && c.f.channelsLast) memcpy(to + tap * c.f.c, base + at, size_t(c.f.c) * 4);
      else
        for (long i = 0; i < c.f.c; i++) to[column(tap, i)] = base[at + i * c.x.sc];
    });
    return {into.data(), k, 1, element};
  }
};
}  // namespace

void convolveForward(const Convolution& c, const float* x, const float* w, float* y) {
  Work work(c);
  std::vector<float> columns;
  work.each([&](const Chunk& part) {
    Operand rows = work.gathered(part, x, columns);
    Operand filter{w + work.filterOffset(part), 1, work.k, work.element};
    Target out{y + work.outputOffset(part), c.y.sw, c.y.sc, false};
    product(part.count * work.pixels, work.outputs, work.k, c.alpha, rows, filter, c.beta, out, out);
  });
}

void convolveBackwardData(const Convolution& c, const float* w, const float* dy, float* dx) {
  Work work(c);
  std::vector<float> columns, sum;
  work.each([&](const Chunk& part) {
    Operand rows{dy + work.outputOffset(part), c.y.sw, c.y.sc, work.element};
    Operand filter{w + work.filterOffset(part), work.k, 1, work.element};
    long m = part.count * work.pixels;
    if (work.direct) {
      Target out{dx + work.inputOffset(part), c.x.sw, c.x.sc, false};
      return product(m, work.k, work.outputs, c.alpha, rows, filter, c.beta, out, out);
    }
    columns.resize(size_t(m * work.k));
    Target gathered{columns.data(), work.k, 1, false};
    product(m, work.k, work.outputs, 1.0f, rows, filter, 0.0f, gathered, gathered);
    // Sums go to a plain image first, so that alpha and beta touch each element once.
    long image = long(c.x.h) * c.x.w * c.f.c;
    sum.assign(size_t(part.count * image), 0.0f);
    for (int n = 0; n < part.count; n++) {
      Chunk one{part.from + n, 1, part.group};
      work.taken(one, [&](long row, long tap, long at) {
        long inside = at - one.from * c.x.sn, h = inside / c.x.sh, v = inside % c.x.sh / c.x.sw;
        float* to = &sum[size_t(n * image + (h * c.x.w + v) * c.f.c)];
        const float* from = &columns[size_t((n * work.pixels + row) * work.k)];
        if (c.f.channelsLast) from += tap * c.f.c;
        for (long i = 0; i < c.f.c; i++) to[i] += c.f.channelsLast ? from[i] : from[work.column(tap, i)];
      });
      float* out = dx + work.inputOffset(one);
      for (long h = 0; h < c.x.h; h++)
        for (long v = 0; v < c.x.w; v++)
          for (long i = 0; i < c.f.c; i++) {
            float& to = out[h * c.x.sh + v * c.x.sw + i * c.x.sc];
            float value = c.alpha * sum[size_t(n * image + (h * c.x.w + v) * c.f.c + i)];
            to = c.beta != 0.0f ? value + c.beta * to : value;
          }
    }
  });
}

void convolveBackwardFilter(const Convolution& c, const float* x, const float* dy, float* dw) {
  Work work(c);
  std::vector<float> columns, sum(c.f.elements(), 0.0f);
  work.each([&](const Chunk& part) {
    Operand rows = work.gathered(part, x, columns);
    Operand gradient{dy + work.outputOffset(part), c.y.sc, c.y.sw, work.element};
    Target out{&sum[size_t(work.filterOffset(part))], work.k, 1, false};
    product(work.outputs, work.k, part.count * work.pixels, 1.0f, gradient, rows, 1.0f, out, out);
  });
  for (size_t i = 0; i < sum.size(); i++) dw[i] = c.beta != 0.0f ? c.alpha * sum[i] + c.beta * dw[i] : c.alpha * sum[i];
}
}  // namespace soft
