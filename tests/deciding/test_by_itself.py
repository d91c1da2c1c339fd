"""A rule that does more than step is said to, wherever one looks."""

import threading

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.deciding import outcome
from dux_agent.exporting.module_text import export
from dux_agent.report.page import write_report
from dux_agent.run_folder.trace import read
from tests import models
from tests.executions import both
from tests.sources import counting
from tests.talking import agent_over, run, scripted
from tests.waiting import wait_until

AVERAGES = counting(
    """mean = state.setdefault("mean", p.clone())
                mean.lerp_(p, 0.1)
                p.add_(p.grad, alpha=-lr)
                if n % 20 == 0:
                    p.copy_(mean)""",
    lr=0.1,
    name="Averages",
)
STEPS = AVERAGES.replace("if n % 20 == 0:", "if n < 0:")


def run_of(source, path, execution):
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    batches = [(torch.randn(16, 8), torch.randn(16, 4)) for _ in range(10)]
    with attach(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        lambda net, batch: (net(batch[0]) - batch[1]).square().mean(),
        lm=scripted(source),
        execution=execution,
        run_dir=path,
    ) as agent:
        for batch in batches:
            agent.step(batch)
        assert "applied" == agent.decide().verdict
        for batch in batches:
            agent.step(batch)


@both
@pytest.mark.parametrize(("source", "steps"), [(AVERAGES, [20]), (STEPS, None)])
def test_trace_report_and_export_say_that_it_moves_weights_by_itself(
    tmp_path, execution, source, steps
):
    run_of(source, tmp_path / "run", execution)

    applied = [e for e in read(tmp_path / "run") if e.kind == "apply"]
    said = (applied[-1].data.get("by_itself") or [])[:1]
    assert (steps or []) == said
    page = tmp_path / "report.html"
    write_report([tmp_path / "run"], output=page)
    for text in (export(tmp_path / "run"), page.read_text("utf-8")):
        assert ("moves weights without a gradient" in text) == bool(steps)


@pytest.mark.parametrize("background", [False, True])
def test_it_is_asked_for_a_record_and_beside_a_training_that_goes_on(
    tmp_path, monkeypatch, background
):
    threads = []
    monkeypatch.setattr(
        outcome,
        "steps_by_itself",
        lambda *_: threads.append(threading.current_thread().name) or (),
    )

    for path in (None, tmp_path / "run"):
        source = f"{AVERAGES}# {background}"
        given = {"background": background, "run_dir": path}
        with agent_over(models.make("mlp"), source, **given) as agent:
            run(agent, 3)
            agent.decide()
            wait_until(lambda agent=agent: run(agent, 1) and agent.decisions)
            assert "applied" == agent.decisions[0].verdict

    assert ["dux-decision" if background else "MainThread"] == threads
