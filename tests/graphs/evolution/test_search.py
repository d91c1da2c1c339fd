"""Searches whose trainings take no time: what is better is written down here."""

import math

import pytest

from dux_graphs.evolution.crossing import cross
from dux_graphs.evolution.individual import Draft, Individual, Standing
from dux_graphs.evolution.racing import climbers, difference
from dux_graphs.evolution.search import Climbed, Evolution
from dux_graphs.evolution.simplifying import simplify
from dux_graphs.evolution.syntax import constants_in
from dux_sandbox.zoo import entry

_OPERATORS = {"cross": cross, "simplify": simplify}


def _run(evolution, budget, values_of):
    """A search to its end, with values by individual and rung."""
    seen = []
    while evolution.evaluations < budget:
        asked = evolution.ask(min(8, budget - evolution.evaluations))
        seen += asked
        for one, place in evolution.climbers():
            values = values_of(one, place)
            if values is None:
                evolution.stop(one, "short training", "it raised")
                continue
            evolution.climbed(one, Climbed(values, cell=(len(values),)))
        evolution.generation_over()
    return seen


def _planted(one, place):
    """What is best is known: signs for matrices, SGD for the rest, and a rate of 0.03.

    Any other rate costs a third for each decade that it is away.
    """
    source = one.individual.draft.source
    away = abs(math.log10(constants_in(source)["lr"] / 0.03)) / 3
    whole = "first if p.ndim > 1 else second" in source
    both = "lion_step" in source and "sgd_step" in source
    return (away - both, away - (both and whole))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_planted_individual_is_found(seed):
    parents = [Draft(entry(name).source, name) for name in ("lion", "sgd", "adagrad")]
    evolution = Evolution(parents, _OPERATORS, seed=seed, islands=2)

    _run(evolution, 120, _planted)

    found = evolution.best
    assert "first if p.ndim > 1 else second" in found.individual.draft.source
    assert -0.8 > found.score()
    assert 0.12 > constants_in(found.individual.draft.source)["lr"] > 0.0075


def _by_number(one, place):
    return (-float(one.individual.number), 0.0)


def test_the_same_seed_breeds_the_same():
    def bred():
        first = [Draft(entry(name).source, name) for name in ("adamw", "lion", "sgd")]
        evolution = Evolution(first, _OPERATORS, seed=3)
        return [each.individual for each in _run(evolution, 30, _by_number)]

    assert bred() == bred()


def test_every_island_gets_as_many_proposals_as_the_others():
    names = ("adamw", "lion", "sgd", "adagrad")
    first = [Draft(entry(name).source, name) for name in names]
    evolution = Evolution(first, _OPERATORS, seed=0)

    seen = _run(evolution, 40, _by_number)

    counts = [[e.individual.island for e in seen].count(at) for at in range(4)]
    assert max(counts) - min(counts) <= 2


def test_a_twin_costs_no_evaluation():
    first = [Draft(entry(name).source, name) for name in ("adam", "sgd")]
    evolution = Evolution(first, {}, seed=0)
    one, other = evolution.ask(2)

    known = [evolution.is_twin(each, "the same steps") for each in (one, other)]

    assert [False, True] == known
    assert (1, 1) == (evolution.evaluations, evolution.twins)
    assert "novelty" == other.stopped


def _climbed(number, *values):
    one = Standing(Individual(number, Draft("", ""), "first", (), 0))
    one.values.append(values)
    return one


def test_who_is_worse_in_every_pair_is_cut_and_who_may_be_unlucky_is_not():
    best = _climbed(1, -1.0, -2.0, -1.5)
    worse = _climbed(2, 0.0, -1.1, -0.6)
    unlucky = _climbed(3, -1.5, -2.5, 2.0)

    going = climbers([best, worse, unlucky], highest=1)

    assert [(best, 1)] == going
    assert "short training" == worse.stopped
    assert "worse than 1 by 93.3" in worse.why
    assert "" == unlucky.stopped


def test_nothing_is_known_of_the_noise_of_one_pair():
    assert (1.0, math.inf) == difference((2.0,), (1.0,))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("worse", "dearer"), [(True, False), (False, True)])
def test_of_two_models_the_search_turns_to_the_better_and_to_the_cheaper(
    worse, dearer, seed
):
    counts = {"good": 0, "other": 0}

    def asked_of(name):
        def drafted(parents, rng):
            counts[name] += 1
            source = entry("sgd").source
            rate = 1 / (1 + sum(counts.values()))
            if name == "other" and worse:
                rate = 1 + sum(counts.values())
            text = source.replace("lr=", f"lr={rate:.9f} or ", 1)
            return Draft(text, name, 9.0 if dearer and name == "other" else 0.0)

        return drafted

    def values(one, place):
        thought = one.individual.draft.thought
        return (1.0 if worse and thought == "other" else -one.individual.number / 10,)

    operators = {f"new@{name}": asked_of(name) for name in counts}
    evolution = Evolution([Draft(entry("sgd").source, "")], operators, seed=seed)

    _run(evolution, 80, values)

    assert counts["good"] > 1.5 * counts["other"] > 0
    assert evolution.tallies["new@good"].wins or not worse


def test_a_reply_that_gave_no_source_costs_what_was_paid_for_it():
    operators = {"new@a": lambda parents, rng: Draft("", "new", 2.0)}
    evolution = Evolution([Draft(entry("sgd").source, "")], operators, seed=0)

    _run(evolution, 6, lambda one, place: (0.0,))

    held = evolution.tallies["new@a"]
    assert held.asked > 0 and 2.0 * held.asked < held.cost
    assert 0 == held.wins
