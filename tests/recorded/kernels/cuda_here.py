"""The text of CUDA's kernels, compiled for the processor and run thread after thread.

What only a device has is stood in for: its types, and how a block brings its threads
together. All else is the very text that a device runs.
"""

import ctypes
import subprocess

import torch

from dux_sandbox.recorded.kernels.compiler import compiler
from dux_sandbox.recorded.kernels.cuda.kernels import CudaKernel
from dux_sandbox.recorded.kernels.cuda.source import source_of
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.kernels.running import FusedProgram
from dux_sandbox.recorded.kernels.targets import Target

HERE = Target(
    torch.device("cpu"), lambda name, works_in: True, False, 1 << 27, waits=True
)
"""A CUDA device that is the processor."""

TYPES = r"""
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#define __global__
#define __device__
#define __launch_bounds__(threads)
typedef uint16_t half_t;
static struct { int x; } threadIdx, blockIdx;
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline float erfinvf(float x) { return x / 0.f; }
static inline double erfinv(double x) { return x / 0.; }
static inline float wide_half(half_t x) {
  _Float16 made;
  memcpy(&made, &x, 2);
  return made;
}
static inline half_t narrow_half(float x) {
  _Float16 wide = (_Float16)x;
  half_t made;
  memcpy(&made, &wide, 2);
  return made;
}
static inline float wide_bfloat16(uint16_t x) {
  uint32_t bits = (uint32_t)x << 16;
  float made;
  memcpy(&made, &bits, 4);
  return made;
}
static inline uint16_t narrow_bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint32_t even = bits + 0x7fff + ((bits >> 16) & 1);
  return x != x ? 0x7fc0 : (uint16_t)(even >> 16);
}
/* Threads come one after the other, the first one last: it has what all have had. */
#define GATHER(kind, begin, together)                                         \
  static double gather_##kind##_by(double x, int lane, bool is_first) {       \
    static double all[1 << 14][32];                                           \
    if (asked == 1 << 14) abort();                                            \
    double &y = all[asked++][lane];                                           \
    if (is_first) y = begin;                                                  \
    return y = together;                                                      \
  }                                                                           \
  static inline double gather_##kind(double x) {                              \
    return gather_##kind##_by(x, 0, threadIdx.x == THREADS - 1);              \
  }                                                                           \
  static inline double gather_##kind##_along(double x, int lanes) {           \
    return gather_##kind##_by(x, 0, threadIdx.x % lanes == lanes - 1);        \
  }                                                                           \
  static inline double gather_##kind##_across(double x, int lanes) {          \
    const bool is_first = threadIdx.x >= THREADS - lanes;                     \
    return gather_##kind##_by(x, threadIdx.x % lanes, is_first);              \
  }
static int asked;
"""
_DRIVER = """
#define OVER(name)                                                            \\
  extern "C" void all_##name(const struct call *c, int blocks) {              \\
    for (int b = 0; b < blocks; b++)                                          \\
      for (int t = THREADS - 1; t >= 0; t--) {                                \\
        blockIdx.x = b, threadIdx.x = t, asked = 0;                           \\
        name(*c);                                                             \\
      }                                                                       \\
  }
OVER(run)
"""


class _Here:
    """Stands for a device."""

    device = torch.device("cpu")
    taken_down = None
    """While a graph is captured, what is called; see `graphs_here`."""

    def launch(self, function, blocks, threads, arguments):
        assert 256 == threads
        if self.taken_down is None:
            function(ctypes.byref(arguments), blocks)
        else:  # arguments are given by value: as they are now
            given = type(arguments).from_buffer_copy(arguments)
            self.taken_down.append(lambda: function(ctypes.byref(given), blocks))

    def upload(self, block, count, into=None):
        assert self.taken_down is None, "what comes from the host would be baked in"
        made = torch.tensor(block[:count], dtype=torch.int64)
        return made if into is None else into.copy_(made)


DEVICE = _Here()


_BUILT = {}
"""By their text, the functions that were compiled in this process."""


def kernel_here(chain, folder):
    """The kernel of a chain on this device that is none."""
    text = source_of(chain, TYPES) + _DRIVER + ("OVER(finish)" if chain.reduces else "")
    if text not in _BUILT:
        library = _compiled(text, folder)
        names = ("run", "finish") if chain.reduces else ("run",)
        _BUILT[text] = {each: getattr(library, f"all_{each}") for each in names}
    return CudaKernel(chain, DEVICE, _BUILT[text])


def _compiled(text, folder):
    name = f"k{len(list(folder.iterdir()))}"
    (folder / f"{name}.cc").write_text(text)
    flags = ["-std=gnu++17", "-O0", "-shared", "-fPIC", "-w", "-march=native"]
    flags += ["-ffp-contract=off", "-fno-strict-aliasing"]
    command = [compiler().command[0], "-x", "c++", *flags, f"{name}.cc", "-o"]
    subprocess.run([*command, f"{name}.so"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / f"{name}.so"))


def fused_here(program, folder):
    """A program whose kernels are the text of CUDA's, compiled for the processor."""
    plan = plan_of(program, HERE)
    return FusedProgram(plan, {each: kernel_here(each, folder) for each in plan.chains})
