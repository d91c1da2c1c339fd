"""What a rule calls by the names of torch's arguments is what torch would do."""

import pytest
import torch

from dux_sandbox.loading import load
from tests.rule_sources import one_parameter, rule

CALLS = """
torch.outer(input=v, vec2=v)
torch.chunk(input=x, chunks=2)[0]
torch.quantile(input=v, q=0.5)
torch.diag(input=v)
torch.unbind(input=x)[0]
torch.diff(input=v)
torch.cov(input=x)
torch.tile(input=v, dims=(2,))
torch.nonzero(input=v)
torch.median(input=v)
torch.cdist(x1=x, x2=x)
torch.inner(input=v, other=v)
torch.inner(v, other=v)
torch.addr(input=x, vec1=v, vec2=v)
torch.mm(mat2=y, input=x)
torch.mv(vec=v, input=x)
torch.index_select(input=x, dim=0, index=i)
torch.index_select(x, axis=0, index=i)
torch.quantile(a=x, q=0.5, axis=0)
torch.broadcast_to(input=v, size=(4, 4))
torch.repeat_interleave(input=v, repeats=2)
torch.diag_embed(input=v)
torch.nn.functional.pad(input=x, pad=(1, 1))
torch.nn.functional.linear(input=x, weight=y)
torch.linalg.inv(A=y)
torch.linalg.qr(A=y)[0]
torch.linalg.svdvals(A=y)
torch.linalg.det(A=y)
torch.linalg.multi_dot(tensors=[x, y])
torch.linalg.solve(B=x, A=y)
torch.inverse(input=y)
torch.svd_lowrank(A=y, q=1)[1] * 0
v.inner(other=v)
x.addmm(mat2=y, mat1=x)
""".strip().splitlines()
GIVEN = """
x = torch.arange(16.0).reshape(4, 4) + torch.eye(4)
y = x.T.contiguous() + 20 * torch.eye(4)
v, i = torch.arange(4.0), torch.tensor([1, 0])
"""


@pytest.mark.parametrize("call", CALLS)
def test_a_call_by_name_gives_what_torch_gives(call):
    names = {"torch": torch}
    exec(GIVEN + f"made = {call}", names)
    optimizer = load(rule(GIVEN + f"self.made = {call}"))([one_parameter()])

    optimizer.step()

    assert torch.equal(names["made"], optimizer.made)
