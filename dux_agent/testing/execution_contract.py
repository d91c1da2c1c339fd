"""What a kind of execution promises, as tests that anybody's inherits."""

import copy
from dataclasses import astuple

import torch
from torch import nn

from dux_agent.attaching import attach
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.swap import swap
from dux_agent.testing.executed_rules import RULE, gradient, step
from dux_agent.testing.rule_options_contract import RuleOptionsTestCase
from dux_sandbox.executions import EXECUTIONS, Execution
from dux_sandbox.findings import RuleFailed, SourceRejected, digest_of
from dux_sandbox.limits import Limits
from dux_sandbox.running_rule import ParamGroups, RunningRule, StepCost

_COUNTED = "        self.taken += 1\n"


class RunningRuleTestCase(RuleOptionsTestCase):
    """Tries the rules of one kind of execution; for pytest and unittest alike.

        class TestMine(RunningRuleTestCase):
            def make(self):
                return MyExecution()

    Attributes:
        tolerance: how far a weight may be from that of the source's own arithmetic.
    """

    __test__ = False  # itself, where a module of tests imports it
    nothing_to_try = "there is no execution to try; inherit it and make one"

    def test_it_has_a_name_and_says_what_speaks_against_it(self) -> None:
        kind = self.make()

        self.assertTrue(kind.name.isidentifier(), "its name must be one word")
        self.assertIsNone(
            kind.reason_against(self.parameters()),
            "something speaks against the parameters that it is tried with",
        )

    def test_a_rule_says_what_it_is(self) -> None:
        rule, _ = self.rule(self.parameters())

        self.assertEqual((RULE, digest_of(RULE)), (rule.source, rule.digest))
        self.assertEqual([{"lr": 0.1, "momentum": 0.5}] * 2, rule.options)
        self.assertEqual([{"lr", "momentum"}] * 2, rule.owned)
        self.assertEqual((True, False), (rule.takes_closure, rule.requires_closure))
        self.assertEqual(0.1, rule.defaults["lr"])
        self.assertFalse(rule.carry)
        self.assertIsInstance(rule.runs_here, bool)

    def test_steps_are_those_of_the_source_in_the_same_memory(self) -> None:
        parameters = self.parameters()
        expected, places = copy.deepcopy(parameters), [p.data_ptr() for p in parameters]
        rule, groups = self.rule(parameters)

        groups[0]["lr"] = 0.02  # a group's options are read at every step
        step(rule, parameters, 3)

        velocity = [torch.zeros_like(p) for p in expected]
        for number in range(3):
            for index, rate in ((0, 0.02), (1, 0.1)):
                velocity[index].mul_(0.5).add_(gradient(expected[index], number))
                expected[index].data.add_(velocity[index], alpha=-rate)
        self._near(expected, parameters, "steps are not the source's own")
        self.assertEqual(places, [p.data_ptr() for p in parameters], "memory has moved")

    def test_what_has_no_gradient_is_left_alone(self) -> None:
        parameters = self.parameters()
        rule, _ = self.rule(parameters)
        before = copy.deepcopy(parameters)
        parameters[0].grad = gradient(parameters[0], 0)

        self.assertEqual([True, False, False], rule.gradients_present())
        rule.step()

        self._near(before[1:], parameters[1:], "a parameter without a gradient moved")
        self.assertEqual([parameters[0]], list(rule.state_by_parameter()))
        rule.zero_grad()
        self.assertEqual([False] * 3, rule.gradients_present())
        self.assertIsNone(parameters[0].grad)

    def test_what_was_learned_is_fetched_and_put_back(self) -> None:
        parameters = self.parameters()
        rule, _ = self.rule(parameters)
        step(rule, parameters, 2)
        learned, weights = rule.snapshot(), copy.deepcopy(parameters)
        step(rule, parameters, 1)
        after = copy.deepcopy(parameters)

        rule.restore(learned)
        put_back(parameters, weights)
        rule.rest()  # another rule was live meanwhile
        step(rule, parameters, 1)

        self._near(after, parameters, "the step after restore() is another one")
        self.assertEqual({"taken": 2}, learned.attributes)
        kept, again = rule.state_by_parameter(), rule.snapshot().state
        self.assertEqual({0, 1}, set(again))
        for index in again:
            found = kept[parameters[index]]["velocity"]
            self._near([again[index]["velocity"]], [found], "two accounts of its state")

    def test_what_is_put_back_replaces_all_and_stays_as_it_was(self) -> None:
        parameters = self.parameters()
        rule, _ = self.rule(parameters)
        nothing = rule.snapshot()
        step(rule, parameters, 2)
        learned = rule.snapshot()
        before = copy.deepcopy(learned.state)

        rule.restore(learned)
        step(rule, parameters, 1)

        for index, entry in before.items():
            self._near(
                [entry["velocity"]],
                [learned.state[index]["velocity"]],
                "a step writes to the state that was put back; restore() is to copy it",
            )
        rule.restore(nothing)
        self.assertEqual(
            nothing,
            rule.snapshot(),
            "restore() leaves state that was not put back; it is to clear it first",
        )

    def test_a_successor_goes_on_from_what_its_predecessor_has_learned(self) -> None:
        parameters = self.parameters()
        rule, _ = self.rule(parameters)
        step(rule, parameters, 2)
        others = copy.deepcopy(parameters)

        successor, _ = self.rule(others, predecessor=rule)
        step(rule, parameters, 1)
        step(successor, others, 1)

        self._near(parameters, others, "the successor's step is another one")

    def test_a_closure_is_evaluated_and_its_loss_returned(self) -> None:
        parameters = self.parameters()
        rule, _ = self.rule(parameters)

        def closure() -> torch.Tensor:
            parameters[0].grad = gradient(parameters[0], 0)
            return torch.tensor(0.25)

        def failing() -> torch.Tensor:
            raise KeyError("the caller's own")

        self.assertEqual(0.25, float(rule.step(closure)))
        with self.assertRaisesRegex(KeyError, "the caller's own"):
            rule.step(failing)

    def test_a_fault_of_a_rule_is_a_finding_and_nothing_else(self) -> None:
        parameters = self.parameters()
        source = RULE.replace(_COUNTED, "        raise ValueError('no')\n")
        rule, _ = self.rule(parameters, source)
        with self.assertRaises(RuleFailed):
            step(rule, parameters, 1)
        with self.assertRaises(SourceRejected):
            self.rule(self.parameters(), "import os\n" + RULE)
        with self.assertRaises(RuleFailed):
            source = RULE.replace("self.taken = 0", "self.taken = 1 // 0")
            self.rule(self.parameters(), source)

    def test_its_cost_is_told_and_it_ends_twice(self) -> None:
        parameters = self.parameters()
        rule, _ = self.rule(parameters)
        for number in range(3):
            step(rule, parameters, 1, first=number, seconds=60.0)

        self.assertIsInstance(rule.cost, StepCost)
        self.assertTrue(all(each >= 0 for each in astuple(rule.cost)), rule.cost)
        rule.close()
        rule.close()

    def test_it_is_live_and_gives_way_again(self) -> None:
        model = nn.Linear(3, 2)
        base = torch.optim.SGD(model.parameters(), lr=0.1)
        live = DuxOptimizer(base, model=model, build=self._build)
        self.addCleanup(live.close)

        swap(live, RULE, losses=[1.0] * 8)
        train(live, model, 2)
        saved = copy.deepcopy(live.state_dict())
        self.assertEqual(digest_of(RULE), live.running.digest)
        weights = copy.deepcopy(list(model.parameters()))
        train(live, model, 1)
        after = copy.deepcopy(list(model.parameters()))
        live.guard.breach("to see it end")
        self.assertIs(live.base_rule, live.running)

        put_back(list(model.parameters()), weights)
        live.load_state_dict(saved)
        train(live, model, 1)

        self._near(after, list(model.parameters()), "it goes on otherwise from a save")

    def test_an_agent_decides_with_it(self) -> None:
        kind, model = self.make(), nn.Linear(3, 2)
        before = EXECUTIONS.get(kind.name)
        EXECUTIONS[kind.name] = kind
        self.addCleanup(_put, kind.name, before)
        for each in model.parameters():
            nn.init.ones_(each)  # whatever was drawn before: far from the least loss
        with attach(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            lambda net, batch: net(batch).square().mean(),
            execution=kind.name,
        ) as agent:
            for _ in range(2):
                for _ in range(3):
                    agent.step(torch.ones(4, 3))
                decision = agent.decide()  # the second has a rule to compare with

            self.assertEqual("applied", decision.verdict, decision.reason)
            self.assertTrue(decision.attempts[-1]["incumbent_losses"])

    def _build(self, source: str, groups: ParamGroups) -> RunningRule:
        return self.make().build(source, groups, limits=Limits(), seed=0)


def _put(name: str, kind: Execution | None) -> None:
    if kind is None:
        del EXECUTIONS[name]
    else:
        EXECUTIONS[name] = kind


@torch.no_grad()
def put_back(parameters: list[nn.Parameter], values: list[nn.Parameter]) -> None:
    """Copy these values into the parameters, in place."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


def train(live: torch.optim.Optimizer, model: nn.Module, steps: int) -> None:
    """Train a model towards zero on one batch."""
    for _ in range(steps):
        live.zero_grad()
        model(torch.ones(4, 3)).square().mean().backward()
        live.step()
