"""Verified programs as native code: one pass over the real tensors for each stage.

The way of a program: `planning` cuts it into stages and finds the chains of
element-wise operations in each, one strand for each tensor that goes through a chain;
`source` writes a chain as C, from the templates of `templates` and nothing else;
`compiler` and `cache` make a library of it; `library` calls that over all strands, with
torch's threads; `running` is the whole step, with Python for the numbers and torch for
what is not element by element; `proving` holds a kernel against the reference before
it is used, and `compiling` does all that beside the training.

Why C, of what was measured: an AdamW written by hand for each, one thread, in one run
on a busy machine, took 17 us at 94 thousand weights with gcc, 18 with clang, 27 with
numba, 144 with inductor and 1262 with `torch._foreach_*`; at 25 million weights memory
is the limit for all but the last. So the way there decides: gcc takes 0.1 s and clang
as much, in a process of its own that holds no lock, numba 0.3 s with Python's lock,
inductor over a minute there, and its results are not eager's to the last bit. Whoever
has no C compiler gets clang by `pip install 'dux-agent[kernels]'`.

What is equal to eager: templates were matched against torch operation by operation,
fused multiplications included; functions beyond arithmetic are torch's own, MKL's or
Sleef's, called by their addresses. `sqrt` is the processor's, which is rounded as IEEE
says; torch's differs by up to one unit in the last place, and costs twice the step.
"""
