"""Rules recorded and replayed, beside the same rules run as they are."""

from pathlib import Path

import pytest
import torch

from dux_sandbox.recorded.json_form import as_json
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.recorder import Recorder
from dux_sandbox.recorded.session import Kept, Shown
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.running import InlineRule
from tests.recorded.recording import replay_of, twin_of
from tests.sources import with_step

CORPUS = Path(__file__).parents[1] / "corpus"
WRITTEN = sorted((CORPUS / "written").glob("*.py"))
BENIGN = sorted((CORPUS / "benign").glob("*.py"))
# LAPACK's eigenvectors hang on the last bit of a sum.
LOOSE = {"shampoo_small.py": 1e-5}
SHAPES = [(20, 18), (5, 7), (18,), (1,), (9, 9)]


def groups_of(shapes=SHAPES, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.nn.Parameter((torch.randn(s, generator=generator) * 0.3).to(dtype))
        for s in shapes
    ]
    return [{"params": weights[:3]}, {"params": weights[3:]}]


def parameters_in(groups):
    return [each for group in groups for each in group["params"]]


def steps_beside(source, steps=12, groups=None, missing=()):
    """The same steps recorded and inline; gives both rules' parameters."""
    groups = groups or groups_of()
    others = twin_of(groups)
    torch.manual_seed(0)  # what a recorded rule draws with is seeded so
    rule = InlineRule.build(source, others)
    replay, here = replay_of(source, groups)
    generator = torch.Generator().manual_seed(1)
    pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))
    for step in range(steps):
        for at, (one, other) in enumerate(pairs):
            scale = 3.0 if step % 5 == 3 else 0.1
            values = torch.randn(one.shape, generator=generator).to(one.dtype) * scale
            one.grad = None if (step, at) in missing else values
            other.grad = None if one.grad is None else values.clone()
        rule.step()
        replay.step(None, None)
    return replay, here, rule, pairs


@pytest.mark.parametrize("path", [*BENIGN, *WRITTEN], ids=lambda path: path.stem)
def test_a_recorded_rule_does_what_it_does(path):
    replay, _, rule, pairs = steps_beside(path.read_text())

    for one, other in pairs:
        off = LOOSE.get(path.name, 0.0)
        assert torch.allclose(other, one, rtol=off, atol=off)
    assert rule.snapshot().attributes.keys() == replay.kept.state().attributes.keys()
    assert rule.snapshot().state.keys() == replay.kept.state().state.keys()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_dtype_is_recorded_as_it_is(dtype):
    source = (CORPUS / "benign" / "data_style_adam.py").read_text()

    _, _, _, pairs = steps_beside(source, groups=groups_of(dtype=dtype))

    for one, other in pairs:
        assert torch.equal(other, one)


def test_missing_gradients_are_another_program():
    source = (CORPUS / "benign" / "sgd_momentum.py").read_text()
    missing = {(3, 0), (3, 4), (4, 1), (8, 0), (8, 4)}

    replay, _, _, pairs = steps_beside(source, missing=missing)

    for one, other in pairs:
        assert torch.equal(other, one)
    assert replay.recordings <= 4


def test_a_rate_that_a_schedule_changes_records_nothing_anew():
    source = (CORPUS / "benign" / "sgd_momentum.py").read_text()
    replay, _, _, pairs = steps_beside(source)
    before = replay.recordings

    for step in range(20):
        replay.places.options[0]["lr"] = 0.1 / (1 + step)
        for one, _ in pairs:
            one.grad = torch.ones_like(one)
        replay.step(None, None)

    assert before == replay.recordings


ON_A_DEVICE = """
import torch


class Placed(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                eye = torch.eye(p.shape[0], device=p.device)
                more = torch.zeros(p.shape[0], dtype=p.dtype, device=p.device)
                shift = torch.tensor(0.1, device="cuda").to("cuda:0")
                p.sub_(eye @ p.grad + more * shift)
"""


def test_a_rule_of_a_device_that_is_not_here_is_recorded_as_on_the_processor():
    shown = [Shown(TensorType("float32", (4, 4)), (4, 1))]

    told = []
    for device in ("cpu", "cuda:0"):
        recorder = Recorder(ON_A_DEVICE, shown, [[0]], device)
        recorder.build()
        told.append(as_json(recorder.step(Kept([], []), [True]).program))

    assert told[0] == told[1]


