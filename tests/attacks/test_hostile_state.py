"""The state of an agent is input: it is refused, or nothing comes of what it says."""

from __future__ import annotations

import pytest
import torch

from dux_agent.errors import DuxError
from tests import models, sources
from tests.attacks.test_hostile_checkpoint import ODD, places, replaced
from tests.talking import agent_over, run

REFUSED = (DuxError, LookupError, TypeError, ValueError, AttributeError, RuntimeError)


@pytest.fixture(scope="module")
def sound():
    """Weights and state with a rule live, another as its incumbent, guard and all."""
    model = models.make("mlp")
    slower = sources.MOMENTUM.replace("0.01", "0.02")
    with agent_over(model, sources.MOMENTUM, slower, dry_run_steps=2) as agent:
        for _ in range(2):
            run(agent, 4)
            assert "applied" == agent.decide().verdict
        run(agent, 3)
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        return weights, agent.state_dict()


def tried(sound, path, odd):
    """What becomes of a training with this in its state: None, "refused", an error."""
    weights, state = sound
    model = models.make("mlp")
    model.load_state_dict(weights)
    random = torch.get_rng_state()
    with agent_over(model, sources.MOMENTUM, dry_run_steps=2) as agent:
        try:
            agent.load_state_dict(replaced(state, path, odd))
        except REFUSED:
            return "refused"
        finally:
            torch.set_rng_state(random)
        try:
            run(agent, 3)
            agent.decide()
            run(agent, 2)
            agent.state_dict()
            repr(agent.decisions)
        except Exception as error:
            return error
    return None


# Each of these ended a training some steps after it was loaded.
MENDED = [
    ("watch", "drawn"),
    ("watch", "losses", "counts"),
    ("watch", "norms", "counts"),
    ("loop", "count"),
    ("loop", "counts"),
    ("loop", "scale"),
    ("loop", "weight"),
    ("decisions", 0, "number"),
    ("decisions", 0, "step"),
    ("chronicle", "chat", 0, "content"),
    ("budget", "calls"),
    ("validations",),
    ("guard", "judge", "smoothed"),
    ("guard", "judge", "spikes", 0),
    ("guard", "judge", "bound", 0),
    ("optimizer", "param_groups", 0, "lr"),
    ("optimizer", "param_groups", 0, "dux"),
]


@pytest.mark.parametrize("path", MENDED, ids=lambda path: ".".join(map(str, path)))
def test_a_value_that_once_ended_a_training_later_is_refused_or_harmless(sound, path):
    for odd in (None, "text", torch.zeros(3), 10**30, -(10**30), [], {}):
        came = tried(sound, path, odd)

        assert not isinstance(came, Exception), (odd, came)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_value_of_an_agents_state_ends_a_training_later(sound):
    state = sound[1]
    crashed, refused = [], 0
    for path in places(state):
        for odd in ODD if path else ():
            came = tried(sound, path, odd)
            refused += came == "refused"
            if isinstance(came, Exception):
                crashed.append((path, odd, came))

    assert refused > 100
    assert [] == crashed, "\n".join(map(str, crashed))
