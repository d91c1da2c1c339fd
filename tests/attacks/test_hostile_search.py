"""The folder of a search from somebody else: read it may be, and gone on with so far as
nothing is imported that was never named here, and nothing outside of it is read."""

from __future__ import annotations

import json
import shutil

import pytest

from dux_agent.evolving.evolve import KIND, REPORT, SEARCH, VALIDATION
from dux_agent.evolving.journal import EXAMINED, Journal
from dux_agent.evolving.plan import EvolvePlan
from dux_agent.run_folder.folder import RunFolder
from dux_agent.runs import vouched
from dux_graphs.evolution.individual import Draft, Individual
from dux_sandbox.zoo import entry
from tests.attacks.hostile_folders import dux, ended_in_words, refused_in_one_line

PLAN = EvolvePlan(
    tasks=("digits",), validation=("sine",), report=("mnist",), report_seeds=1
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """What a search leaves that has found one optimizer; nothing was trained."""
    path = tmp_path_factory.mktemp("searches") / "search"
    facts = {"kind": KIND, "task": "digits", "arguments": PLAN.facts()}
    found = Individual(1, Draft(entry("sgd").source, "plain"), "zoo", (), 0)
    with RunFolder.create(path, facts) as folder:
        journal = Journal(folder)
        journal.keep(SEARCH, found, EXAMINED, {"bytes": 1.0, "straightness": 0.5})
        for stage in ("short training", VALIDATION, f"{REPORT}: mnist"):
            journal.keep(SEARCH, found, stage, {"bytes": 1.0}, values=[-0.1])
    return path


@pytest.fixture
def folder(searched, tmp_path):
    return shutil.copytree(searched, tmp_path / "search")


def with_events(folder, change):
    """Every trial of the trace as somebody else would have it."""
    path = folder / "trace.jsonl"
    lines = []
    for line in path.read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "trial":
            change(event["data"])
        lines.append(json.dumps(event))
    path.write_text("\n".join(lines) + "\n")


def test_a_source_is_read_from_nowhere_else_whatever_its_digest(folder, tmp_path):
    (tmp_path / "secret.py").write_text("KEY = 'sk-of-somebody'")
    with_events(folder, lambda data: data["config"].update(source=f"{tmp_path}/secret"))

    result = dux("report", folder, "-o", tmp_path / "page.html")

    refused_in_one_line(result, "under its digest")
    assert not (tmp_path / "page.html").exists()


def test_a_source_that_is_another_one_or_a_link_is_not_shown(folder, tmp_path):
    (tmp_path / "secret.py").write_text("KEY = 'sk-of-somebody'")
    for source in (folder / "sources").iterdir():
        source.unlink()
        source.symlink_to(tmp_path / "secret.py")

    refused_in_one_line(dux("report", folder), "under its digest")


CHANGES = {
    "no report": lambda data: data.pop("report"),
    "no config": lambda data: data.update(config=3),
    "an answer that is none": lambda data: data["report"].update(answer=None),
    "values that are texts": lambda data: data["report"].update(values=["x"]),
    "values without bounds": lambda data: data["report"].update(values=[1e308]),
    "parents that are none": lambda data: data["report"].update(parents=7),
    "an island without end": lambda data: data["report"].update(island="9" * 5000),
    "escapes": lambda data: data.update(why="\x1b]0;owned\x07\x1b[2J"),
    "an arm of its own": lambda data: data["report"].update(arm="\x1b[2J"),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_trace_of_anything_is_told_in_words(folder, change):
    with_events(folder, CHANGES[change])

    ended_in_words(dux("report", folder))
    ended_in_words(dux("export", folder))


def test_a_task_is_imported_only_where_somebody_has_named_it_here(
    folder, tmp_path, monkeypatch
):
    marker, task = tmp_path / "marker", tmp_path / "task.py"
    task.write_text(f"open({str(marker)!r}, 'w')\ndef build(seed): pass\n")
    monkeypatch.setattr(vouched, "folder", lambda: tmp_path / "cache")
    facts = json.loads((folder / "run.json").read_text())
    facts["arguments"]["tasks"] = [f"{task}:build"]
    (folder / "run.json").write_text(json.dumps(facts))

    result = dux("evolve", "--resume", folder, "--budget", "3")

    refused_in_one_line(result, "never named on this machine")
    assert not marker.exists()
