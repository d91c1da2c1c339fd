"""`RunningRuleTestCase`: our kinds of execution and a stranger's keep it."""

import copy
import re
import sys
import unittest

import pytest
import torch

from dux_agent import attach, testing
from dux_agent.errors import BadArgument
from dux_sandbox.executions import EXECUTIONS, INLINE, ISOLATED, RECORDED, choose
from dux_sandbox.recorded.kernels.compiler import compiler
from tests import models
from tests.foreign_execution import Bare, BareRule
from tests.sources import MOMENTUM
from tests.talking import scripted, sgd


class TestInline(testing.RunningRuleTestCase):
    def make(self):
        return INLINE


@pytest.mark.skipif(sys.platform != "linux", reason="isolated rules need Linux")
class TestIsolated(testing.RunningRuleTestCase):
    def make(self):
        return ISOLATED


@pytest.mark.skipif(sys.platform != "linux", reason="recorded rules need Linux")
class TestRecorded(testing.RunningRuleTestCase):
    def make(self):
        return RECORDED


class TestAStrangers(testing.RunningRuleTestCase):
    def make(self):
        return Bare()


class Forgetful(BareRule):
    def restore(self, state):
        pass


class Deaf(BareRule):
    def bind(self, param_groups, owned=None):
        self.groups = [dict(each) for each in param_groups]


class Vague(BareRule):
    def step(self, closure=None, *, seconds=None):
        return self.torchs.step(closure)


class Moving(BareRule):
    def step(self, closure=None, *, seconds=None):
        loss = super().step(closure)
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
        return loss


class Keeping(BareRule):
    def hand_over(self):
        pass


class Piling(BareRule):
    def restore(self, state):
        for at, entry in state.state.items():
            self.torchs.state[self.parameters[at]] = copy.deepcopy(entry)
        vars(self.torchs).update(state.attributes)


class Lending(BareRule):
    def restore(self, state):
        self.torchs.state.clear()
        for at, entry in state.state.items():
            self.torchs.state[self.parameters[at]] = entry
        vars(self.torchs).update(state.attributes)


class Greedy(BareRule):
    def bind(self, param_groups, owned=None):
        self.groups = param_groups


class Open(BareRule):
    def fetch(self):
        for mine, theirs, _ in self.shared():
            mine.update(theirs)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Forgetful, "the step after restore"),
        (Deaf, "steps are not the source's own"),
        (Vague, "ValueError: no"),
        (Moving, "memory has moved"),
        (Keeping, "does not reach the bound groups"),
        (Piling, "restore.. leaves state that was not put back"),
        (Lending, "restore.. is to copy it"),
        (Greedy, "bind.. takes no account of which options"),
        (Open, "a rule meets options of the loop"),
    ],
)
def test_a_rule_that_breaks_a_promise_is_told_which(kind, words):
    class Broken(Bare):
        def build(self, source, groups, *, limits, seed, predecessor=None):
            rule = kind(source, groups)
            if predecessor is not None:
                rule.restore(predecessor.snapshot())
            return rule

    class Case(testing.RunningRuleTestCase):
        def make(self):
            return Broken()

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)

    told = [text for _, text in (*result.failures, *result.errors)]
    assert any(re.search(words, text) for text in told), told


@pytest.mark.parametrize("place", ["meta", "cpu"])
def test_auto_is_recorded_everywhere_and_inline_nowhere(monkeypatch, place):
    parameters = [torch.nn.Parameter(torch.ones(2, device=place))]

    on_linux = choose("auto", parameters)
    monkeypatch.setattr(sys, "platform", "darwin")
    elsewhere = choose("auto", parameters)

    assert RECORDED is on_linux
    assert RECORDED is elsewhere
    assert ISOLATED is choose("isolated", parameters)


@pytest.mark.parametrize(
    ("side", "name", "wanted"),
    [
        (2000, "auto", ISOLATED),
        (2000, "recorded", RECORDED),
        (20, "auto", RECORDED),
    ],
)
def test_without_a_compiler_auto_is_isolated_over_many_weights(
    monkeypatch, side, name, wanted
):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setitem(sys.modules, "ziglang", None)
    compiler.cache_clear()
    weights = torch.nn.Parameter(torch.empty(side, side))

    try:
        assert wanted is choose(name, [weights])
        assert RECORDED is choose("auto", [weights.to("meta")])
    finally:
        monkeypatch.undo()
        compiler.cache_clear()


def test_an_unknown_kind_is_refused_by_the_names_that_there_are(monkeypatch):
    with pytest.raises(ValueError, match="'auto', 'isolated', 'inline', 'recorded'"):
        choose("elsewhere", [])
    monkeypatch.setitem(EXECUTIONS, "bare", Bare())
    model = models.make("mlp")

    with pytest.raises(BadArgument, match="'recorded', 'bare' was wanted"):
        attach(model, sgd(model), models.objective, execution="elsewhere")


@pytest.mark.parametrize(
    ("entered", "wanted", "words"),
    [
        (Bare, "bare", "'bare'. is the class Bare; an instance was wanted"),
        (object(), "bare", "'bare'. is a object; an instance was wanted"),
        (Bare(), "mine", "'mine'. is a Bare of the name 'bare'; an instance was"),
        (Bare(), Bare(), "is a Bare of the name 'bare'; .*EXECUTIONS.*pass 'mine'"),
        (Bare(), Bare, "is the class Bare; .*EXECUTIONS.*pass 'mine'"),
        (Bare(), [], "is a list; .*EXECUTIONS.*pass 'mine'"),
        (Bare(), None, "is a NoneType; .*EXECUTIONS.*pass 'mine'"),
    ],
)
def test_what_is_no_kind_is_refused_in_words(monkeypatch, entered, wanted, words):
    name = wanted if isinstance(wanted, str) else "bare"
    monkeypatch.setitem(EXECUTIONS, name, entered)
    model = models.make("mlp")

    with pytest.raises(BadArgument, match=words):
        attach(model, sgd(model), models.objective, execution=wanted)


def test_one_entry_is_all_that_a_kind_of_ones_own_needs(monkeypatch):
    monkeypatch.setitem(EXECUTIONS, "bare", Bare())
    model, data = models.make("mlp"), models.batches(4)

    with attach(
        model,
        sgd(model),
        models.objective,
        lm=scripted(MOMENTUM, MOMENTUM),
        execution="bare",
    ) as agent:
        for _ in range(2):
            for batch in data:
                agent.step(batch)
            decision = agent.decide()
        live = agent.optimizer.running
        saved = agent.state_dict()["optimizer"]

    assert ("applied", BareRule) == (decision.verdict, type(live))
    assert decision.attempts[-1]["incumbent_losses"]  # the first one's, on a copy
    assert live.source == saved["param_groups"][0]["dux"]["source"]
