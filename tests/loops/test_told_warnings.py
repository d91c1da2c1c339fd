"""A warning of the loop that Python shows once is shown once, whatever is decided."""

import importlib.util
import sys
import types
import warnings

import pytest
import torch

from dux_agent import attach
from dux_sandbox.told_warnings import no_warnings, told_warnings_kept
from tests import models
from tests.swapping import SGD
from tests.talking import scripted, sgd


@pytest.fixture
def warns(monkeypatch):
    """A module of the user's whose function warns."""
    module = types.ModuleType("loop_that_warns")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec("import warnings\ndef warns(): warnings.warn('mine')", module.__dict__)
    return module.warns


@pytest.fixture
def shown():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        yield shown


@pytest.mark.parametrize("lm", ["offline", "scripted"])
def test_a_decision_has_no_warning_shown_again(warns, shown, lm):
    def objective(model, batch):
        warns()
        return models.objective(model, batch)

    model, batch = models.make("mlp"), models.batches()[0]
    asked = scripted(SGD) if lm == "scripted" else lm
    agent = attach(model, sgd(model), objective, lm=asked, dry_run_steps=1)
    with agent:
        for _ in range(3):
            agent.step(batch)
            agent.decide()
        agent.step(batch)

    assert 3 == len(agent.decisions)
    assert ["mine"] == [str(warning.message) for warning in shown]


def test_what_is_told_of_first_where_warnings_are_silenced_is_shown_later(warns, shown):
    with no_warnings():
        warns()
    warns()
    warns()

    assert 1 == len(shown)


def test_filters_that_change_meanwhile_count(warns, shown):
    warns()
    with told_warnings_kept():
        warnings.simplefilter("always")
    warns()

    assert 2 == len(shown)


def test_silencing_leaves_filters_and_errors_as_they_are(shown):
    before = list(warnings.filters)
    with pytest.raises(ZeroDivisionError), no_warnings():
        torch.tensor(1 // 0)

    assert before == warnings.filters


def test_a_module_that_is_loaded_at_first_use_is_left_alone(tmp_path, monkeypatch):
    file = tmp_path / "loaded_later.py"
    file.write_text("raise ImportError('it cannot be loaded here')")
    spec = importlib.util.spec_from_file_location("loaded_later", file)
    loader = spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "loaded_later", module)
    loader.exec_module(module)

    with no_warnings():
        pass

    with pytest.raises(ImportError):
        module.anything  # noqa: B018
