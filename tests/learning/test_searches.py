import json
import math

import pytest

from dux_agent.errors import BadArgument, RunFolderUnusable
from dux_agent.evolving.evolve import KIND, evolve, resume
from dux_agent.evolving.journal import PARTS
from dux_agent.evolving.plan import EvolvePlan
from dux_agent.experience.library import (
    LibraryUnusable,
    edit_lesson,
    learn_entries,
    read_library,
)
from dux_agent.learning.learn import learn
from dux_agent.learning.searches import entries_of_search
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.trace import read
from dux_agent.tuning.judging import StudyPaused
from dux_sandbox.zoo import entry as zoo_entry
from tests.evolving.test_asking import _Scripted
from tests.evolving.test_evolve import _plan
from tests.experience.entries import entry

TASKS = ("logistic", "deep-tanh")


def search(path, *rows, tasks=TASKS):
    """The folder of a search: `(source, {stage: values}, why)` of each individual."""
    plan = EvolvePlan(tasks=tasks)
    facts = {"kind": KIND, "task": "", "seed": 0, "model": "offline"}
    facts["arguments"] = plan.facts()
    with RunFolder.create(path, facts) as folder:
        meet(folder, rows)
    return path


def meet(folder, rows, *, first=1, arm="search"):
    """Write down individuals, the first under that number."""
    for number, (source, values, why) in enumerate(rows, start=first):
        for stage, row in values.items():
            report = {"arm": arm, "stage": stage, "operator": "cross"}
            report |= {"parents": [], "island": 0, "values": row}
            report["answer"] = {"why": why} if why else {}
            data = {"number": number, "report": report, "by": "cross"}
            data["config"] = {"source": folder.keep_source(source)}
            data |= {"why": f"thought {number}", "state": "done"}
            folder.event("trial", step=0, decision=number, data=data)


ADAM, LION, SGD = (zoo_entry(name).source for name in ("adam", "lion", "sgd"))


def test_the_best_of_a_search_become_entries_task_by_task(tmp_path):
    whole = {"short training": [0.3, 0.3], "full training": [-0.2, 0.1]}
    whole["full training, 2 seeds"] = [-0.4, 0.3]
    path = search(tmp_path / "run", (ADAM, whole, ""), (LION, {"laws": []}, "it rose"))

    found = entries_of_search(path)

    told = [(e.verdict, e.change, e.did_well, e.proposed) for e in found]
    assert [
        ("trained", pytest.approx(math.expm1(-0.3)), True, "thought 1"),
        ("trained", pytest.approx(math.expm1(0.2)), False, "thought 1"),
        ("refused", None, False, "thought 2"),
    ] == told
    kinds = [each.situation.layers for each in found]
    assert ("Linear",) == kinds[0] != kinds[1]
    assert "laws: it rose" == found[2].reason
    assert [ADAM, ADAM, LION] == [each.source for each in found]


def test_a_folder_alone_has_no_task_imported(tmp_path):
    marker = tmp_path / "imported"
    file = tmp_path / "evil.py"
    file.write_text(f"open({str(marker)!r}, 'w')\n")
    path = search(
        tmp_path / "run",
        (ADAM, {"full training": [-0.2]}, ""),
        tasks=(f"{file}:build",),
    )

    [found] = entries_of_search(path)

    assert () == found.situation.layers
    assert not marker.exists()


def test_a_search_is_learned_once(tmp_path):
    path = search(tmp_path / "run", (ADAM, {"full training": [-0.2, 0.1]}, ""))
    library = tmp_path / "experience.sqlite"

    assert (2, 0) == learn([path], library)
    assert (0, 0) == learn([path], library)


def test_a_search_that_went_on_with_a_higher_budget_adds_what_is_new(tmp_path):
    path = search(
        tmp_path / "run",
        (ADAM, {"full training": [-0.2, 0.1]}, ""),
        (SGD, {"laws": []}, "it rose"),
    )
    library = tmp_path / "experience.sqlite"
    assert (3, 0) == learn([path], library)
    [adam, *_] = entries_of_search(path)
    edit_lesson(library, adam.key, "A person's word about Adam.")
    facts = json.loads((path / "run.json").read_text())
    facts["arguments"]["budget"] *= 2
    (path / "run.json").write_text(json.dumps(facts))
    with RunFolder.open(path) as folder:
        meet(folder, [(LION, {"full training": [-0.5, -0.5]}, "")], first=3)

    assert (2, 0) == learn([path], library)

    assert (0, 0) == learn([path], library)
    by_hand = [e for e in read_library(library) if e.written_by == "hand"]
    assert [ADAM] == [each.source for each in by_hand]


def test_which_arm_was_first_with_a_source_decides_nothing(tmp_path):
    more, less = {"full training": [-0.2, 0.1]}, {"short training": [-0.2, 0.1]}
    changes = []
    for name, (one, other) in {"a": (more, less), "b": (less, more)}.items():
        path = search(tmp_path / name, (ADAM, one, ""))
        with RunFolder.open(path) as folder:
            meet(folder, [(ADAM, other, "")], first=2, arm="zoo")
        changes.append([each.change for each in entries_of_search(path)])

    assert 2 == len(changes[0])
    assert changes[0] == changes[1]


def test_a_winner_without_one_of_its_parts_is_no_entry(tmp_path):
    found = search(tmp_path / "run", (LION, {PARTS: []}, "a parameter is NaN"))

    assert [] == entries_of_search(found)


@pytest.mark.parametrize(
    "report",
    [None, {}, {"arm": "search"}, {"arm": "a", "stage": "s", "values": ["x"]}],
)
def test_a_search_of_anybodys_is_refused_in_words(report, tmp_path):
    path = search(tmp_path / "run")
    with RunFolder.open(path) as folder:
        data = {"number": 1, "report": report, "config": {"source": "a" * 64}}
        folder.event("trial", step=0, decision=1, data=data)

    with pytest.raises(RunFolderUnusable, match="holds no search that can be read"):
        entries_of_search(path)


def test_a_search_that_goes_on_asks_as_it_did_whatever_became_of_the_library(tmp_path):
    library = tmp_path / "experience.sqlite"
    learn_entries(library, [entry(1, lesson="quite another lesson")])
    plan = _plan(model="scripted", execution="inline", experience=str(library))

    with pytest.raises(StudyPaused):
        evolve(plan, tmp_path / "run", lm=_Scripted(most=0))
    library.unlink()
    with pytest.raises(StudyPaused):
        resume(tmp_path / "run", lm=_Scripted(most=0))

    told = [e.data["messages"] for e in read(tmp_path / "run") if e.kind == "prompt"]
    assert told and all(each == told[0] for each in told)
    assert "quite another lesson" in told[0][1]["content"]


def test_a_library_without_a_model_or_that_is_none_makes_no_folder(tmp_path):
    library = tmp_path / "experience.sqlite"

    with pytest.raises(BadArgument, match="a language model to show it to"):
        _plan(experience=str(library))
    with pytest.raises(LibraryUnusable, match="there is none"):
        evolve(
            _plan(model="scripted", experience=str(library)),
            tmp_path / "run",
            lm=_Scripted(),
        )

    assert not (tmp_path / "run").exists()
