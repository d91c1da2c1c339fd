"""What others hang on an optimizer goes on, whatever rule is live behind it."""

import copy
import pickle
from collections import defaultdict

import pytest
import torch
from torch.optim import optimizer as torch_optimizer

from dux_agent import attach
from dux_agent.live.swap import swap
from tests import models
from tests.loops import rules
from tests.swapping import MOMENTUM
from tests.talking import agent_over, run, scripted, sgd

both_modes = pytest.mark.parametrize("execution", ["inline", "isolated"])

HOOKS = {
    "step pre": ("register_step_pre_hook", lambda seen: lambda o, a, k: seen(o)),
    "step post": ("register_step_post_hook", lambda seen: lambda o, a, k: seen(o)),
    "save pre": ("register_state_dict_pre_hook", lambda seen: lambda o: seen(o)),
    "save post": (
        "register_state_dict_post_hook",
        lambda seen: lambda o, d: seen(o),
    ),
    "load pre": (
        "register_load_state_dict_pre_hook",
        lambda seen: lambda o, d: seen(o),
    ),
    "load post": (
        "register_load_state_dict_post_hook",
        lambda seen: lambda o: seen(o),
    ),
}


@both_modes
@pytest.mark.parametrize("name", list(HOOKS))
@pytest.mark.parametrize("where", ["base before", "base after", "live", "removed"])
def test_a_hook_fires_once_for_every_step_save_and_load(execution, name, where):
    register, hook_of = HOOKS[name]
    model = models.make("mlp")
    base = sgd(model)
    seen = []
    hook = hook_of(seen.append)
    if where in ("base before", "removed"):
        handle = getattr(base, register)(hook)
    options = {"lm": scripted(MOMENTUM), "execution": execution}
    with attach(model, base, models.objective, **options) as agent:
        live = agent.optimizer
        if where == "base after":
            getattr(base, register)(hook)
        if where == "live":
            getattr(live, register)(hook)
        if where == "removed":
            handle.remove()

        def rounds():
            before = len(seen)
            run(agent, 3)
            stepped = len(seen)
            kept = live.state_dict()
            saved = len(seen)
            live.load_state_dict(copy.deepcopy(kept))
            return stepped - before, saved - stepped, len(seen) - saved

        def whole_rounds():
            before = len(seen)
            kept = agent.state_dict()
            saved = len(seen)
            agent.load_state_dict(kept)
            return 0, saved - before, len(seen) - saved

        found = [rounds()]
        verdict = agent.decide().verdict
        after = len(seen)
        found.append(rounds())
        live.guard.breach("for the test")
        found.append(rounds())
        whole = whole_rounds()

    kind = name.split()[0]
    once = (3 * (kind == "step"), kind == "save", kind == "load")
    assert "applied" == verdict
    assert [(0, 0, 0) if where == "removed" else once] * 3 == found
    assert (0, *found[0][1:]) == whole
    assert all(each is live for each in seen)
    # A decision looks at the optimizer without stepping, saving or loading it.
    assert after == sum(found[0])


@both_modes
@pytest.mark.parametrize("when", ["first", "later"])
def test_a_step_that_is_rolled_back_fires_its_hooks_once(execution, when):
    last = 0 if when == "first" else 3
    fails = rules.CALLS.replace("self.t += 1", f"self.t += 1 + 0 // ({last} - self.t)")
    model = models.make("mlp")
    base = sgd(model)
    seen = []
    base.register_step_post_hook(lambda *_: seen.append("base"))
    world = [
        torch_optimizer.register_optimizer_step_pre_hook(
            lambda *_: seen.append("world before")
        ),
        torch_optimizer.register_optimizer_step_post_hook(
            lambda *_: seen.append("world after")
        ),
    ]
    try:
        with agent_over(model, MOMENTUM, execution=execution) as agent:
            agent.optimizer.register_step_post_hook(lambda *_: seen.append("live"))
            swap(agent.optimizer, fails)
            seen.clear()
            run(agent, 6)
            failed = agent.optimizer.running is agent.optimizer.base_rule
    finally:
        for handle in world:
            handle.remove()

    assert failed
    assert ["world before", "live", "world after"] * 6 == seen


@both_modes
def test_hooks_of_all_optimizers_fire_once_a_step_and_in_no_dry_run(execution):
    model = models.make("mlp")
    seen = []
    handle = torch_optimizer.register_optimizer_step_post_hook(
        lambda optimizer, a, k: seen.append(optimizer)
    )
    try:
        with agent_over(model, MOMENTUM, execution=execution) as agent:
            run(agent, 4)
            first = list(seen)
            agent.decide()
            decided = len(seen)
            run(agent, 4)
    finally:
        handle.remove()

    assert [agent.optimizer] * 4 == first
    assert 4 == decided
    assert [agent.optimizer] * 8 == seen


