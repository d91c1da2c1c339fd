"""Which sources of the zoo a prompt quotes, and what that changes."""

import pytest

from dux_graphs.offline.reading import read_chat
from dux_prompts.brief import render_system, render_update
from dux_prompts.evolving import Shown, render_request
from dux_prompts.quoting import MOST_QUOTED, quotes_for, quotes_towards
from dux_sandbox.static_check import check
from dux_sandbox.zoo import entries, entry
from tests.observations import BASE, MODEL, first, later

DEEP = MODEL | {"layers": MODEL["layers"] * 3}
FALLING = [2.0, 1.5, 1.0, 0.7, 0.5]
SITUATIONS = {
    "flat": (first(), "prodigy"),
    "spiky": (first(gradient_norm_fifths=[1.0, 1.0, 9.0, 1.0, 1.0]), "amsgrad"),
    "the last interval": (first(decisions_left=0), "schedule_free_adamw"),
    "overfitting": (
        first(loss_fifths=FALLING, validation_losses=[[135, 0.9]]),
        "adamw",
    ),
    "deep": (first(model=DEEP, loss_fifths=FALLING, validation_losses=[]), "muon"),
    "closures": (first(closures=True), "entropy_sgd"),
    "large": (
        first(model=MODEL | {"parameters": 124_000_000}, loss_fifths=FALLING),
        "adafactor",
    ),
}


def names(observation):
    return [quote.name for quote in quotes_for(observation)]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_is_quoted_fits_the_situation(situation):
    observation, wanted = SITUATIONS[situation]

    found = names(observation)

    assert wanted == found[0]
    assert len(found) <= MOST_QUOTED
    assert found == names(observation)


@pytest.mark.parametrize("name", sorted(entries()))
def test_the_optimizer_that_is_live_is_not_quoted(name):
    one = entry(name)
    as_base = {**BASE, "name": one.rule}

    for observation, _ in SITUATIONS.values():
        changed = observation.as_dict() | {"source": one.source}
        assert name not in names(type(observation)(**changed))
        changed = observation.as_dict() | {"base_optimizer": as_base}
        assert name not in names(type(observation)(**changed))


@pytest.mark.parametrize("closures", [None, False])
def test_a_source_that_wants_a_closure_is_quoted_only_where_there_is_one(closures):
    assert "entropy_sgd" not in names(first(closures=closures))


def test_what_is_quoted_is_short_and_passes_the_static_check():
    observations = [observation for observation, _ in SITUATIONS.values()]
    quotes = [quote for each in observations for quote in quotes_for(each)]
    quotes += [quote for n in range(6) for quote in quotes_towards(n, [])]

    for quote in quotes:
        assert check(quote.source).ok, quote.name
        assert len(quote.source) <= 3_600 and '"""' not in quote.source[:3]


@pytest.mark.parametrize("observation", [first(), later()], ids=["base", "rule"])
def test_a_reader_takes_no_quoted_source_for_the_live_one(observation):
    prompts = [render_update(observation, zoo=each) for each in (False, True)]
    system = render_system(observation)
    plain, quoted = (
        read_chat([("system", system), ("human", each)]) for each in prompts
    )

    assert prompts[0] != prompts[1]
    assert plain == quoted
    assert (observation.source or "").strip() == quoted.source.strip()


def test_a_request_of_a_search_quotes_one_that_it_does_not_show():
    shown = [Shown(1, "-3 %", "DoG.", entry("dog").source)]

    plain = render_request("new", shown, direction=0)
    quoted = render_request("new", shown, direction=0, zoo=True)

    assert "Of the literature" not in plain
    assert "class Prodigy(" in quoted and quoted.count("class DoG(") == 1
    repaired = render_request("repair", shown, direction=0, zoo=True)
    assert render_request("repair", shown, direction=0) == repaired
