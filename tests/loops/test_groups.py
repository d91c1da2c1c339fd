"""A user's parameter groups keep their meaning, whatever rule is live."""

import functools
import threading

import pytest
import torch

from dux_agent import attach
from tests import models
from tests.swapping import ADAM, MOMENTUM, SGD
from tests.talking import agent_over, run, scripted

DECAYING = (
    SGD.replace("lr=0.1):", "lr=0.01, weight_decay=0.5):")
    .replace("dict(lr=lr)", "dict(lr=lr, weight_decay=weight_decay)")
    .replace(
        '                    p.add_(p.grad, alpha=-group["lr"])',
        '                    p.mul_(1 - group["lr"] * group["weight_decay"])\n'
        '                    p.add_(p.grad, alpha=-group["lr"])',
    )
)
MODES = pytest.mark.parametrize("execution", ["inline", "isolated"])


def two_groups(model, **second):
    """AdamW as recipes for transformers make it: biases do not decay."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": weights, "lr": 1e-3, "weight_decay": 0.1},
            {"params": biases, "lr": 1e-4, "weight_decay": 0.0, **second},
        ]
    )


def split(agent, *names):
    groups = agent.optimizer.param_groups
    return [tuple(group.get(name) for name in names) for group in groups]


def attached(*sources, execution="inline", groups=two_groups, **options):
    model = models.make("mlp")
    given = {"lm": scripted(*sources), "execution": execution, "accept": "finite"}
    options = {**given, **options}
    return attach(model, groups(model), models.objective, **options)


@MODES
def test_a_swap_keeps_the_split_of_rate_and_weight_decay(execution):
    with attached(DECAYING, execution=execution) as agent:
        run(agent, 3)
        decision = agent.decide()
        found = split(agent, "lr", "weight_decay")
        run(agent, 3)

        assert "applied" == decision.verdict
        assert [(0.01, 0.5), (pytest.approx(0.001), 0.0)] == found
        assert found == split(agent, "lr", "weight_decay")


@MODES
def test_a_rule_without_weight_decay_loses_nothing_of_the_split(execution):
    with attached(SGD, DECAYING, ADAM, DECAYING, execution=execution) as agent:
        found = []
        for _ in range(4):
            run(agent, 3)
            agent.decide()
            found.append(split(agent, "lr", "weight_decay"))

        part = pytest.approx(0.001)
        assert [(0.1, None), (pytest.approx(0.01), None)] == found[0]
        assert [(0.01, 0.5), (part, 0.0)] == found[1] == found[3]
        assert [(0.01, None), (part, None)] == found[2]


@MODES
def test_the_split_survives_rollbacks_and_checkpoints(execution):
    def fresh():
        return attached(SGD, MOMENTUM, execution=execution)

    with fresh() as agent:
        before = split(agent, "lr", "weight_decay", "betas")
        run(agent, 3)
        agent.decide()
        run(agent, 3)
        agent.decide()
        of_momentum = split(agent, "lr", "weight_decay")
        saved, weights = agent.state_dict(), agent.model.state_dict()
        with fresh() as other:
            other.model.load_state_dict(weights)
            other.load_state_dict(saved)
            assert of_momentum == split(other, "lr", "weight_decay")
            other.optimizer.guard.breach("for the test")
            of_sgd = split(other, "lr", "weight_decay")
            other.optimizer.guard.breach("for the test")

            assert [(0.05, None), (pytest.approx(0.005), None)] == of_momentum
            assert [(0.1, None), (pytest.approx(0.01), None)] == of_sgd
            assert before == split(other, "lr", "weight_decay", "betas")


@MODES
def test_a_group_that_joins_a_rule_gets_its_share(execution):
    with attached(DECAYING, DECAYING, execution=execution) as agent:
        run(agent, 2)
        agent.decide()
        late = torch.nn.Parameter(torch.zeros(3))
        agent.model.register_parameter("late", late)
        # Of the base optimizer's own rate, 1e-3, as torch fills it in.
        agent.optimizer.add_param_group({"params": [late], "weight_decay": 0.05})
        joined = split(agent, "lr", "weight_decay")[-1]
        run(agent, 2)
        agent.decide()
        after = split(agent, "lr", "weight_decay")[-1]

        assert (0.01, 0.05) == joined
        assert (0.01, 0.25) == after


@MODES
@pytest.mark.parametrize("then", ["a step", "a decision", "a checkpoint"])
def test_groups_that_the_base_optimizer_was_given_are_stepped_too(execution, then):
    with attached(DECAYING, MOMENTUM, execution=execution) as agent:
        run(agent, 2)
        agent.decide()
        run(agent, 1)
        late = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
        for parameter, lr in zip(late, (1e-3, 1e-4), strict=True):
            agent.model.register_parameter(f"late_{lr}".replace(".", "_"), parameter)
            agent.optimizer.base.add_param_group({"params": [parameter], "lr": lr})
        if then == "a decision":
            assert "applied" == agent.decide().verdict
        elif then == "a checkpoint":
            agent.state_dict()
        for parameter in late:
            parameter.grad = torch.ones(2)
        agent.optimizer.step()
        live = agent.optimizer.running.source
        largest = 0.05 if then == "a decision" else 0.01

        assert (MOMENTUM if then == "a decision" else DECAYING).strip() == live.strip()
        rates = [largest, largest / 10] * 2
        assert pytest.approx(rates) == [rate for (rate,) in split(agent, "lr")]
        assert all(bool((parameter < 1).all()) for parameter in late)
        agent.optimizer.guard.breach("for the test")
        assert pytest.approx([1e-3, 1e-4] * 2) == [
            rate for (rate,) in split(agent, "lr")
        ]


@pytest.mark.parametrize(
    "values, expected",
    [
        ([{"lr": 0.1}, {"lr": 0.1}], [0.01, 0.01]),
        ([{"lr": 0.0}, {"lr": 0.0}], [0.01, 0.01]),
        ([{"lr": 0.4}, {"lr": 0.0}], [0.01, 0.0]),
        ([{"lr": torch.tensor(0.4)}, {"lr": torch.tensor(0.1)}], [0.01, 0.0025]),
        (
            [{"lr": 0.01, "initial_lr": 0.4}, {"lr": 0.02, "initial_lr": 0.2}],
            [0.01, 0.005],
        ),
    ],
    ids=["alike", "all zero", "one frozen", "tensors", "initial rates"],
)
@MODES
def test_shares_are_relative_to_the_largest_rate(execution, values, expected):
    def groups(model):
        first, *others = model.parameters()
        return torch.optim.Adam(
            [{"params": [first], **values[0]}, {"params": others, **values[1]}],
            foreach=False,
        )

    with attached(ADAM, execution=execution, groups=groups) as agent:
        run(agent, 1)
        agent.decide()

        assert [(pytest.approx(rate),) for rate in expected] == split(agent, "lr")


def test_the_dry_run_tries_what_will_be_live():
    # The dry run's own losses: the live run on the same batches must repeat them.
    with attached(DECAYING, dry_run_steps=4) as agent:
        run(agent, 4)
        agent.decide()
        tried = agent.decisions[0].attempts[0]["losses"]
        newest = list(agent.training.batches)[-2:]  # which are met twice
        losses = [float(agent.step(batch)) for batch in 2 * newest]

        assert tried[:4] == pytest.approx(losses, rel=1e-6)


class Uncopied:
    """What a user may keep in a group: nothing compares, copies or pickles it."""

    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = None

    def __deepcopy__(self, memo):
        raise RuntimeError("copied")


OWN = {
    "name": "biases",
    "schedule": lambda step: 0.5**step,
    "partial": functools.partial(max, 3),
    "thing": Uncopied(),
    "lock": threading.Lock(),
    "table": torch.zeros(3),
    # Names that a rule has for its own options.
    "betas": "the user's",
    "eps": None,
    "beta": [1],
}


@MODES
def test_what_a_user_keeps_in_a_group_is_no_business_of_a_rules(execution):
    def groups(model):
        weights = [p for p in model.parameters() if p.ndim > 1]
        biases = [p for p in model.parameters() if p.ndim < 2]
        return torch.optim.SGD(
            [{"params": weights}, {"params": biases, **OWN}], lr=0.02, momentum=0.9
        )

    with attached(ADAM, MOMENTUM, execution=execution, groups=groups) as agent:
        group = agent.optimizer.param_groups[1]
        verdicts = []
        for _ in range(2):
            run(agent, 3)
            verdicts.append(agent.decide().verdict)
            run(agent, 5)
            assert agent.optimizer.running.source is not None
            assert all(group[name] is value for name, value in OWN.items())
        agent.optimizer.state_dict()
        saved = agent.state_dict()
        agent.load_state_dict(saved)
        run(agent, 2)
        live = agent.optimizer.running.source
        for _ in range(2):
            agent.optimizer.guard.breach("for the test")
        run(agent, 2)

        assert ["applied", "applied"] == verdicts
        assert MOMENTUM.strip() == live.strip()
        assert agent.optimizer.running is agent.optimizer.base_rule
        assert "the user's" == group["betas"]
        assert OWN["thing"] is group["thing"]
        assert 0.9 == group["momentum"]


@MODES
def test_a_rate_that_a_loop_computes_with_numpy_is_a_number_to_a_rule(execution):
    numpy = pytest.importorskip("numpy")
    with attached(SGD, execution=execution) as agent:
        run(agent, 2)
        agent.decide()
        before = [p.detach().clone() for p in agent.model.parameters()]
        for rate in (numpy.float64(0.0), numpy.float32(0.0)):
            for group in agent.optimizer.param_groups:
                group["lr"] = rate
            run(agent, 1)

        assert agent.optimizer.running.source is not None
        assert all(map(torch.equal, before, agent.model.parameters()))


@MODES
def test_what_a_rule_writes_into_a_group_beside_the_users_keys_stays_its_own(execution):
    counting = SGD.replace(
        "        for group in self.param_groups:\n",
        "        for group in self.param_groups:\n"
        '            group["calls"] = group.get("calls", 0) + 1\n'
        '            group["name"] = "mine"\n',
    )

    def groups(model):
        return torch.optim.SGD([{"params": model.parameters(), "name": "all"}], lr=0.02)

    with attached(counting, ADAM, execution=execution, groups=groups) as agent:
        run(agent, 2)
        agent.decide()
        run(agent, 3)
        counted = split(agent, "calls", "name")
        agent.decide()

        assert [(3, "all")] == counted
        assert [(None, "all")] == split(agent, "calls", "name")


def test_the_prompt_shows_the_groups_and_says_that_their_split_is_kept():
    with attached(DECAYING) as agent:
        run(agent, 2)
        agent.decide()
        asked = agent._decider._asked[0].chat.asked[0][0].content
    with agent_over(models.make("mlp"), DECAYING) as plain:
        run(plain, 2)
        plain.decide()
        told = plain._decider._asked[0].chat.asked[0][0].content

    assert "| 1 | 2 | 56 | 1 | 1 |" in asked
    assert "| 2 | 2 | 9 | 0.1 | 0 |" in asked
    assert "their split is kept" in asked
    assert "an option named `weight_decay`" in asked
    assert "their split" not in told
