"""Bad arguments raise at once and say what was found, what was wanted, what to do."""

import subprocess
import sys

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import BadArgument, RunFolderExists
from tests import models
from tests.swapping import SGD
from tests.talking import scripted, sgd


def bad(**options):
    model = options.pop("model", None) or models.make("mlp")
    optimizer = options.pop("optimizer", None) or sgd(model)
    objective = options.pop("objective", models.objective)
    with pytest.raises(BadArgument) as raised:
        attach(model, optimizer, objective, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert "wanted" in message or "pass one" in message
    return message


@pytest.mark.parametrize(
    "options, said",
    [
        ({"every": 0}, "every is 0; a whole number of at least 1"),
        ({"every": 2.5}, "every is 2.5"),
        ({"total_steps": -3}, "total_steps is -3"),
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"candidates": 0}, "candidates is 0"),
        ({"dry_run_steps": 0}, "dry_run_steps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"background": "yes"}, "background is 'yes'; True or False was wanted"),
        ({"run_dir": 5}, "run_dir is 5; the path of a folder was wanted"),
        ({"guard_steps": -1}, "guard_steps is -1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch is 0"),
        ({"accept": "always"}, "'harmless', 'finite', 'not_worse'"),
        ({"execution": "outside"}, "'auto', 'isolated', 'inline'"),
        ({"lr_owner": "me"}, "'proposal', 'scheduler'"),
        ({"history": "none"}, "'chat', 'compressed'"),
        ({"carry_over": "maybe"}, "'asked', 'always', 'never'"),
        ({"validate": 3}, "validate is a int"),
        ({"clone": 3}, "clone is a int"),
        ({"objective": None}, "objective is a NoneType"),
        ({"budget": -1}, "budget holds 'calls': -1"),
        ({"budget": "much"}, "budget is 'much'"),
        ({"budget": {"euros": 3}}, "'euros'"),
        ({"limits": {"seconds": -1}}, "Limits(seconds=-1)"),
        ({"limits": {"minutes": 1}}, "minutes"),
        ({"lm": "nobody"}, "no language model is called 'nobody'"),
        ({"lm": 7}, "lm is a int"),
        ({"fallback": "nobody"}, "no language model is called 'nobody'"),
        ({"lm": ["offline", "nobody"]}, "no language model is called 'nobody'"),
        ({"lm": ["offline", 7]}, "lm is a int"),
        ({"lm": []}, "lm is an empty list"),
        ({"lm": "gpt-4o"}, "no language model is called 'gpt-4o'"),
        ({"lm_options": "hot"}, "lm_options is 'hot'; a dict of options"),
        ({"lm_options": {3: 4}}, "lm_options is {3: 4}"),
        ({"lm_options": {"seed": 1}}, "'offline' got the option 'seed'"),
        ({"lm_options": [{}, {}]}, "lm_options holds 2 dicts for 1 models"),
        ({"lm_options": [3]}, "lm_options is 3; a dict of options"),
        ({"lm": None, "lm_options": {"seed": 1}}, "lm_options is {'seed': 1} and lm"),
        ({"lm_timeout": 0}, "lm_timeout is 0; a number of seconds above 0"),
        ({"lm_timeout": True}, "lm_timeout is True"),
        ({"decision_timeout": float("inf")}, "decision_timeout is inf"),
        ({"prompts": "/nowhere/at/all"}, "is not a folder"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_refused(options, said):
    assert said in bad(**options)


def test_a_key_that_happens_to_be_set_chooses_no_model(monkeypatch, tmp_path):
    for name in ("OPENAI", "ANTHROPIC", "GOOGLE", "MISTRAL", "GROQ"):
        monkeypatch.setenv(f"{name}_API_KEY", "planted-key-4711")
    model = models.make("mlp")

    with attach(model, sgd(model), models.objective, run_dir=tmp_path / "r") as agent:
        agent.step(models.batches()[0])
        decision = agent.decide()

    assert '"model": "offline"' in (tmp_path / "r" / "run.json").read_text()
    assert "rule-based" in decision.source.lower() or "Rule" in decision.source


@pytest.mark.parametrize("as_list", [True, False])
def test_a_list_of_models_is_a_model_and_its_fallbacks(as_list, tmp_path):
    first, second = scripted(PermissionError("401")), scripted(ValueError("no"))
    third = scripted(SGD)
    lm = [first, second, third] if as_list else first
    others = {} if as_list else {"fallback": [second, third]}
    model = models.make("mlp")

    with attach(
        model,
        sgd(model),
        models.objective,
        lm=lm,
        execution="inline",
        run_dir=tmp_path / "r",
        **others,
    ) as agent:
        agent.step(models.batches()[0])
        decision = agent.decide()

    assert ("applied", 3) == (decision.verdict, decision.usage["calls"])
    assert [1, 1, 1] == [len(each.asked) for each in (first, second, third)]


def test_the_options_of_a_list_are_those_of_its_language_models():
    talker = scripted(SGD)
    model = models.make("mlp")

    with attach(
        model,
        sgd(model),
        models.objective,
        lm=[talker, "offline"],
        lm_options={"temperature": 0.7},
    ) as agent:
        agent.step(models.batches()[0])
        decision = agent.decide()

    assert "applied" == decision.verdict


def test_an_optimizer_over_another_model_is_refused():
    message = bad(optimizer=sgd(models.make("mlp")))

    assert "4 of 4 parameters that are not the model's" in message


def test_an_optimizer_over_nothing_is_refused():
    message = bad(optimizer=torch.optim.SGD([{"params": []}], lr=0.1))

    assert "the optimizer holds no parameters" in message


def test_an_optimizer_that_is_emptied_later_is_saved_and_nobody_is_asked():
    model = models.make("mlp")
    with attach(model, sgd(model), models.objective, lm=scripted(SGD)) as agent:
        agent.step(models.batches()[0])
        for group in agent.optimizer.param_groups:
            group["params"].clear()
        agent.step(models.batches()[1])
        decision, state = agent.decide(), agent.state_dict()
        agent.load_state_dict(state)
        again = agent.state_dict()

    assert ("kept", {}) == (decision.verdict, decision.usage)
    assert "holds no parameters any more" in decision.reason
    assert state["batch_places"] == again["batch_places"]


def test_a_model_without_parameters_is_refused():
    message = bad(model=torch.nn.Tanh(), optimizer=sgd(models.make("mlp")))

    assert "has no parameters" in message


def test_what_is_no_model_or_no_optimizer_is_refused():
    assert "model is a int" in bad(model=3, optimizer=sgd(models.make("mlp")))
    assert "optimizer is a int" in bad(optimizer=3)


def test_the_live_optimizer_of_another_agent_is_refused():
    model = models.make("mlp")
    with attach(model, sgd(model), models.objective) as agent:
        message = bad(model=model, optimizer=agent.optimizer)

    assert "the live optimizer of another agent" in message


def test_a_run_folder_that_exists_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    model = models.make("mlp")

    with pytest.raises(RunFolderExists, match="exists"):
        attach(model, sgd(model), models.objective, run_dir=tmp_path)

    assert ["mine.txt"] == [each.name for each in tmp_path.iterdir()]


def test_nothing_is_written_when_another_argument_is_bad(tmp_path):
    bad(run_dir=tmp_path / "run", every=0)
    bad(run_dir=tmp_path / "run", lm="nobody")

    assert [] == list(tmp_path.iterdir())


def vector(model, batch):
    return (model(batch[0]) - batch[1]).square()


def test_an_objective_that_returns_a_vector_is_refused_wherever_it_is_first_seen():
    model = models.make("mlp")
    lm = scripted(SGD)
    batch = models.batches()[0]
    with attach(model, sgd(model), vector, lm=lm) as agent:
        with pytest.raises(BadArgument, match=r"shape \(12, 1\); a scalar was wanted"):
            agent.step(batch)
        with pytest.raises(BadArgument, match=r"shape \(12, 1\)"):
            agent.observe(vector(model, batch), batch)
        with pytest.raises(BadArgument, match=r"shape \(12, 1\)"):
            agent.observe(0.5, batch)
        assert 0 == agent.step_count

    assert [] == lm.asked


def test_an_objective_that_returns_a_number_is_told_to_return_the_tensor():
    model = models.make("mlp")
    with attach(model, sgd(model), lambda net, batch: 0.5) as agent:
        with pytest.raises(BadArgument, match=r"return the loss before \.item\(\)"):
            agent.step(models.batches()[0])


def test_a_loss_that_is_no_number_is_refused():
    model = models.make("mlp")
    with attach(model, sgd(model), models.objective) as agent:
        with pytest.raises(BadArgument, match="the loss is a str"):
            agent.observe("low", None)


USED = """
import sys, torch
from dux_agent import attach
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
options = {"lm": LM, "run_dir": DIR, "execution": "inline"}
with attach(model, optimizer, lambda net, batch: net(batch).sum(), **options) as agent:
    agent.step(torch.ones(2, 2))
    if LM is None:
        agent.decide()
        agent.plan()
    agent.load_state_dict(agent.state_dict())
    print(sorted({name.split(".")[0] for name in sys.modules} & HEAVY))
"""
HEAVY = {"langchain", "langchain_core", "langgraph", "langsmith"}


@pytest.mark.parametrize("lm", [None, "offline"])
@pytest.mark.parametrize("recorded", [False, True])
def test_langgraph_is_loaded_at_attach_where_a_model_is_asked_and_else_never(
    lm, recorded, tmp_path
):
    folder = str(tmp_path / "run") if recorded else None
    script = f"LM, DIR, HEAVY = {lm!r}, {folder!r}, {HEAVY!r}\n{USED}"

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )

    expected = [] if lm is None else ["langchain_core", "langgraph", "langsmith"]
    assert str(expected) == ended.stdout.strip()
