"""The short text on what a rule may use says what the policy holds, and no more."""

import ast
import re
from pathlib import Path

import pytest
import torch

from dux_agent import attach, tasks
from dux_prompts.brief import render_system, render_update
from dux_prompts.may_use import MAY, MAY_NOT
from dux_prompts.observation import Observation
from dux_sandbox import check
from dux_sandbox.language.vocabulary import ALLOWED
from tests import models
from tests.loops.loops import Parts, in_a_closure, plain
from tests.sources import MOMENTUM, SGD
from tests.talking import scripted

CORPUS = Path(__file__).parents[1] / "corpus"
WRITTEN = sorted([*CORPUS.glob("written/*.py"), *CORPUS.glob("benign/*.py")])
IN_TABLE = {name for names in ALLOWED.values() for name in names}
COVERED = {name for each in MAY for names in each.covers.values() for name in names}


def quoted(text):
    """The names in backticks; operators and pieces of code are none."""
    found = re.findall(r"`([A-Za-z_][\w.]*)`", text)
    return [name.rpartition(".")[2] for name in found]


@pytest.mark.parametrize("sentence", MAY, ids=lambda each: each.says[:30])
def test_each_sentence_stands_for_names_that_the_policy_allows(sentence):
    for owner, names in sentence.covers.items():
        assert names <= set(ALLOWED[owner])
        assert names


@pytest.mark.parametrize("sentence", MAY, ids=lambda each: each.says[:30])
def test_each_example_is_allowed(sentence):
    modules = {part for path in ALLOWED for part in path.split(".")}

    assert [] == [
        name for name in quoted(sentence.says) if name not in IN_TABLE | modules
    ]


def test_what_may_not_be_used_is_refused():
    kept = {"__init__", "__setstate__", "manual_seed"}  # of a class, of a generator
    names = [name for text in MAY_NOT for name in quoted(text)]

    assert 12 < len(names)
    assert [] == [name for name in names if name in IN_TABLE - kept]


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.stem)
def test_every_name_that_written_optimizers_use_is_covered_by_a_sentence(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    modules = {part for path in ALLOWED for part in path.split(".")}

    assert used & IN_TABLE
    assert set() == (used & IN_TABLE) - COVERED - modules


def test_the_text_is_short():
    texts = [*(each.says for each in MAY), *MAY_NOT]

    assert 2_000 >= sum(map(len, texts))


def first_prompt(name):
    """What the model is told before the first decision of a task."""
    task = tasks.build(name, 0)
    batches = task.train_batches(0)
    prompts = []

    class Asked(type(scripted(SGD))):
        def _generate(self, messages, **more):
            prompts.extend(messages)
            return super()._generate(messages, **more)

    lm = Asked(**dict(scripted(SGD)))
    with attach(task.model, task.base_optimizer(), task.objective, lm=lm) as agent:
        for _, batch in zip(range(10), batches, strict=False):
            agent.step(batch)
        agent.decide()
    return "".join(str(message.content) for message in prompts[:2])


def test_the_first_prompt_of_a_small_network_is_short():
    assert 5_000 >= len(first_prompt("sine"))


def test_the_full_table_is_shown_on_request():
    observation = Observation(
        model={"kind": "net"}, base_optimizer={"name": "SGD"}, step=1, interval=1
    )

    short = render_system(observation)
    full = render_system(observation, vocabulary="full")

    assert "| Tensor |" in full and "| Tensor |" not in short
    assert len(full) > 10_000 + len(short)


def asked_in(run):
    """The first observation of a decision in a loop."""
    model = models.make("mlp")
    base = torch.optim.SGD(model.parameters(), lr=0.02)
    with attach(
        model, base, models.objective, lm=scripted(SGD), every=8, total_steps=20
    ) as agent:
        seen = []
        look = agent.training.observation
        agent.training.observation = lambda *a: seen.append(look(*a)) or seen[-1]
        run(Parts(model, agent.optimizer, agent.observe))
    return seen[0]


def test_a_loop_without_closures_is_offered_none():
    observation = asked_in(plain)
    prompt = render_system(observation)

    assert observation.closures is False
    assert "This loop passes no closure" in prompt
    assert "requires_closure" not in prompt


def test_a_loop_with_closures_is_told_how_to_call_them():
    observation = asked_in(in_a_closure)
    prompt = render_system(observation)

    assert observation.closures is True
    assert "requires_closure = True" in prompt
    assert "This loop passes one" in prompt


def test_the_prompt_says_which_dtypes_there_are_on_which_devices():
    observation = asked_in(plain)

    assert ["float32 on cpu"] == observation.kinds
    assert "Parameters: float32 on cpu." in render_system(observation)
    assert render_update(observation)


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ("p.addcmull_(p, p)", "addcmul_"),
        ("torch.zero_like(p)", "zeros_like of torch"),
        ("torch.linalg.vectornorm(p)", "vector_norm of torch.linalg"),
        ("p.qqqqqqqqqq()", "compute it from what a rule may use"),
    ],
)
def test_a_name_that_is_refused_is_answered_with_those_that_look_like_it(wrong, cure):
    source = MOMENTUM.replace(
        "state = self.state[p]", f"{wrong}\n                state = self.state[p]"
    )

    findings = check(source).findings

    assert cure in findings[0].instead


def test_many_refused_names_are_compared_only_a_few_times(monkeypatch):
    from dux_sandbox.language import vocabulary

    compared = []
    nearest = vocabulary.nearest
    monkeypatch.setattr(
        vocabulary, "nearest", lambda *a: compared.append(a) or nearest(*a)
    )
    lines = "".join(f"\n                p.addcmull{n}(p)" for n in range(200))
    source = MOMENTUM.replace(
        "state = self.state[p]", f"pass{lines}\n                state = self.state[p]"
    )

    assert not check(source).ok
    assert 10 >= len(compared)
