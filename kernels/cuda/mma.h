// A warp's products on tensor cores: bf16 times bf16, added up in f32.
//
// A tile of the result is 16 x 8 and takes 16 of the inner size. Of a fragment, lane l holds, with g = l / 4 and
// t = l % 4, words of two neighbouring numbers each:
//   a: rows g and g + 8 at inner 2t, then the same rows at inner 2t + 8
//   b: column g at inner 2t and at inner 2t + 8
//   result: row g, columns 2t and 2t + 1, then row g + 8
#pragma once

// acc[m][n] += a[m] b[n] for all tiles of a warp. All 32 lanes must call. The order in which a tensor core adds the
// 16 products of a call is its own; the same inputs give the same bits.
template <int M, int N>
INLINE void multiplyAdd(float (&acc)[M][N][4], const unsigned (&a)[M][4], const unsigned (&b)[N][2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int n = 0; n < N; n++) {
      float(&d)[4] = acc[m][n];
      asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[m][0]), "r"(a[m][1]), "r"(a[m][2]), "r"(a[m][3]), "r"(b[n][0]), "r"(b[n][1]));
    }
  }
#elif defined(__CUDA_ARCH__)
  __trap();  // CudaBackend says that products of ours need 8.0, and launches none.
#else
  SIMT_MULTIPLY(M, N, &a[0][0], &b[0][0], &acc[0][0][0]);
#endif
}
