import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from pydantic import PrivateAttr
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.errors import BadArgument, RunFolderUnusable
from dux_agent.experience.library import delete_entries, edit_lesson, read_library
from dux_agent.learning.learn import learn
from dux_agent.learning.runs import entries_of_run
from dux_graphs.offline.model import WrittenModel
from dux_sandbox.findings import digest_of
from tests.observations import first
from tests.run_folders import Writer, fenced, source, usual

SECRETS = {
    "SOME_API_KEY": "planted-environment-value",
    "OPENAI_BASE_URL": "http://user:planted-password@host/v1",
}
BY_FORM = "sk-planted0FORM0of0a0key0000"


def observed(run, number, step, losses, live=None, **more):
    seen = first(
        step=step,
        decision=number,
        validation_losses=[[at, loss] for at, loss in losses],
        source=live,
        **more,
    )
    run.folder.event("observation", step=step, decision=number, data=seen.as_dict())


@pytest.fixture
def run(tmp_path):
    """Four decisions: applied, rolled back, refused, and one that ends the run."""
    with Writer(tmp_path / "run") as run:
        observed(run, 1, 100, [(100, 2.0)])
        run.conclude(1, 100, run.propose(1, 100, source(1)))
        observed(run, 2, 200, [(100, 2.0), (200, 1.0)], source(1))
        run.propose(2, 200, source(20), ok=False)
        digest = run.propose(2, 200, source(2))
        run.conclude(2, 200, digest)
        run.event("rollback", 2, 210, digest=digest, reason="the loss left its bound")
        observed(run, 3, 300, [(200, 1.0), (300, 1.1)], source(1))
        run.propose(3, 300, source(3), ok=False)
        run.conclude(3, 300, None, "kept", reason="refused")
        observed(run, 4, 400, [(300, 1.1), (400, 1.0)], source(1))
        run.conclude(4, 400, run.propose(4, 400, source(4)))
        run.epoch(5, 500, 0.5)
    return run.path


class Teacher(WrittenModel):
    """Writes one lesson after the other; counts them, and can be told to fail."""

    model_name: str = "teacher"
    most: int = 10**9
    _asked: list = PrivateAttr(default_factory=list)

    @property
    def asked(self):
        return self._asked

    def answer(self, chat):
        if len(self._asked) >= self.most:
            raise PermissionError("401: no more")
        self._asked.append(chat[-1][1])
        return f"- Lesson {len(self._asked)} of a model.\nAnd more."


def test_each_judged_proposal_becomes_an_entry_with_what_came_of_it(run):
    found = entries_of_run(run)

    told = [(e.decision, e.proposal, e.verdict, e.change, e.before) for e in found]
    assert [
        (1, 1, "applied", -0.5, pytest.approx((2.2953 - 2.3081) / 2.3081)),
        (2, 1, "refused", None, -0.5),
        (2, 2, "rolled_back", None, -0.5),
        (3, 1, "refused", None, pytest.approx(0.1)),
        (4, 1, "applied", -0.5, pytest.approx(-0.1 / 1.1)),
    ] == told
    assert "the loss left its bound" == found[2].reason
    assert "dry run: the loss rose" == found[1].reason
    assert (source(1), digest_of(source(1))) == (found[0].source, found[0].digest)
    assert ("Linear", "Sigmoid") == found[0].situation.layers
    assert ("SGD", "sgd") == (found[0].situation.live, found[1].situation.live)
    assert all(each.lesson and each.written_by == "rules" for each in found)


def test_without_validation_the_training_losses_count(tmp_path):
    with Writer(tmp_path / "run") as run:
        observed(run, 1, 100, [], loss_fifths=[4.0, 3.5, 3.0])
        run.conclude(1, 100, run.propose(1, 100, source(1)))
        run.losses(101, 110, begin=303.0)

    [found] = entries_of_run(run.path)

    assert (-0.25, pytest.approx((303 / 109 + 303 / 110) / 2 / 3.0 - 1)) == (
        found.before,
        found.change,
    )


def test_a_run_of_a_torn_trace_and_one_without_decisions_are_learned_too(tmp_path):
    with Writer(tmp_path / "none"):
        pass
    torn = usual(tmp_path / "torn")
    with open(torn / "trace.jsonl", "ab") as trace:
        trace.write(b'{"time": 3')

    assert [] == entries_of_run(tmp_path / "none")
    assert ["applied", "applied"] == [e.verdict for e in entries_of_run(torn)]


@pytest.mark.parametrize("model", [{}, {"layers": 3}, {"layers": [3, {"kind": 9}]}])
def test_a_trace_of_anybodys_is_read_as_far_as_it_makes_sense(model, tmp_path):
    with Writer(tmp_path / "run") as run:
        seen = first().as_dict() | {"model": model, "learning_rates": ["x", None, 1]}
        run.folder.event("observation", step=100, decision=1, data=seen)
        run.conclude(1, 100, run.propose(1, 100, source(1)))

    [found] = entries_of_run(run.path)

    assert 1.0 == found.situation.rate


def test_the_same_run_learned_twice_adds_nothing_wherever_it_lies(run, tmp_path):
    library = tmp_path / "experience.sqlite"

    assert (5, 0) == learn([run], library)
    kept = library.read_bytes()
    moved = shutil.copytree(run, tmp_path / "moved")

    assert (0, 0) == learn([run, run, moved], library)
    assert kept == library.read_bytes()


