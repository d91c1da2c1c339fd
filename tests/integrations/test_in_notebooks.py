"""What a notebook shows of an agent, and the tutorial's cells, one after another."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dux_agent.errors import MissingExtra
from dux_agent.runs.progress import Epoch, Result
from tests import models
from tests.sources import MOMENTUM
from tests.talking import agent_over, run
from tests.waiting import wait_until

TUTORIAL = Path(__file__).parents[2] / "examples" / "tutorial.ipynb"


class Handle:
    """A place in a notebook."""

    def __init__(self):
        self.shown = []

    def update(self, value):
        self.shown.append(value._repr_html_())


@pytest.fixture
def notebook(monkeypatch):
    """Stands in for IPython's display: its places, each with what it showed."""
    places = []

    def display(value, display_id=None):
        places.append(Handle())
        places[-1].update(value)
        return places[-1] if display_id else None

    package, part = ModuleType("IPython"), ModuleType("IPython.display")
    part.display = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", part)
    return places


def test_an_agent_is_a_line_and_a_row_for_each_decision():
    with agent_over(models.make("mlp"), MOMENTUM) as agent:
        before = agent._repr_html_()
        run(agent, 3)
        agent.decide()
        after = agent._repr_html_()

    assert "no loss yet" in before and "<table>" not in before
    assert "&lt;Agent of Sequential" in after and "loss " in after
    assert 2 == after.count("<tr>")
    assert "<td>applied</td>" in after


def test_a_decisions_reason_cannot_write_into_the_page():
    with agent_over(models.make("mlp"), MOMENTUM) as agent:
        run(agent, 3)
        agent.decide()
        agent.decisions[0].reason = "<script>alert(1)</script>"

        assert "<script>" not in agent._repr_html_()


def test_the_live_table_shows_decisions_as_they_come_and_ends_with_the_agent(notebook):
    with agent_over(models.make("mlp"), MOMENTUM) as agent:
        agent.show(0.01)
        run(agent, 3)
        agent.decide()
        (place,) = notebook
        wait_until(lambda: "applied" in place.shown[-1])

    wait_until(lambda: "closed" in place.shown[-1])


def test_without_ipython_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)

    with (
        agent_over(models.make("mlp"), MOMENTUM) as agent,
        pytest.raises(MissingExtra, match=r"pip install 'dux-agent\[notebook\]'$"),
    ):
        agent.show()


def test_ctrl_c_in_a_cell_leaves_the_agent_and_its_table_usable(notebook):
    model = models.make("mlp")
    with agent_over(model, MOMENTUM) as agent:
        agent.show(0.01)

        def stopped(model, batch):
            raise KeyboardInterrupt

        kept, agent.training.objective = agent.training.objective, stopped
        with pytest.raises(KeyboardInterrupt):
            agent.step(models.batches(1)[0])
        agent.training.objective = kept
        run(agent, 3)

        assert "applied" == agent.decide().verdict
        wait_until(lambda: "applied" in notebook[0].shown[-1])


def test_a_run_is_a_row_for_each_epoch():
    epochs = (Epoch(1, 2.0, 1.9, 1.8, 1.0), Epoch(2, 1.0, 0.9, 0.8, 1.0))
    result = Result("digits", 0, "offline", epochs, None, (), None, 1.0)

    table = result._repr_html_()

    assert 3 == table.count("<tr>")
    assert "<td>0.8000</td>" in table


def test_the_cells_of_the_tutorial_run_one_after_another(notebook):
    cells = json.loads(TUTORIAL.read_text())["cells"]
    names = {"__name__": "__main__"}

    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "tutorial", "exec"), names)

    assert names["agent"].closed
    assert "applied" in names["agent"]._repr_html_()
    assert names["losses"][-1] < names["losses"][0] / 2
    assert notebook
