"""What operators make of sources of the zoo."""

from random import Random

import pytest

from dux_graphs.evolution.crossing import cross
from dux_graphs.evolution.individual import Draft, Individual, Standing
from dux_graphs.evolution.retuning import Structure
from dux_graphs.evolution.simplifying import simpler, simplify
from dux_graphs.evolution.syntax import (
    constants_in,
    lines_of,
    normal_form,
    structure,
    with_constants,
)
from dux_sandbox.static_check import check
from dux_sandbox.zoo import entry


def _standing(name, number=1):
    draft = Draft(entry(name).source, name)
    return Standing(Individual(number, draft, "first", (), 0))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "pair", [("adamw", "muon"), ("radam", "lion"), ("lars", "soap")]
)
def test_a_cross_of_two_rules_is_one_that_the_policy_accepts(pair, seed):
    one, other = (_standing(name) for name in pair)

    child = cross([one, other], Random(seed))

    assert check(child.source).ok
    assert all(entry(name).rule in child.thought for name in pair)


def test_a_cross_can_be_crossed_again():
    first = cross([_standing("adamw"), _standing("muon")], Random(0))
    parent = Standing(Individual(3, first, "cross", (1, 2), 0))

    child = cross([parent, _standing("lion")], Random(1))

    assert check(child.source).ok


def test_both_rates_of_a_cross_follow_the_one_that_a_scheduler_sets():
    child = cross([_standing("adamw"), _standing("lion")], Random(0))

    held = constants_in(child.source)

    assert (1e-3, 0.1) == (held["lr"], held["rate"])
    assert "group['lr'] * group['rate']" in child.source


def test_a_rule_that_looks_at_all_weights_together_is_not_crossed():
    assert cross([_standing("prodigy"), _standing("sgd")], Random(0)) is None


def test_each_simpler_source_is_shorter_and_accepted():
    source = entry("adamw").source

    found = dict(simpler(source))

    assert all(check(each).ok for each in found.values())
    assert all(len(each) < len(source) for each in found.values())
    decay = "p.mul_(1 - group['lr'] * group['weight_decay'])"
    assert "weight_decay" not in constants_in(found[decay])


def test_simplifying_draws_one_of_the_parts():
    made = simplify([_standing("sgd")], Random(0))

    assert made.source in dict(simpler(entry("sgd").source)).values()


def test_the_tuner_begins_at_the_defaults_and_keeps_what_is_better():
    held = Structure(entry("sgd").source)
    held.trials.append((1, held.start()))
    scores = [0.29]
    for number in range(2, 12):
        draft = held.next(scores, 0)
        held.trials.append((number, draft.config))
        scores.append(abs(constants_in(draft.source)["lr"] - 0.3))

    assert 0.2 > min(scores)
    assert 1 == len({structure(held.source), structure(draft.source)})


def test_names_and_texts_make_no_difference_and_constants_do():
    source = entry("adam").source

    renamed = source.replace("square", "second").replace("scale", "divisor")
    other = with_constants(source, {"lr": 0.5})

    # What the state is called stays what it is: only names of variables are free.
    assert normal_form(source.replace("scale", "divisor")) == normal_form(source)
    assert len({normal_form(each) for each in (source, renamed, other)}) == 3
    assert structure(source) == structure(other)
    assert lines_of(source) == lines_of(other)
