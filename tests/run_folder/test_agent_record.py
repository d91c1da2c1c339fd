"""The agent writes its run down, and goes on from what it wrote."""

import sys
from dataclasses import fields
from io import FileIO

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from dux_agent import attach
from dux_agent.errors import MissingExtra
from dux_agent.run_folder import trace, trace_file
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.recorder import Recorder
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.runs.training import train
from dux_agent.settings import Settings
from dux_sandbox.findings import digest_of
from dux_sandbox.limits import Limits
from tests import models
from tests.swapping import SGD, after
from tests.talking import Scripted, agent_over, fenced, run, scripted, sgd

BOMB = after(14, 'p.fill_(float("nan"))')


def test_every_kind_of_event_and_every_source_is_in_the_run_folder(tmp_path):
    lm = scripted("import os\n" + SGD, BOMB, PermissionError("401"))
    with agent_over(models.make("mlp"), lm=lm, run_dir=tmp_path / "run") as agent:
        run(agent, 8)
        agent.decide()
        run(agent, 20)
        agent.decide()

    events = trace.read(tmp_path / "run")
    kinds = {event.kind for event in events}
    assert set(trace.KINDS) - {"trial"} == kinds
    digest = agent.decisions[0].digest
    assert (tmp_path / "run" / "sources" / f"{digest}.py").read_text().strip() == (
        BOMB.strip()
    )
    rollback = next(event for event in events if event.kind == "rollback")
    assert (1, digest) == (rollback.decision, rollback.data["digest"])
    applied = next(event for event in events if event.kind == "apply")
    assert [0.05] == applied.data["learning_rates"]
    assert (tmp_path / "run" / "decisions.sqlite").exists()


def test_what_the_agent_was_attached_with_is_in_the_run_folder(tmp_path):
    options = {"background": True, "carry_over": "never", "limits": Limits(seconds=3.0)}
    with agent_over(
        models.make("mlp"), SGD, run_dir=tmp_path / "run", seed=7, **options
    ):
        facts = read_facts(tmp_path / "run")

    assert 7 == facts["seed"]
    told = facts["arguments"]
    assert (True, "never", 3.0) == (
        told["background"],
        told["carry_over"],
        told["limits"]["seconds"],
    )
    callables = {"objective", "validate", "clone", "also"}
    given = {each.name for each in fields(Settings)} - {"task", "seed"}
    assert given - callables == told.keys() - callables


def test_the_record_of_a_long_run_of_losses_is_thinned(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {})
    recorder = Recorder(folder, owned=True)

    for step in range(1, 5001):
        recorder.loss(step, 1.0)
    recorder.close()

    steps = [event.step for event in trace.read(tmp_path / "run")]
    assert list(range(1, 513)) == steps[:512]
    assert 514 == steps[512]
    assert 512 + 256 * 3 + 56 == len(steps)


def test_a_folder_of_the_callers_stays_open(tmp_path):
    with RunFolder.create(tmp_path / "run", {}) as folder:
        with agent_over(models.make("mlp"), SGD, run_dir=folder) as agent:
            run(agent, 2)
        folder.event("loss", step=3, data={"loss": 1.0})

    assert 3 == len(trace.read(tmp_path / "run"))


def test_a_decision_that_was_paid_before_a_crash_is_not_paid_again(tmp_path):
    from langgraph.checkpoint.memory import InMemorySaver

    saver = InMemorySaver()
    model = models.make("mlp")
    first, second = scripted(SGD), scripted("nothing")

    def attached(lm):
        return attach(
            model,
            sgd(model),
            models.objective,
            lm=lm,
            execution="inline",
            checkpointer=saver,
        )

    with attached(first) as agent:
        run(agent, 4)
        saved = agent.state_dict()
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        agent.decide()
    model.load_state_dict(weights)
    with attached(second) as agent:
        agent.load_state_dict(saved)
        decision = agent.decide()

    assert ("applied", digest_of(decision.source)) == (
        decision.verdict,
        agent.optimizer.running.digest,
    )
    assert (1, 0) == (len(first.asked), len(second.asked))


def test_a_full_disk_ends_the_record_and_not_the_training(tmp_path, caplog):
    from dux_agent.errors import RunFolderUnusable

    class Full(RunFolder):
        def _tell(self, *_):
            raise RunFolderUnusable("no room on the disk; make room.")

    RunFolder.create(tmp_path / "run", {}).close()
    folder = Full(tmp_path / "run")
    with agent_over(models.make("mlp"), SGD, run_dir=folder) as agent:
        run(agent, 5)
    folder.close()

    assert 1 == caplog.text.count("Training goes on without the record.")


def test_without_the_store_no_run_folder_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.sqlite", None)

    with pytest.raises(MissingExtra, match="dux-agent\\[store\\]"):
        agent_over(models.make("mlp"), SGD, run_dir=tmp_path / "run")
    with pytest.raises(MissingExtra, match="dux-agent\\[store\\]"):
        train("digits", epochs=1, run_dir=tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_a_run_in_which_nobody_is_asked_is_recorded_without_the_store(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.sqlite", None)

    with agent_over(models.make("mlp"), lm=None, run_dir=tmp_path / "run") as agent:
        run(agent, 3)

    assert (tmp_path / "run" / "trace.jsonl").exists()


def test_a_disk_that_refuses_epochs_does_not_end_the_training(
    tmp_path, monkeypatch, caplog
):
    class Full(FileIO):
        def write(self, content):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(trace_file, "FileIO", Full)

    result = train("digits", epochs=1, control=True, run_dir=tmp_path / "run")

    assert 1 == len(result.epochs) == len(result.control)
    assert "Training goes on without the record." in caplog.text


def test_runs_that_share_a_checkpointer_do_not_continue_each_others_decisions():
    class Died(BaseException):
        pass

    class Dying(Scripted):
        def _generate(self, messages, stop=None, run_manager=None, **options):
            if self.asked:
                raise Died
            return super()._generate(messages, stop, run_manager, **options)

    shared = InMemorySaver()
    first = Dying(replies=[fenced("import os\n" + SGD)])
    with agent_over(models.make("mlp"), lm=first, checkpointer=shared) as agent:
        run(agent, 5)
        with pytest.raises(Died):
            agent.decide()
    second = scripted(SGD)
    other = {"lm": second, "checkpointer": shared, "task": "another project"}
    with agent_over(models.make("dropout"), **other) as agent:
        run(agent, 5)
        decision = agent.decide()

    assert ("applied", 1) == (decision.verdict, len(second.asked))
    assert "another project" in str(second.asked[0])


def test_a_user_may_override_a_prompt(tmp_path):
    (tmp_path / "update.md").write_text("Step {{ step }} it is.")
    lm = scripted(SGD)

    with agent_over(models.make("mlp"), lm=lm, prompts=tmp_path) as agent:
        run(agent, 3)
        agent.decide()

    assert "Step 3 it is." == str(lm.asked[0][-1].content).strip()


@pytest.mark.parametrize("candidates", [1, 2])
def test_of_several_candidates_the_best_dry_run_goes_live(candidates):
    slow = SGD.replace("lr=0.1", "lr=0.0001")
    lm = scripted(slow, SGD)
    with agent_over(models.make("mlp"), lm=lm, candidates=candidates) as agent:
        run(agent, 4)
        decision = agent.decide()

    expected = slow if candidates == 1 else SGD
    assert digest_of(expected.strip()) == digest_of(decision.source.strip())
