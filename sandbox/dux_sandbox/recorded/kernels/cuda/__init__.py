"""The kernels of a CUDA device: one launch over all tensors of a pass.

Chains, plans and numbers are those of the processor's kernels. `source` writes a chain
as CUDA C++; `runtime_compiler` has NVRTC make machine code of it, which comes with
torch; `driver` loads and launches that. Both are called by their C interfaces, so no
other compiler and no other package is wanted. `kernels` binds it to tensors: what a
call works on goes there in one copy from pinned memory, and nobody waits for a device.
"""
