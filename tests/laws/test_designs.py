"""The laws accuse no sound optimizer of what its design makes it do."""

import pytest
import torch

from dux_sandbox.laws import check_laws
from tests.designs import DESIGNS
from tests.law_mutants import rule_of

SEEDS = (0, 1, 2, 7)
# Every optimizer of torch but LBFGS, which searches a line, and SparseAdam.
BUILT_IN = (
    "Adadelta Adagrad Adam AdamW Adamax ASGD NAdam RAdam RMSprop Rprop SGD".split()
)


def told(results):
    return {each.name: each.message for each in results if not each.ok}


def changed(name, old, new):
    assert old in DESIGNS[name]
    return DESIGNS[name].replace(old, new)


@pytest.mark.parametrize("name", DESIGNS)
def test_a_sound_rule_of_another_design_keeps_every_law(name):
    source = DESIGNS[name]

    results = check_laws(rule_of(source), examples=0, source=source)

    assert {} == told(results)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", DESIGNS)
def test_a_sound_rule_of_another_design_keeps_every_law_on_drawn_cases(name, seed):
    source = DESIGNS[name]

    results = check_laws(rule_of(source), seed=seed, source=source)

    assert {} == told(results)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_optimizers_of_torch_keep_every_law_whatever_the_seed(name):
    seed = SEEDS[len(name) % len(SEEDS)]

    results = check_laws(getattr(torch.optim, name), examples=3, seed=seed)

    assert {} == told(results)


_DECAY = '        p.mul_(1 - group["lr"] * group["weight_decay"])\n'


@pytest.mark.parametrize(
    ("name", "old", "new", "law"),
    [
        ("adopt_decoupled", _DECAY, _DECAY * 2, "decay"),
        ("adopt", '+ group["weight_decay"]', '+ 2 * group["weight_decay"]', "decay"),
        (
            "half_a_mean",
            '+ group["weight_decay"]',
            '+ 2 * group["weight_decay"]',
            "decay",
        ),
        ("gathers_twice", '["seen"] > 2', '["seen"] < 0', "accepts"),
        ("asgd", 'float(group["lr"]) /', 'float(self.defaults["lr"]) /', "options"),
        (
            "centred",
            "p.add_(",
            "if p.ndim > 1 and p.shape[1] == 1:\n            return\n        p.add_(",
            "accepts",
        ),
        ("soap", "grad.ndim == 2 and", "", "accepts"),
    ],
)
def test_a_bug_in_a_rule_of_another_design_is_found(name, old, new, law):
    source = changed(name, old, new)

    results = check_laws(rule_of(source), examples=0, source=source)

    assert law in told(results)


def test_a_step_that_demands_a_closure_is_given_one_unasked():
    results = check_laws(rule_of(DESIGNS["sharpness"]), examples=0)

    [bare] = [each for each in results if each.name == "bare_step"]
    assert "relaxed: its step demands one: needs-closure" == bare.message


def test_a_rule_that_clears_gradients_and_never_asks_for_them_again_is_found():
    cleared = changed("sharpness", "loss = closure()\n", "loss = None\n").replace(
        "p.sub_(p.grad, alpha=lr)", "p.sub_(before * 0.01 + 1e-3)"
    )

    assert "gradients" in told(check_laws(rule_of(cleared), examples=0))


def test_a_rule_whose_own_rate_is_none_is_judged_with_another():
    source = changed("lion", "lr=1e-2", "lr=0.0")

    assert {} == told(check_laws(rule_of(source), examples=0))
