// What the classifier needs beside matrix products: y += b for each row of [rows, columns], and the sum of
// each column (the bias's gradient). f32.
//
// add_bias: a thread keeps a column and its bias, and walks over the rows. column_sums: a block of 256
// threads takes 32 columns, 8 rows at a time, and adds in a fixed order.
// Bound by the launch: the matrix is small ([batch, classes]) and moves once.
#include "port.h"
#include "kernels.h"

KERNEL add_bias(float* __restrict__ y, const float* __restrict__ b, int rows, int columns) {
  const Walk w = channelWalk(columns);
  for (int column = w.group; column < columns; column += w.groupStep) {
    const float bias = b[column];
    for (long long row = w.pixel; row < rows; row += w.pixelStep) {
      y[row * columns + column] += bias;
    }
  }
}
EXPORT_FLAT_KERNEL(add_bias)

KERNEL column_sums(const float* __restrict__ dy, float* __restrict__ db, int rows, int columns) {
  __shared__ float scratch[256];
  for (int base = (int)blockIdx.x * 32; base < columns; base += (int)gridDim.x * 32) {
    const int thread = threadOfBlock(), column = base + (thread & 31);
    const bool on = column < columns;
    const float sum = columnSum(dy + column, columns, rows, on, scratch);
    if (thread < 32 && on) {
      db[column] = sum;
    }
  }
}
EXPORT_KERNEL(column_sums)
