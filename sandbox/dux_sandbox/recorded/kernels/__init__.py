"""Verified programs as native code: one pass over the real tensors for each stage.

The way of a program: `planning` cuts it into stages and finds the chains of
element-wise operations in each, one strand for each tensor that goes through a chain;
`source` writes a chain as C, from the templates of `templates` and nothing else;
`compiler` and `cache` make a library of it; `library` calls that over all strands, with
torch's threads; `running` is the whole step, with Python for the numbers and torch for
what is not element by element; `proving` holds a compiled program against
`interpreting.interpret` before it is used, and `background` does all that beside the
training.

Why C, of what was measured (AdamW, one thread, against `AdamW(fused=True)` at 94
thousand and 25 million weights): any compiler gives the same loop (0.16 and 0.97 times
with gcc, clang and LLVM alike; memory is the limit), and what differs is the way there.
gcc takes 0.12 s, a process of its own that holds no lock; numba's compiler 0.3 s, most
of it under Python's lock; inductor 3 to 40 s, and its results are not eager's to the
last bit. Whoever has no C compiler gets clang by `pip install 'dux-agent[kernels]'`.

What is equal to eager: templates were matched against torch operation by operation,
fused multiplications included; functions beyond arithmetic are torch's own, MKL's or
Sleef's, called by their addresses. `sqrt` is the processor's, which is rounded as IEEE
says; torch's differs by up to one unit in the last place, and costs twice the step.
"""