def test_a_run_that_went_on_is_brought_up_to_date(tmp_path):
    library = tmp_path / "experience.sqlite"
    with Writer(tmp_path / "run") as run:
        observed(run, 1, 100, [(100, 2.0)])
        run.conclude(1, 100, run.propose(1, 100, source(1)))
        learn([run.path], library)
        before = read_library(library)
        observed(run, 2, 200, [(100, 2.0), (200, 1.0)], source(1))
        learn([run.path], library)

    assert [None] == [each.change for each in before]
    assert [-0.5] == [each.change for each in read_library(library)]


def test_nothing_secret_enters_a_library(tmp_path, monkeypatch):
    planted = [*SECRETS.values(), "planted-password", BY_FORM]
    said = " ".join(planted)
    library = tmp_path / "experience.sqlite"
    # Recorded where these were no secrets; also at the places where texts are cut.
    for at, filler in enumerate(("", "x" * 150, "x" * 190, "x" * 230)):
        text = source(at).replace("import torch", f"import torch\n# {filler} {said}")
        text = text.replace("class Plain", f"class Plain{at}")
        folder = tmp_path / f"planted-environment-value-{at}"
        with Writer(folder, task=said) as run:
            seen = first(task=said, loss_name=f"{'x' * (at * 20)} {said}")
            run.folder.event("observation", step=100, decision=1, data=seen.as_dict())
            digest = digest_of(text)
            run.folder.keep_source(text)
            run.event("reply", 1, 100, content=f"{said}\n{fenced(text)}")
            finding = {"rule": "harm", "line": 1, "message": f"{filler} {said}"}
            told = {"digest": digest, "ok": False, "findings": [finding]}
            run.event("static_check", 1, 100, **told)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    learn([run.path.with_name(f"planted-environment-value-{n}") for n in range(4)],
          library)  # fmt: skip

    [one, *_] = entries = read_library(library)
    assert 4 == len(entries)
    edit_lesson(library, one.key, f"mind {said}")
    content = library.read_bytes()
    for secret in (*planted, "planted-env", "planted-pass", "sk-planted"):
        assert secret.encode() not in content
    assert b"[redacted]" in content


def test_a_model_writes_each_lesson_once(run, tmp_path):
    library, teacher, again = tmp_path / "experience.sqlite", Teacher(), Teacher()
    learn([run], library)  # first by the rules

    learn([run], library, lm=teacher)
    edit_lesson(library, read_library(library)[0].key, "mine")
    learn([run], library, lm=again)
    learn([run], library)

    assert (5, 0) == (len(teacher.asked), len(again.asked))
    lessons = {each.written_by: each.lesson for each in read_library(library)}
    assert {"hand", "model"} == lessons.keys()
    assert lessons["model"].startswith("Lesson ")
    assert "[redacted]" not in str(teacher.asked)


def test_where_the_model_fails_the_rules_have_written(run, tmp_path, caplog):
    library, rest = tmp_path / "experience.sqlite", Teacher()

    learn([run], library, lm=Teacher(most=2))
    by = [each.written_by for each in read_library(library)]
    learn([run], library, lm=rest)

    assert ["model"] * 2 + ["rules"] * 3 == sorted(by)
    assert "writes no lessons any more" in caplog.text
    assert 3 == len(rest.asked)


def test_a_folder_that_is_no_run_is_refused_and_nothing_is_learned(run, tmp_path):
    library = tmp_path / "experience.sqlite"

    with pytest.raises(RunFolderUnusable):
        learn([run, tmp_path], library)
    with pytest.raises(BadArgument, match="no run folders"):
        learn([], library)

    assert not library.exists()


def test_the_command_line_learns_lists_shows_edits_deletes_and_exports(run, tmp_path):
    library = tmp_path / "experience.sqlite"

    def dux(*arguments, code=0):
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert code == result.exit_code, result.output
        return result.output

    assert "5 entries, 5 new" in dux("learn", run, "--library", library)
    assert "5 entries, 0 new" in dux("learn", run, "--library", library)
    [one, two, *_] = read_library(library)
    assert one.key[:8] in dux("experience", "list", library)
    assert one.lesson in dux("experience", "show", library, one.key)
    assert "my lesson" in dux("experience", "edit", library, one.key, "my lesson")
    assert two.key in dux("experience", "delete", library, two.key[:8])
    lines = dux("experience", "export", library).splitlines()
    dux("experience", "export", library, "-o", tmp_path / "all.jsonl")
    assert lines == (tmp_path / "all.jsonl").read_text().splitlines()
    assert 4 == len(lines)
    assert "my lesson" in {json.loads(line)["lesson"] for line in lines}
    said = dux("experience", "show", library, two.key, code=2)
    assert said.startswith("dux: 0 entries of")
    assert "Traceback" not in dux("experience", "list", tmp_path / "no", code=2)
    assert (0, 0) == learn([run], library)
    delete_entries(library, [one.key])


def test_what_a_stranger_wrote_does_not_act_on_the_terminal(run, tmp_path):
    library = tmp_path / "experience.sqlite"
    learn([run], library)
    [one, *_] = read_library(library)
    hostile = one.as_dict() | {
        "source": "x\x1b]0;title\x07\n\r\x1b[2J",
        "origin": "\x1b",
    }
    with closing(sqlite3.connect(library)) as connection, connection:
        connection.execute(
            "UPDATE entries SET entry=? WHERE key=?", (json.dumps(hostile), one.key)
        )

    told = [
        CliRunner().invoke(app, ["experience", *words, str(library), *key]).output
        for words, key in ((["list"], []), (["show"], [one.key]), (["export"], []))
    ]

    assert not {"\x1b", "\x07", "\r"} & set("".join(told))
