"""Several studies on one page: side by side by method, with their own random search."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from dux_agent import one_of, real, tune
from dux_agent.benchmarks.scripted_model import ScriptedModel
from dux_agent.cli import app
from dux_agent.report.study_groups import (
    measured_course,
    studies_by_task,
)
from dux_agent.tuning.reading import read_study
from dux_agent.tuning_tasks.toys import TOYS
from dux_prompts.tuning.space import Space
from tests.run_folders import usual

BRANIN = TOYS["branin"]


def dux(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def study(folder, *, lm="offline", seed=0, **options):
    if lm == "scripted":
        lm = ScriptedModel(space=Space(BRANIN.space), seed=seed)
    options = {"budget": 5, "name": "toy:branin"} | options
    tune(BRANIN, lm=lm, seed=seed, run_dir=folder, **options)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("studies")
    return [
        study(place / "a", control=True),
        study(place / "b", lm="scripted", seed=1),
        study(place / "c", lm="scripted", seed=2, control=True),
        study(place / "d", lm="scripted", seed=2, noise=0.2),
        study(place / "e", lm=None, then="random", seed=3),
    ]


def test_studies_of_one_method_are_one_line_whatever_their_seed(folders, tmp_path):
    done = dux("report", *folders, "-o", tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert 0 == done.exit_code, done.output
    assert "5 studies of toy:branin" in page
    assert "noise 0.0" not in page
    for named in (
        "no model, then",
        "ScriptedModel",
        "noise 0.2",
        "then &#34;random&#34;",
        "offline",
    ):
        assert named in page
    assert "random search from the same defaults" in page
    assert "not a language model" in page
    (groups,) = studies_by_task([read_study(f) for f in folders]).values()
    assert [1, 2, 1, 1] == [len(group.studies) for group in groups]


def test_of_values_shown_with_noise_the_measured_ones_are_drawn(folders):
    told = read_study(folders[3])
    (group,) = next(iter(studies_by_task([told]).values()))

    course = measured_course(group)

    best = min(told.over, key=lambda trial: trial.value)
    assert best.measured == course[-1][1].mean
    assert best.value != best.measured


def test_a_page_beside_the_first_folder_leads_to_those_of_each(folders):
    assert 0 == dux("report", folders[0]).exit_code

    done = dux("report", folders[0], folders[1])

    page = (folders[0].parent / "comparison.html").read_text()
    assert 0 == done.exit_code
    assert (folders[0] / "report.html").as_uri() in page
    (folders[0] / "report.html").unlink()


def test_without_random_search_beside_them_the_page_says_so(folders, tmp_path):
    dux("report", folders[1], folders[4], "-o", tmp_path / "page.html")

    assert "No random search was run beside any" in (tmp_path / "page.html").read_text()


def test_other_tasks_and_directions_get_a_part_of_their_own(folders, tmp_path):
    other = study(tmp_path / "other", direction="maximize")
    tune(
        lambda config: float(config["kind"] == "b"),
        {"kind": one_of("a", "b"), "x": real(0, 1)},
        run_dir=tmp_path / "own",
        budget=2,
    )

    dux("report", folders[0], other, tmp_path / "own", "-o", tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    for named in ("toy:branin (2)", "an objective", "Trajectories"):
        assert named in page


def test_a_study_and_a_training_are_not_compared(folders, tmp_path):
    done = dux("report", folders[0], usual(tmp_path / "run"))

    assert 2 == done.exit_code
    assert "name them apart" in done.output


@pytest.mark.parametrize(
    "entries",
    [
        {"measured": "much"},
        {"measured": 10**400},
        {"value": 10**400},
        {"config": {"x1": 10**400, "x2": "<b>"}},
        {"config": {"x1": None}},
        {"config": {"x1": -1e9, "x2": "9"}},
        {"report": {"<script>": 10**400}},
        {"by": "<b>nobody</b>", "why": "<i>"},
        {"error": ["x"], "seconds": "long"},
    ],
)
def test_a_trace_that_somebody_wrote_ends_no_page(entries, folders, tmp_path):
    odd = tmp_path / "odd"
    shutil.copytree(folders[0], odd)
    lines = []
    for line in (odd / "trace.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "trial":
            event["data"].update(entries)
        lines.append(json.dumps(event))
    (odd / "trace.jsonl").write_text("\n".join(lines) + "\n")

    for several in ([odd], [odd, folders[1]]):
        done = dux("report", *several, "-o", tmp_path / "page.html")
        assert 0 == done.exit_code, done.output
        page = (tmp_path / "page.html").read_text()
        assert not any(tag in page for tag in ("<b>", "<i>", "<script>:"))
    assert 0 == dux("trace", odd).exit_code
