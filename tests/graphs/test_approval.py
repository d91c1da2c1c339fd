"""A person has the word before a proposal is built."""

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.run_folder import trace
from dux_agent.runs.replaying import replay
from dux_agent.runs.training import train
from dux_graphs.decision import build_graph, build_served_graph
from tests import models
from tests.graphs.test_decision import QUICK, Play
from tests.observations import first
from tests.swapping import ADAM, SGD
from tests.talking import agent_over, run

TASK = "tests.foreign_tasks:build"


def graph(saver=None):
    return build_graph(saver, retry=QUICK, approve=True)


def answering(*answers):
    """A person who gives these answers in turn, and what they were shown."""
    shown = []

    def person(proposal):
        shown.append(proposal)
        return answers[min(len(shown), len(answers)) - 1]

    return person, shown


def test_what_is_approved_is_applied():
    person, shown = answering(True)
    play = Play("good = 1", approve=person)

    out = play.run(graph=graph())

    assert "applied" == out["verdict"]
    assert {"source", "digest", "diff", "losses", "incumbent_losses"} == set(shown[0])
    assert "+good = 1" in shown[0]["diff"]


@pytest.mark.parametrize("answer", [False, None, "", " "])
def test_what_is_not_approved_ends_the_decision_and_what_is_live_stays(answer):
    person, _ = answering(answer)
    play = Play("good = 1", approve=person)

    out = play.run(graph=graph())

    assert ("kept", None) == (out["verdict"], out["source"])
    assert "not approved" in out["reason"]
    assert ([], 1) == (play.applied, len(play.asked))


def test_a_word_of_the_persons_goes_back_to_the_model():
    person, shown = answering("use a warm-up", True)
    play = Play("good = 1", "better = 2", approve=person)

    out = play.run(graph=graph())

    assert "applied" == out["verdict"]
    assert ["better = 2\n"] == play.applied
    assert "use a warm-up" in play.asked[1][-1]["content"]
    assert 2 == len(shown)


def test_a_word_about_the_best_of_several_refuses_them_all():
    person, _ = answering("neither")
    play = Play(
        "a # loss=0.1 ", "b # loss=0.2 ", candidates=2, approve=person, max_attempts=1
    )

    out = play.run(graph=graph())

    assert "kept" == out["verdict"]
    assert "neither" in out["reason"]


def test_where_the_approved_one_cannot_be_built_the_next_one_is_asked_about():
    person, shown = answering(True)
    play = Play("unbuilt # loss=0.1 ", "good # loss=0.2 ", candidates=2, approve=person)

    out = play.run(graph=graph())

    assert "applied" == out["verdict"]
    assert ["unbuilt", "good"] == [each["source"].split()[0] for each in shown]


def test_a_graph_with_the_node_goes_on_where_nobody_is_to_be_asked():
    assert "applied" == Play("good = 1").run(graph=graph())["verdict"]


@pytest.mark.parametrize(
    ("answer", "verdict"), [(True, "applied"), (False, "kept"), ("no", "applied")]
)
def test_an_interrupt_waits_for_whoever_resumes_the_graph(answer, verdict):
    machine = graph(InMemorySaver())
    play = Play("good = 1", "better = 2", approve="interrupt")
    config = {"configurable": {"thread_id": "t"}}

    out = play.run(graph=machine)
    shown = out["__interrupt__"][0].value
    tries = 0
    while "__interrupt__" in out:
        tries += 1
        word = answer if tries == 1 else True
        out = machine.invoke(Command(resume=word), config, context=play.ports())

    assert "+good = 1" in shown["diff"]
    assert verdict == out["verdict"]
    assert (2 if answer == "no" else 1) == len(play.asked) == tries


def test_a_served_graph_can_be_approved():
    play = Play("good = 1", approve="interrupt")
    machine = build_served_graph(lambda context: play.ports(), dict)
    machine.checkpointer = InMemorySaver()
    config = {"configurable": {"thread_id": "t"}}

    waits = machine.invoke({"observation": first().as_dict()}, config)
    out = machine.invoke(Command(resume=True), config)

    assert "+good = 1" in waits["__interrupt__"][0].value["diff"]
    assert "applied" == out["verdict"]


# --- of an agent, and of `dux run`


@pytest.mark.parametrize("background", [False, True])
def test_an_agent_asks_before_a_rule_goes_live(background):
    person, shown = answering(False, True)
    model = models.make("mlp")
    options = {"approve": person, "background": background}
    with agent_over(model, SGD, ADAM, **options) as agent:
        for _ in range(2):
            run(agent, 3)
            decision = agent.decide()
            for _ in range(2000):
                if decision in agent.decisions:
                    break
                run(agent, 1)

    assert ["kept", "applied"] == [each.verdict for each in agent.decisions]
    assert 2 == len(shown)


def test_what_the_persons_function_raises_comes_out():
    def person(proposal):
        raise LookupError("nobody is in")

    with agent_over(models.make("mlp"), SGD, approve=person) as agent:
        run(agent, 3)
        with pytest.raises(LookupError, match="nobody is in"):
            agent.decide()


@pytest.mark.parametrize(
    ("typed", "verdicts"),
    [
        ("y\n", {"applied"}),
        ("n\n", {"kept"}),
        ("", {"kept"}),
        ("slower\nn\n", {"kept"}),
    ],
)
def test_dux_run_shows_what_changes_and_asks(tmp_path, typed, verdicts):
    result = CliRunner().invoke(
        app,
        ["run", TASK, "--epochs", "2", "--approve", "--run-dir", str(tmp_path / "run")],
        input=typed,
    )

    assert 0 == result.exit_code, result.output
    assert "Let it go live?" in result.output
    assert "+class " in result.output
    events = trace.read(tmp_path / "run")
    assert verdicts == {e.data["verdict"] for e in events if e.kind == "apply"}


@pytest.mark.parametrize("answers", [(True,), (False,), ("slower", True)])
def test_a_replay_answers_as_the_person_did(tmp_path, answers):
    person, _ = answering(*answers)
    train(TASK, epochs=2, approve=True, person=person, run_dir=tmp_path / "run")

    compared = replay(tmp_path / "run")

    assert () == compared.differences
