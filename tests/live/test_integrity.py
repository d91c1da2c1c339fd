"""What a step must leave alone is noticed and put back."""

import pytest
import torch

from dux_agent.live.integrity import Hooks, Makes, all_finite
from dux_sandbox.global_modes import Modes
from tests import models


def test_every_global_mode_is_noticed_and_put_back():
    changes = {
        "grad mode": lambda: torch._C._set_grad_enabled(False),
        "default dtype": lambda: torch.set_default_dtype(torch.float64),
        "default device": lambda: torch.set_default_device("meta"),
        "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
        "number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        "anomaly detection": lambda: torch.set_anomaly_enabled(True),
        "float32 matmul precision": lambda: torch.set_float32_matmul_precision("high"),
    }
    for name, change in changes.items():
        modes = Modes()
        assert modes.changed() is None

        change()
        said = modes.changed()
        modes.restore()

        assert name in said
        assert modes.changed() is None


def test_hooks_that_a_step_left_behind_are_taken_off():
    model = models.make("mlp")
    parameters = list(model.parameters())
    kept = model[0].register_forward_hook(lambda *_: None)
    hooks = Hooks(parameters, model)

    for leave in (
        lambda: model[2].register_forward_hook(lambda *_: None),
        lambda: parameters[0].register_hook(lambda g: None),
        lambda: parameters[1].register_post_accumulate_grad_hook(lambda p: None),
        lambda: torch.nn.modules.module.register_module_forward_hook(lambda *_: None),
    ):
        leave()
        said = hooks.changed()
        hooks.restore()
        assert "hook" in said
        assert hooks.changed() is None

    assert 1 == len(model[0]._forward_hooks)
    kept.remove()


def swap_memory(groups):
    groups[0]["params"][0].data = torch.zeros_like(groups[0]["params"][0])


def freeze(groups):
    groups[0]["params"][0].requires_grad_(False)


def drop(groups):
    groups[0]["params"].pop()


def reverse(groups):
    groups[0]["params"].reverse()


def add(groups):
    groups.append({"params": []})


def resize(groups):
    groups[0]["params"][0].data = torch.zeros(1)


@pytest.mark.parametrize("change", [swap_memory, freeze, drop, reverse, add, resize])
def test_a_changed_parameter_is_noticed_and_made_again(change):
    model = models.make("mlp")
    groups = [{"params": list(model.parameters())}]
    parameter, pointer = model[0].weight, model[0].weight.data_ptr()
    before = parameter.detach().clone()
    makes = Makes(groups)

    change(groups)
    said = makes.changed()
    makes.restore()

    assert "the step changed" in said
    assert makes.changed() is None
    assert (pointer, True) == (parameter.data_ptr(), parameter.requires_grad)
    assert torch.equal(before, parameter)


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64]
)
def test_one_value_that_is_not_finite_is_found(dtype):
    sound = [torch.full((300, 300), 100.0).to(dtype), torch.zeros(0), torch.tensor(3)]
    for bad in (float("nan"), float("inf"), float("-inf")):
        spoilt = [*sound, torch.tensor([1.0, bad]).to(dtype)]

        assert all_finite(sound)
        assert not all_finite(spoilt)


def test_it_is_found_where_new_tensors_are_made_on_another_device():
    sound = [torch.ones(3)]

    with torch.device("meta"):
        finite = all_finite(sound)

    assert finite
