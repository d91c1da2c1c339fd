"""Examples in loops of other packages, run against the packages themselves."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.filterwarnings("ignore")
def test_an_agent_trains_in_an_engine_of_ignites(capsys):
    pytest.importorskip("ignite", reason="pytorch-ignite is not installed")

    runpy.run_path(str(EXAMPLES / "ignite_run.py"), run_name="__main__")

    printed = capsys.readouterr().out
    assert "step 20: applied" in printed
    assert float(printed.split()[-1]) < 0.1


@pytest.mark.filterwarnings("ignore")
def test_an_agent_is_closed_where_its_trial_is_pruned(capsys, monkeypatch):
    pytest.importorskip("optuna")
    import dux_agent

    agents, attach = [], dux_agent.attach
    monkeypatch.setattr(
        dux_agent,
        "attach",
        lambda *a, **o: agents.append(attach(*a, **o)) or agents[-1],
    )

    runpy.run_path(str(EXAMPLES / "optuna_trial.py"), run_name="__main__")

    printed = capsys.readouterr().out
    assert "width 32: complete" in printed and ": pruned" in printed
    assert 4 == len(agents) and all(each.closed for each in agents)
    assert all("applied" == each.decisions[0].verdict for each in agents)
