"""How far a step by kernels may be from the same step as it is: every rule we have.

One step at a time: after each both go on from the same weights and state.
"""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dux_sandbox.recorded.kernels.compiler import compiler
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.replaying.ahead import Ahead
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.running import InlineRule
from dux_sandbox.runtime.attributes import RANDOM
from tests.recorded.recording import BOUNDS, Here, twin_of
from tests.recorded.test_recording import groups_of, parameters_in
from tests.recorded.test_styles import IN_THE_WAY

CORPUS = Path(__file__).parents[1] / "corpus"
RULES = [
    path
    for kind in ("benign", "written", "styles")
    for path in sorted((CORPUS / kind).glob("*.py"))
    if path.stem not in IN_THE_WAY
]
# What torch itself computes otherwise at the end of a vector than in its midst.
ROOTS = frozenset(["sqrt", "rsqrt", "pow", "sigmoid", "exp", "log", "tanh"])
MOST_ULPS, MOST_OF_THE_LARGEST = 4, 1e-6


def kind_of(programs):
    """ "sums", "roots" or "exact": what is promised of rules that do such things."""
    names = {each.name for program in programs for each in program.operations}
    if any(TABLE[name].room in ("reduction", "matrix") for name in names):
        return "sums"
    return "roots" if names & ROOTS else "exact"


def ulps(found, wanted, before):
    """How far values are off, in steps of the numbers they were computed from."""
    size = torch.maximum(wanted.abs(), before.abs())
    step = torch.nextafter(size, torch.tensor(torch.inf)) - size
    return float(((found - wanted).abs() / step).max())


def cases():
    """All of them; compiling takes a second, so every eighth is in the usual suite."""
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if at % 8 else [])
        for at, path in enumerate(RULES)
    ]


@pytest.mark.skipif(compiler() is None, reason="no C compiler is here")
@pytest.mark.parametrize("path", cases())
def test_a_step_by_kernels_is_as_near_as_is_promised(
    path, tmp_path_factory, monkeypatch
):
    folder = tmp_path_factory.getbasetemp() / "kernels"
    monkeypatch.setenv("DUX_KERNEL_CACHE", str(folder))
    # It would record in this process, whose generator the twin draws with.
    monkeypatch.setattr(Ahead, "look", lambda *where: None)
    source = path.read_text()
    groups = groups_of([(40, 33), (70,), (7, 3)])
    others = twin_of(groups)
    torch.manual_seed(0)
    rule, here = InlineRule.build(source, others), Here(source, groups)
    replay = Replay(parameters_in(groups), here, BOUNDS, compiles=True)
    generator = torch.Generator().manual_seed(1)

    with closing(replay):
        replay.build(here.build())
        for _ in range(6):
            before = [each.detach().clone() for each in parameters_in(others)]
            pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))
            for one, other in pairs:
                one.grad = torch.randn(one.shape, generator=generator)
                other.grad = one.grad.clone()
            rule.step()
            replay.step(None, None)

            for (one, other), was in zip(pairs, before, strict=True):
                found, wanted = one.detach(), other.detach()
                kind = kind_of(here.programs)
                if kind == "sums":
                    off = (found - wanted).abs().max() / wanted.abs().max()
                    assert off <= MOST_OF_THE_LARGEST
                elif kind == "roots":
                    assert ulps(found, wanted, was) <= MOST_ULPS
                else:
                    assert torch.equal(found, wanted)
                found.copy_(wanted)
            state = rule.snapshot()
            drawn = replay.kept.values.get(("attribute", RANDOM))
            more = {} if drawn is None else {RANDOM: drawn}
            replay.kept.take(replace(state, attributes=state.attributes | more))
