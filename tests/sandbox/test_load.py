"""`load` and what a loaded class promises to torch and to the trainer."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch

from dux_sandbox.findings import SourceRejected, digest_of
from dux_sandbox.loading import attributes_of, load, restore_attributes
from tests.rule_sources import one_parameter, rule, unguarded


def test_the_class_carries_its_source_digest_and_wishes() -> None:
    plain = load(rule())
    source = rule(methods="carry = True\nrequires_closure: bool = True")
    wishing: Any = load(source)

    assert (False, False) == (plain.carry, plain.requires_closure)  # type: ignore[attr-defined]
    assert (True, True) == (wishing.carry, wishing.requires_closure)
    assert (source, digest_of(source)) == (wishing.dux_source, wishing.dux_digest)


@pytest.mark.parametrize("value", ["1", "'yes'", "[True]"])
def test_a_wish_that_is_not_true_is_no_wish(value: str) -> None:
    loaded: Any = load(rule(methods=f"carry = {value}"))

    assert loaded.carry is False


def test_the_rule_is_the_last_optimizer_of_the_file() -> None:
    top = "class Helper:\n    pass\nclass First(torch.optim.SGD):\n    pass"

    assert "Rule" == load(rule(top=top)).__name__
    assert "Last" == load(rule() + "\nclass Last(Rule):\n    pass\n").__name__


def test_two_loads_share_nothing() -> None:
    source = rule("Rule.count += 1", methods="count = 0")
    first: Any = load(source)
    second: Any = load(source)

    first([one_parameter()]).step()

    assert (1, 0) == (first.count, second.count)


@pytest.mark.parametrize(
    ("top", "kind", "message"),
    [
        ("x = 1 / 0", "load", "ZeroDivisionError"),
        ("[][1]", "load", "IndexError"),
        ("n = 0\nwhile n >= 0:\n    n += 1", "turns", "more than 100000 turns"),
        ("def f():\n    return f()\nf()", "load", "RecursionError"),
        ("raise ValueError('no')", "load", "no"),
        ("x = [0]\nfor _ in range(40):\n    x += x", "load", "ValueError"),
    ],
)
def test_a_source_that_fails_at_its_top_level_is_rejected(
    top: str, kind: str, message: str
) -> None:
    with pytest.raises(SourceRejected, match=message) as refused:
        load(rule(top=top))

    (finding,) = refused.value.report.findings
    assert (kind, True) == (finding.rule, finding.line is not None)


@pytest.mark.parametrize("value", ["None", "[]", "torch.optim.SGD", "int", "Helper"])
def test_a_name_bound_again_is_no_rule(value: str) -> None:
    source = rule(top="class Helper:\n    pass") + f"\nRule = {value}\n"

    with pytest.raises(SourceRejected):
        load(source)


def test_a_class_built_on_torchs_own_works_with_its_machinery() -> None:
    source = """
import torch
class Mine(torch.optim.AdamW):
    def __init__(self, params, lr=0.01, **kw):
        super(Mine, self).__init__(params, lr=lr, **kw)
        self.seen = 0
    def step(self, closure=None):
        self.seen += 1
        return super().step(closure)
