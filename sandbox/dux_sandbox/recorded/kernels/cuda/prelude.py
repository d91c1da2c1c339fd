"""The CUDA C++ that every kernel begins with: types, roundings, loads, sums."""

BLOCK, THREADS = 4096, 256
"""Elements that a block of threads takes, and how many threads that is."""

TYPES = r"""
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef uint16_t half_t;

#define __builtin_inff() __int_as_float(0x7f800000)
#define __builtin_inf() __longlong_as_double(0x7ff0000000000000LL)
#define __builtin_fmaf(x, y, z) __fmaf_rn(x, y, z)
#define __builtin_fma(x, y, z) __fma_rn(x, y, z)
#define __builtin_fabsf(x) fabsf(x)
#define __builtin_fabs(x) fabs(x)
#define __builtin_ceilf(x) ceilf(x)
#define __builtin_ceil(x) ceil(x)
#define __builtin_floorf(x) floorf(x)
#define __builtin_floor(x) floor(x)
#define __builtin_rintf(x) rintf(x)
#define __builtin_rint(x) rint(x)
#define __builtin_truncf(x) truncf(x)
#define __builtin_trunc(x) trunc(x)
#define __builtin_sqrtf(x) __fsqrt_rn(x)
#define __builtin_sqrt(x) __dsqrt_rn(x)
#define __builtin_copysignf(x, y) copysignf(x, y)
#define __builtin_copysign(x, y) copysign(x, y)

static __device__ inline float wide_half(half_t x) {
  float made;
  asm("cvt.f32.f16 %0, %1;" : "=f"(made) : "h"(x));
  return made;
}
static __device__ inline half_t narrow_half(float x) {
  half_t made;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(made) : "f"(x));
  return made;
}
static __device__ inline float wide_bfloat16(uint16_t x) {
  return __uint_as_float((uint32_t)x << 16);
}
static __device__ inline uint16_t narrow_bfloat16(float x) {
  uint32_t bits = __float_as_uint(x);
  uint32_t even = bits + 0x7fff + ((bits >> 16) & 1);
  return x != x ? 0x7fc0 : (uint16_t)(even >> 16);
}

/* One value of each thread brought together, in an order that is always the same: of a
   block, which its first thread gets; of so many threads beside each other, a power of
   two within a warp, which the first of them gets; and of those threads of a block that
   are as far apart, which the first so many get. */
#define GATHER(kind, begin, together)                                         \
  static __device__ inline double gather_##kind##_along(double x, int lanes) { \
    for (int apart = lanes / 2; apart; apart /= 2) {                          \
      const double y = __shfl_down_sync(0xffffffffu, x, apart, lanes);        \
      x = together;                                                           \
    }                                                                         \
    return x;                                                                 \
  }                                                                           \
  static __device__ inline double gather_##kind(double x) {                   \
    __shared__ double of_warps[THREADS / 32];                                 \
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;               \
    x = gather_##kind##_along(x, 32);                                         \
    __syncthreads();                                                          \
    if (lane == 0) of_warps[warp] = x;                                        \
    __syncthreads();                                                          \
    x = threadIdx.x < THREADS / 32 ? of_warps[threadIdx.x] : begin;           \
    return gather_##kind##_along(x, THREADS / 32);                            \
  }                                                                           \
  static __device__ inline double gather_##kind##_across(double x, int lanes) { \
    __shared__ double of_threads[THREADS];                                    \
    for (int apart = 16; apart >= lanes; apart /= 2) {                        \
      const double y = __shfl_down_sync(0xffffffffu, x, apart);               \
      x = together;                                                           \
    }                                                                         \
    __syncthreads();                                                          \
    of_threads[threadIdx.x] = x;                                              \
    __syncthreads();                                                          \
    if (threadIdx.x < lanes)                                                  \
      for (int at = threadIdx.x + 32; at < THREADS; at += 32) {               \
        const double y = of_threads[at];                                      \
        x = together;                                                         \
      }                                                                       \
    return x;                                                                 \
  }
"""
"""What only a device has."""

COMMON = r"""
/* How the blocks of a strand share its rows; `tiles.Tiles` is its twin. */
struct tiles {
  int64_t elements, width, rows, lanes, tall, across, down, room;
};
/* What one call works on; `kernels.Arguments` is its twin. */
struct call {
  void *const *buffers;      /* of each strand in turn */
  const double *numbers;     /* in rows */
  const int64_t *row;        /* of each strand, its numbers */
  const int64_t *elements;   /* of each strand */
  const int64_t *blocks_to;  /* of each strand, the end of its blocks */
  const int32_t *strand;     /* of each block */
  double *partial;           /* of each block, its part of each reduction */
  double *parts;             /* of each tile, those of rows and columns */
  int64_t *bad;              /* the last turn in which a value was not finite */
  const struct tiles *tiles; /* of each strand, where a chain asks for rows */
  const int32_t *place;      /* of each block, tiles left of it and above it */
  const int32_t *end;        /* of each block of `finish`, strand and block of that */
  int64_t turn;
};

#define LOAD_float32(x) (x)
#define LOAD_float64(x) (x)
#define LOAD_float16(x) wide_half(x)
#define LOAD_bfloat16(x) wide_bfloat16(x)
#define LOAD_bool(x) ((int32_t)((x) != 0))
#define SAVE_float32(x) (x)
#define SAVE_float64(x) (x)
#define SAVE_float16(x) narrow_half(x)
#define SAVE_bfloat16(x) narrow_bfloat16(x)
#define SAVE_bool(x) ((uint8_t)((x) != 0))
#define ROUND_float32(x) ((float)(x))
#define ROUND_float64(x) ((double)(x))
#define ROUND_float16(x) wide_half(narrow_half((float)(x)))
#define ROUND_bfloat16(x) wide_bfloat16(narrow_bfloat16((float)(x)))
#define ROUND_bool(x) ((int32_t)((x) != 0))
/* Between two steps of a power, which a device takes in the type of its elements. */
#define INNER_float32(x) (x)
#define INNER_float64(x) (x)
#define INNER_float16(x) ROUND_float16(x)
#define INNER_bfloat16(x) ROUND_bfloat16(x)

static __device__ inline double more(double x, double y) {
  return x != x ? x : y != y ? y : x > y ? x : y;
}
static __device__ inline double less(double x, double y) {
  return x != x ? x : y != y ? y : x < y ? x : y;
}
GATHER(sum, 0, x + y)
GATHER(amax, -__builtin_inf(), more(x, y))
GATHER(amin, __builtin_inf(), less(x, y))

/* Four elements that one thread takes at a time: 16 bytes of float32. */
template <typename T>
struct alignas(sizeof(T) < 4 ? sizeof(T) * 4 : 16) four {
  T at[4];
};
template <typename T>
static __device__ inline four<T> taken(const T *from, int64_t left, bool whole) {
  if (whole) return *(const four<T> *)from;
  four<T> made;
#pragma unroll
  for (int k = 0; k < 4; k++) made.at[k] = from[k < left ? k : 0];
  return made;
}
template <typename T>
static __device__ inline void put(T *to, four<T> made, int64_t left, bool whole) {
  if (whole) {
    *(four<T> *)to = made;
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; k++)
    if (k < left) to[k] = made.at[k];
}
"""
"""The rest, which a compiler for the processor takes, too."""
