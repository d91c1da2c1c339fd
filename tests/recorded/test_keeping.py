"""What a forged tree of what a rule keeps meets, before anything is written."""

import pytest
import torch

from dux_sandbox.recorded.json_form import ProgramRefused
from dux_sandbox.recorded.trees import LEAF
from dux_sandbox.replaying.bounds import Bounds
from dux_sandbox.replaying.replay import Replay
from tests.recorded.programs import Writing

NUMBER, TENSOR = {LEAF: 0}, {LEAF: 1}


class Forged:
    """Records what it was told to."""

    def __init__(self, structure):
        writing = Writing()
        made = writing.do("full", writing.number(1.0), size=[4, 3], dtype="float32")
        writing.write(made, "parameter", 0)
        self.program = writing.program(structure=structure)

    def step(self, asked):
        return self.program, 0


def replay_of(forged):
    parameter = torch.nn.Parameter(torch.zeros(4, 3))
    parameter.grad = torch.zeros(4, 3)
    replay = Replay([parameter], forged, Bounds(1 << 20, 1 << 20, 1 << 30, 1e9))
    return replay, parameter


@pytest.mark.parametrize("begins", [True, False], ids=["at first", "in a step"])
@pytest.mark.parametrize(
    "structure",
    [
        5,
        [1],
        [[[], NUMBER]],
        [[[[]], NUMBER]],
        [[["loss"], NUMBER]],
        [[["parameter", -1], TENSOR]],
        [[["gradient", 1], TENSOR]],
        [[["state", -1], TENSOR]],
        [[["state", 1], TENSOR]],
        [[["state", "0"], TENSOR]],
        [[["state", True], TENSOR]],
        [[["state", 0, "m"], TENSOR]],
        [[["state", 0], TENSOR], [["state", 0], NUMBER]],
        [[["state", 0], {"set": [TENSOR]}]],
        [[["state", 0], {"dict": [[NUMBER, NUMBER]]}]],
        [[["state", 0], {"tensor": ["float32", [4]]}]],
        [[["attribute"], NUMBER]],
        [[["option", -1, "lr"], NUMBER]],
        [[["option", 0], NUMBER]],
        [[["option", 1 << 40, "lr"], NUMBER]],
        [[["option", 0, "lr"], TENSOR]],
    ],
    ids=str,
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(structure, begins):
    replay, parameter = replay_of(Forged(structure))
    replay.places.options = [] if begins else [{"lr": 0.1}]

    with pytest.raises(ProgramRefused, match="kept"):
        if begins:
            replay.build(Forged(structure).program)
        else:
            replay.step(None, None)

    assert not parameter.any()
    assert not replay.kept.values
    assert replay.places.options == ([] if begins else [{"lr": 0.1}])


def test_what_can_be_kept_is_kept():
    state = [["state", 0], {"dict": [["m", TENSOR], ["step", NUMBER]]}]
    option = [["option", 0, "lr"], NUMBER]
    replay, parameter = replay_of(Forged([state, option]))
    replay.places.options = [{"lr": 0.1}]

    replay.step(None, None)

    assert replay.kept.state().state[0]["step"] == 1.0
    assert replay.places.options == [{"lr": 1.0}]
    assert parameter.all()