"""
    parameter = one_parameter()
    optimizer: Any = load(source)([parameter])
    calls: list[int] = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))

    optimizer.step()
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    fresh: Any = load(source)([one_parameter()])
    fresh.load_state_dict(torch.load(buffer, weights_only=True))

    # torch wraps the step of the subclass and of AdamW: unguarded it counts two too.
    assert ([1, 1], 1) == (calls, optimizer.seen)
    assert 1 == len(fresh.state)
    assert copy.deepcopy(optimizer).param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize("base", ["SGD", "Adam", "RMSprop", "Adagrad", "NAdam"])
def test_torchs_own_optimizers_step_alike_under_the_guards(base: str) -> None:
    source = f"import torch\nclass Mine(torch.optim.{base}):\n    pass\n"
    a, b = one_parameter(), one_parameter()
    plain, guarded = unguarded(source)([a], lr=0.1), load(source)([b], lr=0.1)

    for _ in range(3):
        plain.step()
        guarded.step()

    assert torch.equal(a, b)


def test_schedulers_and_groups_work_on_a_loaded_rule() -> None:
    step = "for p in group['params']:\n    p.add_(p.grad, alpha=-group['lr'])"
    optimizer = load(rule(step))([one_parameter()], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    optimizer.step()
    scheduler.step()
    optimizer.add_param_group({"params": [one_parameter()]})

    assert [0.05, 0.1] == [group["lr"] for group in optimizer.param_groups]


def test_an_override_may_call_its_base_when_the_loop_calls_it() -> None:
    methods = """
    def add_param_group(self, group):
        super().add_param_group(group)
    def load_state_dict(self, state):
        super().load_state_dict(state)
    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("extra", 1)
    """
    optimizer = load(rule(methods=methods))([one_parameter()])

    optimizer.add_param_group({"params": [one_parameter()]})
    optimizer.load_state_dict(optimizer.state_dict())

    assert [1, 1] == [group["extra"] for group in optimizer.param_groups]


def test_setstate_cannot_slip_other_groups_in() -> None:
    methods = """
    def __setstate__(self, state):
        super().__setstate__({"param_groups": [], "state": {}})
    """
    optimizer = load(rule(methods=methods))([one_parameter()])

    optimizer.load_state_dict(optimizer.state_dict())

    assert 1 == len(optimizer.param_groups)


def test_a_helper_is_no_way_to_the_methods_of_optimizer() -> None:
    step = "torch.optim.Optimizer.state_dict(Helper())"

    with pytest.raises(TypeError, match="self as first argument"):
        load(rule(step, top="class Helper:\n    pass"))([one_parameter()]).step()


SAVED = """
self.t = 3
self.rate = 0.5
self.name = "x"
self.flag = None
self.on = True
self.buffer = p.detach() * 2
self.view = p
self.history = deque([1.0, 2.0], maxlen=3)
self.seen = {1, 2}
self.pair = (1, [2.0, p])
self.table = {"a": {"b": torch.ones(2)}}
self.by_parameter = {p: torch.ones(2)}
self.by_id = {id(p): 7}
self.counts = defaultdict(int)
self.counts["x"] = 4
self.helper = Schedule()
self.helper.n = 5
self.rng = torch.Generator().manual_seed(3)
self.drawn = float(torch.rand(1, generator=self.rng))
self.function = lambda: 0
self.iterator = iter([1])
self.inner = torch.optim.SGD([p], lr=0.1)
"""
SAVING = rule(
    "self.set(p) if self.t == 0 else None",
    top="class Schedule:\n    def __init__(self):\n        self.n = 1",
    methods="def set(self, p):\n    "
    + SAVED.strip().replace("\n", "\n    ")
    + "\ndef draw(self):\n    return float(torch.rand(1, generator=self.rng))",
).replace("self.t = 0\n", "self.t = 0\n        self.helper = Schedule()\n", 1)


def test_plain_attributes_are_saved_and_given_back() -> None:
    kind: Any = load(SAVING)
    parameter, other = one_parameter(2), one_parameter(2)
    first, second = kind([parameter]), kind([other])
    first.step()

    saved = attributes_of(first)
    restore_attributes(second, saved)

    assert (3, 0.5, "x", None, True) == tuple(
        getattr(second, name) for name in ("t", "rate", "name", "flag", "on")
    )
    assert torch.equal(first.buffer, second.buffer)
    assert second.view is other
    assert second.pair[1][1] is other
    assert [1.0, 2.0] == list(second.history)
    assert {1, 2} == second.seen
    assert torch.equal(torch.ones(2), second.table["a"]["b"])
    assert [other] == list(second.by_parameter)
    assert {id(other): 7} == second.by_id
    assert ({"x": 4}, 5) == (dict(second.counts), second.helper.n)
    assert first.draw() == second.draw()
    assert not {"function", "iterator"} & set(saved)


def test_saved_attributes_are_clones_and_cross_the_channel() -> None:
    from dux_sandbox.values import Decoder, encode

    kind: Any = load(SAVING)
    first = kind([one_parameter(2)])
    first.step()

    saved = attributes_of(first)
    first.buffer.zero_()
    blobs: list[Any] = []
    described = encode(saved, blobs)
    decoder = Decoder(bytearray(b"".join(bytes(blob) for blob in blobs)))

    assert torch.equal(torch.full((2,), 2.0), saved["buffer"])
    assert set(saved) == set(decoder.decode(described))


def test_restoring_passes_over_names_that_are_torchs_or_pythons() -> None:
    optimizer: Any = load(rule())([one_parameter()])
    groups = optimizer.param_groups

    hostile = {"param_groups": [], "__class__": 1, "step": 2, "state": 3, "t": 4}
    restore_attributes(optimizer, hostile)

    assert optimizer.param_groups is groups
    assert (4, "Rule") == (optimizer.t, type(optimizer).__name__)
    assert callable(optimizer.step)


@pytest.mark.parametrize(
    "value",
    [
        {"dux": "parameter", "index": 9},
        {"dux": "parameter"},
        {"dux": "generator", "device": "nowhere", "state": 1},
        {"dux": "items", "pairs": [1]},
        {"dux": "items"},
    ],
)
def test_a_malformed_saved_attribute_is_an_error_that_names_it(value: Any) -> None:
    optimizer = load(rule())([one_parameter()])

    with pytest.raises(ValueError, match="the saved attribute t is malformed"):
        restore_attributes(optimizer, {"t": value})


def test_the_rules_own_state_survives_pickle_and_deepcopy() -> None:
    step = "self.state[p]['m'] = torch.ones(2)\nself.state[p]['d'] = defaultdict(list)"
    optimizer = load(rule(step))([one_parameter()])
    optimizer.step()

    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)

    assert buffer.getvalue()
    assert copy.deepcopy(optimizer.state_dict())["state"][0]["m"].shape == (2,)
