"""The C that every kernel begins and ends with: types, roundings, reductions."""

PRELUDE = r"""
#include <stdint.h>

/* What one call works on; `library.Arguments` is its twin. */
struct call {
  void *const *buffers;      /* of each strand in turn */
  const double *numbers;     /* in rows */
  const int32_t *row;        /* of each strand, its numbers */
  const int64_t *elements;   /* of each strand */
  const int64_t *width;      /* of each strand, elements of a row */
  const int32_t *strand;     /* of each block */
  const int64_t *first;      /* of each block, its first element */
  const int64_t *blocks_to;  /* of each strand, the end of its blocks */
  double *partial;           /* of each block, its part of each reduction */
  double *columns;           /* of each block, its part of reductions of columns */
  const int64_t *column;     /* of each block, where it begins there */
  void *const *functions;
  int32_t (*thread)(void);
  int64_t blocks;
  int64_t strands;
  int32_t threads;
  int32_t bad;               /* set where a watched value is not finite */
};

enum { BLOCK = 4096 };

typedef _Float16 half_t;
typedef union { uint32_t bits; float value; } word;
typedef union { uint64_t bits; double value; } long_word;

static inline float wide_bfloat16(uint16_t x) {
  word w = {.bits = (uint32_t)x << 16};
  return w.value;
}
static inline uint16_t narrow_bfloat16(float x) {
  word w = {.value = x};
  uint32_t even = w.bits + 0x7fff + ((w.bits >> 16) & 1);
  return x != x ? 0x7fc0 : (uint16_t)(even >> 16);
}
static inline float round_bfloat16(float x) {
  return wide_bfloat16(narrow_bfloat16(x));
}

/* As an integer no finite size is as large as that of infinity. The largest
   of many is had in half the time that asking each of them takes. */
#define WATCHED int32_t most_float = 0; int64_t most_double = 0;
#define WATCH_float(x) {                                                      \
  word w = {.value = x};                                                      \
  const int32_t size = w.bits & 0x7fffffff;                                   \
  most_float = most_float > size ? most_float : size; }
#define WATCH_double(x) {                                                     \
  long_word w = {.value = x};                                                 \
  const int64_t size = w.bits & 0x7fffffffffffffff;                           \
  most_double = most_double > size ? most_double : size; }
#define TELL(c)                                                               \
  if (most_float >= 0x7f800000 || most_double >= 0x7ff0000000000000)          \
    __atomic_store_n(&(c)->bad, 1, __ATOMIC_RELAXED);

#define LOAD_float32(x) (x)
#define LOAD_float64(x) (x)
#define LOAD_float16(x) ((float)(x))
#define LOAD_bfloat16(x) wide_bfloat16(x)
#define LOAD_bool(x) ((int32_t)((x) != 0))
#define SAVE_float32(x) (x)
#define SAVE_float64(x) (x)
#define SAVE_float16(x) ((half_t)(x))
#define SAVE_bfloat16(x) narrow_bfloat16(x)
#define SAVE_bool(x) ((uint8_t)((x) != 0))
#define ROUND_float32(x) ((float)(x))
#define ROUND_float64(x) ((double)(x))
#define ROUND_float16(x) ((float)(half_t)(float)(x))
#define ROUND_bfloat16(x) round_bfloat16((float)(x))
#define ROUND_bool(x) ((int32_t)((x) != 0))
/* Between two steps of a power: eager does these in bfloat16, and those in float. */
#define INNER_float32(x) (x)
#define INNER_float64(x) (x)
#define INNER_float16(x) (x)
#define INNER_bfloat16(x) round_bfloat16(x)

#define EIGHT(real, name)                                                     \
  typedef real name##_eight __attribute__((vector_size(8 * sizeof(real))));   \
  static inline name##_eight name##_load(const real *at) {                    \
    name##_eight made;                                                        \
    __builtin_memcpy(&made, at, sizeof made);                                 \
    return made;                                                              \
  }
EIGHT(float, float)
EIGHT(double, double)

/* Of eight floats gcc converts four and four, and puts these together again: that
   takes longer than adding them up. */
static inline double_eight float_wide(float_eight x) {
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
  double_eight made;
  __asm__("vcvtps2pd %1, %0" : "=v"(made) : "vm"(x));
  return made;
#else
  return __builtin_convertvector(x, double_eight);
#endif
}
static inline double_eight double_wide(double_eight x) { return x; }

/* Four vectors at once, since each addition waits for the one before it. */
#define SUM(real, of, each)                                                   \
  static inline void of##_##real(                                             \
      double_eight *sums, const real *at, int64_t count) {                    \
    double_eight s[4] = {sums[0], sums[1], sums[2], sums[3]};                 \
    int64_t i = 0;                                                            \
    for (; i + 32 <= count; i += 32)                                          \
      for (int k = 0; k < 4; k++) {                                           \
        double_eight x = real##_wide(real##_load(at + i + 8 * k));            \
        s[k] += each;                                                         \
      }                                                                       \
    for (int k = 0; k < 4; k++) sums[k] = s[k];                               \
    for (; i < count; i++) {                                                  \
      double x = at[i];                                                       \
      sums[i / 8 % 4][i % 8] += each;                                         \
    }                                                                         \
  }
SUM(float, sum, x)
SUM(double, sum, x)
SUM(float, norm2, x * x)
SUM(double, norm2, x * x)
static inline double total(const double_eight *four) {
  double_eight sums = (four[0] + four[2]) + (four[1] + four[3]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
         ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}
static inline double more(double x, double y) {
  return x != x ? x : y != y ? y : x > y ? x : y;
}
static inline double less(double x, double y) {
  return x != x ? x : y != y ? y : x < y ? x : y;
}
/* Every loop has as many turns each time, or it is not done in vectors. */
#define HALF(of, many)                                                        \
  for (int j = 0; j < many; j++) lanes[j] = of(lanes[j], lanes[many + j]);
#define FOLD(real, of, start, better)                                         \
  static inline real of##_of_two_##real(real x, real y) {                     \
    return x != x ? x : y != y ? y : x better y ? x : y;                      \
  }                                                                           \
  static inline void of##_begun_##real(real *lanes) {                         \
    for (int j = 0; j < 32; j++) lanes[j] = start;                            \
  }                                                                           \
  static inline void of##_##real(                                             \
      real *lanes, const real *at, int64_t count) {                           \
    int64_t i = 0;                                                            \
    for (; i + 32 <= count; i += 32)                                          \
      for (int j = 0; j < 32; j++)                                            \
        lanes[j] = of##_of_two_##real(at[i + j], lanes[j]);                   \
    for (int j = 0; j < count - i; j++)                                       \
      lanes[j] = of##_of_two_##real(at[i + j], lanes[j]);                     \
  }                                                                           \
  static inline double of##_of_##real(real *lanes) {                          \
    HALF(of##_of_two_##real, 16)                                              \
    HALF(of##_of_two_##real, 8)                                               \
    HALF(of##_of_two_##real, 4)                                               \
    HALF(of##_of_two_##real, 2)                                               \
    return of##_of_two_##real(lanes[0], lanes[1]);                            \
  }
FOLD(float, amax, -__builtin_inff(), >)
FOLD(double, amax, -__builtin_inf(), >)
FOLD(float, amin, __builtin_inff(), <)
FOLD(double, amin, __builtin_inf(), <)
FOLD(int32_t, amax, 0, >)
FOLD(int32_t, amin, 1, <)

#define VECTORS(real, lanes)                                                  \
  typedef real real##_##lanes __attribute__((vector_size(lanes * sizeof(real)))); \
  static inline void call_##real##_##lanes(                                   \
      const void *f, int64_t count, const real *x, real *y) {                 \
    for (int64_t i = 0; i < count; i += lanes) {                              \
      real##_##lanes one = *(const real##_##lanes *)(x + i);                  \
      *(real##_##lanes *)(y + i) =                                            \
          ((real##_##lanes(*)(real##_##lanes))f)(one);                        \
    }                                                                         \
  }                                                                           \
  static inline void call2_##real##_##lanes(                                  \
      const void *f, int64_t count, const real *x, const real *z, real *y) {  \
    for (int64_t i = 0; i < count; i += lanes) {                              \
      real##_##lanes one = *(const real##_##lanes *)(x + i);                  \
      real##_##lanes two = *(const real##_##lanes *)(z + i);                  \
      *(real##_##lanes *)(y + i) = ((real##_##lanes(*)(                       \
          real##_##lanes, real##_##lanes))f)(one, two);                       \
    }                                                                         \
  }
"""
"""Before the loops. A piece holds as many elements as the arrays on the stack."""

ARRAYS = r"""
typedef void (*mkl_float)(int, const float *, float *, long long);
typedef void (*mkl_double)(int, const double *, double *, long long);
/* VML_HA | VML_FTZDAZ_OFF | VML_ERRMODE_IGNORE, as torch calls it. */
enum { MODE = 0x00140102 };
"""
"""What calls into MKL need."""

EPILOGUE = r"""
void run(struct call *c) {
  int64_t at = c->threads > 1 ? c->thread() : 0;
  int64_t from = c->blocks * at / c->threads;
  int64_t to = c->blocks * (at + 1) / c->threads;
  for (int64_t b = from; b < to; b++) {
    int64_t strand = c->strand[b];
    int64_t last =
        b + 1 < c->blocks_to[strand] ? c->first[b + 1] : c->elements[strand];
    block(c, c->buffers + strand * BUFFERS, c->numbers + c->row[strand] * NUMBERS,
          c->partial + b * REDUCES, c->columns + c->column[b], c->first[b], last,
          c->width[strand]);
  }
}
"""
"""After the loops: how a call is shared among threads."""