@both_modes
def test_a_pre_hook_may_still_change_what_a_step_is_called_with(execution):
    model = models.make("mlp")
    base = sgd(model)
    calls = []

    def closure():
        calls.append(1)
        loss = models.objective(model, models.batches()[0])
        loss.backward()
        return loss

    base.register_step_pre_hook(lambda optimizer, a, k: ((a[0], closure), {}))
    options = {"lm": scripted(MOMENTUM), "execution": execution}
    with attach(model, base, models.objective, **options) as agent:
        losses = []
        for step in range(6):
            if step == 3:
                swap(agent.optimizer, MOMENTUM)
            agent.optimizer.zero_grad()
            losses.append(float(agent.optimizer.step().detach()))

    assert 6 == len(calls)
    assert losses[-1] < losses[0]


class ScheduleFree(torch.optim.SGD):
    """Trains at one point and is evaluated at another, as schedule-free ones do."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
        self.mode = "train"
        self.momentum_of_average = 0.5

    @torch.no_grad()
    def _exchange(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                other = state.get("average")
                if other is None:
                    other = parameter.clone()
                state["average"] = parameter.detach().clone()
                parameter.copy_(other)

    def train(self):
        if self.mode != "train":
            self._exchange()
        self.mode = "train"

    def eval(self):
        if self.mode != "eval":
            self._exchange()
        self.mode = "eval"

    def step(self, closure=None):
        if self.mode != "train":
            raise RuntimeError("not in train mode when step is called")
        return super().step(closure)

    def first_step(self):
        return "climbed"


def modal(execution):
    model = models.make("mlp")
    options = {"lm": scripted(rules.CALLS), "accept": "finite", "execution": execution}
    base = ScheduleFree(model.parameters())
    return model, base, attach(model, base, models.objective, **options)


@both_modes
def test_methods_and_attributes_of_the_base_are_reached_while_it_is_live(execution):
    _, base, agent = modal(execution)
    with agent:
        live = agent.optimizer
        run(agent, 2)
        live.eval()
        evaluated = base.mode
        live.train()
        live.momentum_of_average = 0.25

        assert ("eval", "train") == (evaluated, live.mode)
        assert 0.25 == base.momentum_of_average == live.momentum_of_average
        assert "climbed" == live.first_step()
        with pytest.raises(AttributeError, match="nor has the ScheduleFree behind it"):
            live.second_step()


@both_modes
def test_a_method_of_the_base_says_why_it_cannot_be_had_while_a_rule_is_live(
    execution,
):
    _, base, agent = modal(execution)
    with agent:
        live = agent.optimizer
        run(agent, 2)
        agent.decide()

        assert not hasattr(live, "first_step")
        with pytest.raises(AttributeError, match="a generated rule is live") as caught:
            live.first_step()
        assert "'first_step' is a method of ScheduleFree" in str(caught.value)
        assert 0.5 == live.momentum_of_average
        live.guard.breach("for the test")
        assert "climbed" == live.first_step()


@both_modes
def test_train_and_eval_go_on_and_are_told_to_the_base_when_it_comes_back(execution):
    model, base, agent = modal(execution)
    with agent:
        live = agent.optimizer
        run(agent, 3)
        live.eval()
        verdict = agent.decide().verdict
        before = [each.detach().clone() for each in model.parameters()]
        live.train()
        live.eval()
        live.train()
        same = all(map(torch.equal, before, model.parameters()))
        run(agent, 3)
        mode = base.mode
        live.guard.breach("for the test")
        run(agent, 3)

    assert ("applied", True) == (verdict, same)
    assert ("eval", "train") == (mode, base.mode)


STATES = {
    "assigned": lambda live: setattr(live, "state", defaultdict(dict)),
    "by setstate": lambda live: live.__setstate__({"state": defaultdict(dict)}),
    "cleared": lambda live: live.state.clear(),
    "popped": lambda live: [live.state.pop(key) for key in list(live.state)],
    "entries cleared": lambda live: [entry.clear() for entry in live.state.values()],
    "deleted": lambda live: [live.state.__delitem__(key) for key in list(live.state)],
    "zeroed": lambda live: [entry["m"].zero_() for entry in live.state.values()],
    "zeroed by data": lambda live: [
        entry["m"].data.zero_() for entry in live.state.values()
    ],
    "put": lambda live: [
        live.state.__setitem__(each, {"m": torch.zeros_like(each)})
        for each in live.param_groups[0]["params"]
    ],
    "entries put": lambda live: [
        entry.update(m=torch.zeros_like(key)) for key, entry in live.state.items()
    ],
}


@both_modes
@pytest.mark.parametrize("name", list(STATES))
def test_the_state_can_be_reset_in_every_way(execution, name):
    model = models.make("mlp")
    with agent_over(model, MOMENTUM, execution=execution) as agent:
        run(agent, 2)
        swap(agent.optimizer, MOMENTUM)
        run(agent, 4)
        live = agent.optimizer
        full = len(live.state)
        STATES[name](live)
        left = [float(e["m"].abs().sum()) for e in live.state.values() if e]
        rule = live.running
        run(agent, 1)
        momenta = [live.state[each]["m"] for each in model.parameters()]
        gradients = [each.grad.clone() for each in model.parameters()]
        count = live.rule_state().attributes["t"]

        assert live.running is rule
    assert 4 == full
    assert not any(left)
    # One step after the reset the momentum is the gradient itself.
    assert all(map(torch.equal, gradients, momenta))
    assert 5 == count


def test_the_state_of_the_base_is_assigned_as_in_torch():
    model = models.make("mlp")
    with agent_over(model, MOMENTUM) as agent:
        run(agent, 2)
        fresh = defaultdict(dict)
        agent.optimizer.state = fresh
        run(agent, 1)

        assert agent.optimizer.base.state is fresh
        assert 4 == len(fresh)


@both_modes
def test_a_state_that_a_rule_cannot_have_is_refused_in_words(execution):
    model = models.make("mlp")
    stranger = torch.nn.Parameter(torch.ones(2))
    with agent_over(model, MOMENTUM, execution=execution) as agent:
        run(agent, 2)
        swap(agent.optimizer, MOMENTUM)
        run(agent, 2)
        live, first = agent.optimizer, next(model.parameters())
        before = live.rule_state().state

        for value, error, words in (
            (None, TypeError, "a dict by parameter was wanted"),
            ({stranger: {"m": 1}}, ValueError, "one of the optimizer's own parameters"),
            ({first: 3}, ValueError, "a int for parameter 0"),
            ({first: {"m": object()}}, ValueError, "numbers, strings, tensors"),
        ):
            with pytest.raises(error, match=words):
                live.state = value
        after = live.rule_state().state
        run(agent, 2)

        assert live.running.runs_here or live.running.pid
        assert before.keys() == after.keys()
        assert all(torch.equal(before[i]["m"], after[i]["m"]) for i in before)


def test_copies_of_an_isolated_rules_state_say_when_they_are_out_of_date():
    model = models.make("mlp")
    with agent_over(model, MOMENTUM, execution="isolated") as agent:
        run(agent, 2)
        swap(agent.optimizer, MOMENTUM)
        run(agent, 2)
        live, first = agent.optimizer, next(model.parameters())
        state = live.state
        entry, value = state[first], state[first]["m"].clone()
        assert live.state is state
        run(agent, 1)

        assert torch.equal(value, entry["m"])
        for write in (
            lambda: state.clear(),
            lambda: state.__setitem__(first, {}),
            lambda: entry.update(m=value),
            lambda: entry.pop("m"),
        ):
            with pytest.raises(RuntimeError, match="look up optimizer.state anew"):
                write()
        assert [{"m"}] * 4 == [set(each) for each in copy.deepcopy(state).values()]
        assert dict is type(pickle.loads(pickle.dumps(entry)))


@both_modes
def test_looking_at_the_state_changes_nothing(execution):
    finals = []
    for looks in (False, True):
        model = models.make("dropout")
        torch.manual_seed(2)
        with agent_over(model, MOMENTUM, execution=execution) as agent:
            run(agent, 2)
            swap(agent.optimizer, MOMENTUM)
            for step in range(6):
                run(agent, 1, first=step)
                if looks:
                    assert 4 == len(agent.optimizer.state)
                    agent.optimizer.state[next(model.parameters())]["m"].sum()
        finals.append([each.detach().clone() for each in model.parameters()])

    assert all(map(torch.equal, *finals))


@both_modes
@pytest.mark.parametrize("live_rule", [False, True])
def test_groups_that_are_assigned_give_their_options(execution, live_rule):
    model = models.make("mlp")
    with agent_over(model, MOMENTUM, execution=execution) as agent:
        live = agent.optimizer
        run(agent, 2)
        if live_rule:
            swap(live, MOMENTUM)
        own = live.param_groups
        new = [{**group, "lr": 0.125, "label": "mine"} for group in own]

        live.param_groups = new
        by_setstate = [{**group, "lr": 0.0625} for group in own]
        first = live.param_groups[0]["lr"]
        live.__setstate__({"param_groups": by_setstate})
        run(agent, 2)

        assert (0.125, 0.0625) == (first, live.param_groups[0]["lr"])
        assert "mine" == live.param_groups[0]["label"]
        assert live.param_groups[0] is own[0] is live.base.param_groups[0]
        for groups in ([], None, [{"params": list(model.parameters())[:2]}]):
            with pytest.raises(ValueError, match="call add_param_group for more"):
                live.param_groups = groups


@both_modes
def test_what_only_torchs_unpickling_would_set_is_refused(execution):
    model = models.make("mlp")
    with agent_over(model, MOMENTUM, execution=execution) as agent:
        with pytest.raises(TypeError, match="use load_state_dict"):
            agent.optimizer.__setstate__({"running": 1})
        assert isinstance(agent.optimizer, torch.optim.Optimizer)
        assert repr(agent.optimizer).startswith("DuxOptimizer (")
        assert "DuxOptimizer" == agent.optimizer.__class__.__name__


class Lookahead(torch.optim.SGD):
    """Keeps something beside its state, and saves it."""

    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        self.slow = {"count": 0}

    def step(self, closure=None):
        self.slow["count"] += 1
        return super().step(closure)

    def state_dict(self):
        return {**super().state_dict(), "slow": dict(self.slow)}

    def load_state_dict(self, state_dict):
        self.slow = dict(state_dict["slow"])
        super().load_state_dict(state_dict)


def test_what_a_base_saves_beside_its_state_comes_back():
    def made():
        model = models.make("mlp")
        return attach(
            model, Lookahead(model.parameters(), 0.02), models.objective, lm="offline"
        )

    with made() as one, made() as other:
        run(one, 5)
        kept = one.optimizer.state_dict()
        other.optimizer.load_state_dict(kept)
        run(other, 1)

        assert {"count": 5} == kept["slow"]
        assert {"count": 6} == other.optimizer.base.slow


COMPILED = {
    "a step": lambda agent, model: torch.compile(
        lambda: agent.optimizer.step(), backend="eager"
    ),
    "the method": lambda agent, model: torch.compile(
        agent.optimizer.step, backend="eager"
    ),
    "step and zero_grad": lambda agent, model: torch.compile(
        lambda: (agent.optimizer.step(), agent.optimizer.zero_grad())[0],
        backend="eager",
    ),
}


@both_modes
@pytest.mark.parametrize("name", list(COMPILED))
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_function_that_steps_goes_on_across_swap_and_rollback(
    execution, name
):
    torch.compiler.reset()
    model, twin = models.make("mlp"), models.make("mlp")
    for each, compiled in ((model, True), (twin, False)):
        with agent_over(each, MOMENTUM, execution=execution) as agent:
            step = COMPILED[name](agent, each) if compiled else agent.optimizer.step
            for index in range(12):
                batch = models.batches()[index % 3]
                agent.optimizer.zero_grad()
                loss = models.objective(each, batch)
                loss.backward()
                step()
                agent.observe(loss.detach(), batch)
                if index == 3:
                    agent.decide()
                if index == 8:
                    agent.optimizer.guard.breach("for the test")
            verdicts = [decision.verdict for decision in agent.decisions]
            assert ["rolled_back"] == verdicts
            assert "for the test" == agent.decisions[0].reason

    assert all(map(torch.equal, twin.parameters(), model.parameters()))


@both_modes
@pytest.mark.filterwarnings("ignore")
def test_a_whole_compiled_training_step_goes_on_across_a_swap(execution):
    torch.compiler.reset()
    model, twin = models.make("mlp"), models.make("mlp")
    for each, compiled in ((model, True), (twin, False)):
        with agent_over(each, MOMENTUM, execution=execution) as agent:

            def whole(batch, agent=agent, net=each):
                agent.optimizer.zero_grad()
                loss = models.objective(net, batch)
                loss.backward()
                agent.optimizer.step()
                return loss.detach()

            step = torch.compile(whole, backend="eager") if compiled else whole
            for index in range(9):
                batch = models.batches()[index % 3]
                agent.observe(step(batch), batch)
                if index == 3:
                    agent.decide()
            assert ["applied"] == [decision.verdict for decision in agent.decisions]

    for one, other in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_agent_step_trains_and_decides():
    torch.compiler.reset()
    model = models.make("mlp")
    with agent_over(model, MOMENTUM, every=4) as agent:
        step = torch.compile(agent.step, backend="eager")
        losses = [float(step(models.batches()[i % 3])) for i in range(12)]

        assert ["applied"] * 3 == [decision.verdict for decision in agent.decisions]
    assert losses[-1] < losses[0]
