"""Rules in many styles, recorded beside themselves."""

from pathlib import Path

import pytest
import torch

from dux_sandbox import zoo
from dux_sandbox.replaying.foreseen import foresee
from tests.recorded.styles import STYLES
from tests.recorded.test_recording import groups_of, steps_beside

MORE = sorted((Path(__file__).parents[1] / "corpus" / "styles").glob("*.py"))
# This one calls its closure several times in a step.
OF_THE_LITERATURE = [
    path
    for path in sorted((Path(zoo.__file__).parent / "sources").glob("*.py"))
    if path.stem != "entropy_sgd"
]
# With the line that stands in the way.
IN_THE_WAY = {
    "grown_history_sorted": "self.history",
    "mars_adamw": 'state["last_grad"] = grad',
}
RECORDED = [path for path in MORE if path.stem not in IN_THE_WAY]
# LAPACK's eigenvectors hang on the last bit of a sum.
LOOSE = {"shampoo_eigh": 1e-6}


@pytest.mark.parametrize("name", STYLES)
def test_a_rule_of_another_style_is_recorded_as_it_is(name):
    replay, _, rule, pairs = steps_beside(STYLES[name])

    for one, other in pairs:
        assert torch.allclose(other, one, rtol=1e-6, atol=1e-7)
    numbers = {
        place[1]: value
        for place, value in replay.kept.values.items()
        if place[0] == "attribute"
    }
    assert rule.snapshot().attributes == numbers


@pytest.mark.parametrize(
    "path", [*RECORDED, *OF_THE_LITERATURE], ids=lambda path: path.stem
)
def test_a_rule_of_a_hundred_is_recorded_to_the_last_bit(path):
    _, _, _, pairs = steps_beside(path.read_text())

    for one, other in pairs:
        off = LOOSE.get(path.stem, 0.0)
        assert torch.allclose(other, one, rtol=off, atol=off)


def test_nine_of_ten_of_them_can_be_recorded():
    assert len(MORE) >= 60
    assert len(IN_THE_WAY) <= 0.1 * len(MORE)


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_stands_in_the_way_of_the_others_is_told_by_its_line(name):
    (path,) = [path for path in MORE if path.stem == name]
    lines = path.read_text().splitlines()

    why = foresee(path.read_text(), groups_of()).why

    assert why is not None
    assert IN_THE_WAY[name] in lines[why.line - 1]