COUNTING = with_step(
    """\
        self.n += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if self.n % 4 == 0:
                    p.mul_(0.9)
                elif self.n > 6:
                    p.sub_(p.grad * 0.5)
                p.add_(p.grad, alpha=-group["lr"] * math.sqrt(self.n))
""",
    "        self.n = 0",
)


def test_a_branch_at_every_few_steps_is_recorded_once():
    replay, _, _, pairs = steps_beside(COUNTING, steps=30)

    for one, other in pairs:
        assert torch.equal(other, one)
    assert replay.recordings <= 5
    assert 30 == replay.kept.values["attribute", "n"]


COUNTING_IN_BITS = with_step(
    """\
        self.n += 1
        turns, since = divmod(self.n, 3)
        left, over = divmod(7, self.n)
        bits = (self.n & 3) + (self.n >> 1) + (self.n ^ 5) + (self.n | 8)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    scale = turns + 0.1 * since + left + over + bits
                    p.add_(p.grad, alpha=-group["lr"] * scale)
""",
    "        self.n = 0",
)


def test_what_is_counted_in_bits_and_turns_is_one_program():
    replay, _, _, pairs = steps_beside(COUNTING_IN_BITS, steps=20)

    for one, other in pairs:
        assert torch.equal(other, one)
    assert 1 == replay.recordings


CLIPPING = with_step(
    """\
        total = 0.0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    total += float(p.grad.pow(2).sum())
        norm = math.sqrt(total)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if norm > 10.0:
                    p.sub_(p.grad * (0.1 / norm))
                else:
                    p.sub_(p.grad * min(0.1, 1.0 / (1.0 + norm)))
"""
)


def test_a_branch_on_a_norm_is_a_guard():
    replay, here, _, pairs = steps_beside(CLIPPING, steps=20)

    for one, other in pairs:
        assert torch.equal(other, one)
    assert 2 == replay.recordings
    assert {True, False} == {
        program.guards[0].expected for program in here.programs[1:]
    }


VIEWS = with_step(
    """\
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None or p.ndim < 2:
                    continue
                flat = p.view(-1)
                flat[: p.shape[1]].mul_(0.5)
                p[0].add_(p.grad[1])
                p.t()[1].zero_()
                p[:, -1:] -= 0.1 * p.grad[:, :1]
                p[p > 0.5] = 0.25
                p.diagonal().fill_(1.5)
                first, second = p.chunk(2)
                second.sub_(0.125)
"""
)


def test_writes_to_views_arrive_in_what_they_are_views_of():
    _, _, _, pairs = steps_beside(VIEWS, steps=4)

    for one, other in pairs:
        assert torch.equal(other, one)


RANGE = VIEWS[: VIEWS.index("flat = ")] + (
    "p.sub_(p.grad * torch.arange(1, p.shape[1] + 1, dtype=p.dtype))\n"
)


def test_a_range_of_plain_numbers_is_as_long_as_it_is():
    _, _, _, pairs = steps_beside(RANGE, steps=3)

    for one, other in pairs:
        assert torch.equal(other, one)


@pytest.mark.parametrize(
    ("body", "said", "line"),
    [
        ("p.add_(p.unique().sum())", "unique", 1),
        ("p.mul_(0.5)\n                k = int(p.sum()); z = [0] * k", "plain", 2),
        ("p.sub_(p[p > 0].sum())", "shape", 1),
        ("p.sub_(p[p > 0].numel())", "picked", 1),
        ("self.log = getattr(self, 'log', []) ; self.log.append(p.grad)", "share", 0),
        ("SEEN.append(1.0)", "outside", 0),
    ],
)
def test_what_cannot_be_recorded_is_told_by_its_line(body, said, line):
    source = with_step(
        f"""\
        for group in self.param_groups:
            for p in group["params"]:
                {body}
"""
    ).replace("import torch\n", "import torch\nSEEN = []\n", 1)
    place = source[: source.index(body)].count("\n") + line
    groups = groups_of()
    replay, _ = replay_of(source, groups)
    for each in parameters_in(groups):
        each.grad = torch.ones_like(each)
    before = [each.detach().clone() for each in parameters_in(groups)]

    with pytest.raises(Unrecordable, match=said) as told:
        replay.step(None, None)

    if line:
        assert place == told.value.line
    assert all(map(torch.equal, before, parameters_in(groups)))
