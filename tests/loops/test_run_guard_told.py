"""A run without a language model is told by the run folder, and read by every tool."""

import io
import json
from pathlib import Path

import jsonschema
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from dux_agent import attach
from dux_agent.cli import app
from dux_agent.errors import TrainingDiverged
from dux_agent.run_folder import trace
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_history.reading import read_story
from dux_agent.terminal import following
from tests import models

NAN = float("nan")
VALIDATOR = jsonschema.Draft202012Validator(trace.schema())


def attached(model, path, **options):
    base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    return attach(model, base, models.objective, lm=None, run_dir=path, **options)


def run(agent, first, last, bad=()):
    for step in range(first, last):
        inputs, targets = models.batches()[step % 3]
        agent.step((inputs * NAN if step in bad else inputs, targets))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    with attached(models.make("mlp"), path, guard_steps=0) as agent:
        run(agent, 0, 60, bad=(20, 40))
        agent.decide()
        run(agent, 60, 80)
    return path


@pytest.fixture
def ended(tmp_path):
    path = tmp_path / "ended"
    with attached(models.make("mlp"), path, max_rollbacks=1) as agent:
        with pytest.raises(TrainingDiverged):
            run(agent, 0, 60, bad=(20, 40))
    return path


def invoked(*arguments):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert 0 == result.exit_code, result.output
    return result.output


def test_the_trace_holds_the_rollbacks_and_is_what_its_schema_says(folder, ended):
    for path in (folder, ended):
        for line in (path / "trace.jsonl").read_text().splitlines():
            VALIDATOR.validate(json.loads(line))
    back = [each for each in trace.read(folder) if each.kind == "rollback"]

    assert [(21, None), (41, None)] == [(each.step, each.decision) for each in back]
    assert [0.5, 0.25] == [each.data["factor"] for each in back]
    assert [1, 2] == [each.data["number"] for each in back]
    assert "not finite" in back[0].data["reason"]
    (error,) = [each for each in trace.read(ended) if each.kind == "error"]
    assert "TrainingDiverged" == error.data["error"]
    assert "none" == RunFolder.open(folder).facts["model"]


def test_dux_trace_shows_them(folder, ended):
    text = " ".join(invoked("trace", folder).split())

    assert "model: none (the guard alone)" in text
    assert "Rollbacks" in text and "0.25 times the rate" in text
    assert "kept" in text
    record = json.loads(invoked("trace", folder, "--json"))
    assert [0.5, 0.25] == [each["factor"] for each in record["rollbacks"]]
    assert ["kept"] == [each["verdict"] for each in record["decisions"]]
    text = " ".join(invoked("trace", ended).split())
    assert "Decisions" not in text
    assert "training diverged again after 1 rollbacks" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_following_tells_them(folder, terminal):
    screen = Console(file=io.StringIO(), force_terminal=terminal, width=100)

    following.follow(screen, folder)

    text = screen.file.getvalue()
    assert ("Rollbacks" if terminal else "guard: rolled_back the loss was") in text


def test_the_report_shows_them(folder, ended):
    page = Path(invoked("report", folder).strip()).read_text(encoding="utf-8")

    assert "Rollbacks of the run, which had no language model" in page
    assert "rollback 2, step 41:" in page
    assert "on at 0.25 times the rate" in page
    page = Path(invoked("report", ended).strip()).read_text(encoding="utf-8")
    assert "training diverged again" in page


def test_a_story_without_a_language_model_has_its_rollbacks(folder):
    story = read_story(folder)

    assert [21, 41] == [back.step for back in story.went_back]
    assert story.ended_by == ""
    assert 80 == story.steps


def test_a_resumed_run_tells_nothing_twice(tmp_path):
    path, model, rest = tmp_path / "run", models.make("mlp"), models.make("mlp")
    agent = attached(model, path)
    run(agent, 0, 15)
    state = agent.state_dict()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    run(agent, 15, 30, bad=(20,))  # and here it dies
    agent.close()

    folder = RunFolder.open(path)
    rest.load_state_dict(weights)
    again = attached(rest, folder)
    again.load_state_dict(state)
    run(again, 15, 50, bad=(20, 40))
    again.close()
    folder.close()

    back = [each for each in trace.read(path) if each.kind == "rollback"]
    assert [20, 40] == [each.step for each in back]
    assert 2 == again.rollbacks


def test_spans_and_tensorboard_take_them(folder, tmp_path):
    from dux_agent.integrations.playing import play
    from dux_agent.integrations.tensorboard import TensorBoard

    pytest.importorskip("tensorboard")
    with TensorBoard(tmp_path / "board") as board:
        play(folder, board)
    otel = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    from dux_agent.integrations.spans import Spans

    exporter, provider = InMemorySpanExporter(), otel.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    play(folder, Spans(model="none", provider=provider))

    names = [span.name for span in exporter.get_finished_spans()]
    assert 2 == names.count("rollback")
