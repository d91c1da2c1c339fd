"""A dtype is a value like any other: in groups, in the state, on the rule itself."""

import io

import pytest
import torch

from dux_sandbox.values import Decoder, ValueRefused, encode
from tests import models
from tests.executions import both
from tests.talking import agent_over, run

RULE = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.05, momentum_dtype=torch.bfloat16):
        super().__init__(params, dict(lr=lr, momentum_dtype=momentum_dtype))
        self.kind = {"buffers": torch.float64}
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["m"] = torch.zeros_like(p, dtype=group["momentum_dtype"])
                    state["made"] = group["momentum_dtype"]
                state["m"].mul_(0.9).add_(p.grad)
                p.sub_(state["m"].to(self.kind["buffers"]).to(p.dtype) * group["lr"])
        return loss
"""


@both
def test_a_dtype_is_kept_in_groups_and_state_and_comes_back_from_a_checkpoint(
    execution,
):
    one, other = models.make("mlp"), models.make("mlp")
    with agent_over(one, RULE, execution=execution) as agent:
        run(agent, 2)
        assert "applied" == agent.decide().verdict
        run(agent, 2)
        file = io.BytesIO()
        torch.save(agent.optimizer.state_dict(), file)
        saved = {key: value.clone() for key, value in one.state_dict().items()}
        [*_] = run(agent, 2) or []
    file.seek(0)

    with agent_over(other, RULE, execution=execution) as agent:
        other.load_state_dict(saved)
        agent.optimizer.load_state_dict(torch.load(file, weights_only=True))
        run(agent, 2)

        assert torch.bfloat16 is agent.optimizer.param_groups[0]["momentum_dtype"]
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_a_dtype_crosses_between_processes_by_its_name():
    blobs = []
    told = encode({"a": torch.float16, "b": [torch.int64]}, blobs)

    held = Decoder(bytearray()).decode(told)

    assert {"a": torch.float16, "b": [torch.int64]} == held


@pytest.mark.parametrize("name", ["nowhere", "float8_e4m3fn", "Tensor", 3, None, []])
def test_no_other_name_is_a_dtype(name):
    with pytest.raises(ValueRefused):
        Decoder(bytearray()).decode({"dtype": name})
