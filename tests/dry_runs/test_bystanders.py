"""What an objective reaches besides the model is after a decision as before it."""

import copy
import functools
import types
import warnings
import weakref
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from dux_agent import attach
from dux_sandbox import dry_run
from dux_sandbox.dry_runs.reach import Reached
from tests import models
from tests.states import assert_same
from tests.swapping import SGD, after
from tests.talking import agent_over, run, scripted, sgd

EXECUTIONS = ("inline", "isolated")
REFUSED = after(2, 'p.fill_(float("nan"))')


class Judge(nn.Module):
    """The other half: batch norm moves buffers, the call counts and hooks itself."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.head = nn.Linear(1, 1)
        self.calls = 0
        self.seen = []
        self.register_buffer("last", None)

    def forward(self, inputs):
        self.calls += 1
        self.seen.append(self.calls)
        self.last = inputs.detach().mean()
        self.register_forward_hook(lambda *_: None)
        for parameter in self.parameters():
            parameter.register_hook(lambda gradient: gradient)
        return self.head(self.norm(inputs)).mean()


def loss_of(model, batch, judge):
    inputs, targets = batch
    outputs = model(inputs)
    return (outputs - targets).square().mean() + judge(outputs)


JUDGE = Judge()  # reached as a global
NAMES = types.ModuleType("names_of_a_user")


def through_global(judge):
    global JUDGE
    JUDGE = judge
    return lambda model, batch: loss_of(model, batch, JUDGE)


def through_closure(judge):
    return lambda model, batch: loss_of(model, batch, judge)


def through_function_in_function(judge):
    def inner(outputs):
        return judge(outputs)

    def objective(model, batch):
        return sum(loss_of(model, batch, each) for each in [inner])

    return objective


def through_default(judge):
    def objective(model, batch, judge=judge):
        return loss_of(model, batch, judge)

    return objective


def through_partial(judge):
    return functools.partial(loss_of, judge=judge)


def through_partial_of_method(judge):
    return functools.partial(Holder(judge).objective)


class Holder:
    def __init__(self, judge):
        self.nets = {"judge": [judge]}

    def objective(self, model, batch):
        return loss_of(model, batch, self.nets["judge"][0])

    def __call__(self, model, batch):
        return self.objective(model, batch)


class Slotted:
    __slots__ = ("judge",)

    def __init__(self, judge):
        self.judge = judge

    def __call__(self, model, batch):
        return loss_of(model, batch, self.judge)


@dataclass(frozen=True)
class Record:
    judge: nn.Module


def through_method(judge):
    return Holder(judge).objective


def through_callable(judge):
    return Holder(judge)


def through_slots(judge):
    return Slotted(judge)


def through_dataclass(judge):
    record = Record(judge)
    return lambda model, batch: loss_of(model, batch, record.judge)


def through_namespace(judge):
    held = types.SimpleNamespace(nets=(judge,))
    return lambda model, batch: loss_of(model, batch, held.nets[0])


def through_module_of_names(judge):
    NAMES.judge = judge
    return lambda model, batch: loss_of(model, batch, NAMES.judge)


def through_class_attribute(judge):
    class Config:
        net = judge

    return lambda model, batch: loss_of(model, batch, Config.net)


def through_weak_reference(judge):
    held = weakref.ref(judge)
    return lambda model, batch: loss_of(model, batch, held())


def through_decorator(judge):
    def decorated(function):
        @functools.wraps(function)
        def wrapper(model, batch):
            return function(model, batch, judge)

        return wrapper

    return decorated(loss_of)


def through_module_that_holds_it(judge):
    outer = nn.ModuleDict({"judge": judge})
    return lambda model, batch: loss_of(model, batch, outer["judge"])


WAYS = {
    name.removeprefix("through_"): value
    for name, value in list(globals().items())
    if name.startswith("through_")
}


def picture(module):
    """Everything of a module that training may depend on."""
    return {
        "state": copy.deepcopy(module.state_dict()),
        "gradients": [
            None if each.grad is None else (id(each.grad), each.grad.clone())
            for each in module.parameters()
        ],
        "needs": [each.requires_grad for each in module.parameters()],
        "memory": [each.data_ptr() for each in module.parameters()],
        "modes": [each.training for each in module.modules()],
        "hooks": [len(each._forward_hooks) for each in module.modules()],
        "tensor hooks": [
            len(each._backward_hooks or ()) for each in module.parameters()
        ],
        "plain": (getattr(module, "calls", None), list(getattr(module, "seen", ()))),
        "last": getattr(module, "last", None),
    }


def decided(objective, execution="inline", model=None, validate=None, **options):
    """An agent whose every proposal is refused, after one decision."""
    model = model or models.make("mlp")
    batch = models.batches()[0]
    lm = scripted(REFUSED, REFUSED + "# again\n")
    options = {"max_attempts": 2, "execution": execution, **options}
    with attach(
        model, sgd(model), objective, lm=lm, validate=validate, **options
    ) as agent:
        agent.observe(1.0, batch)
        decision = agent.decide()
    assert ("kept", 2) == (decision.verdict, len(decision.attempts))
    assert {"dry_run"} == {each["stage"] for each in decision.attempts}


def a_judge():
    torch.manual_seed(3)
    judge = Judge()
    judge(torch.randn(4, 1)).backward()  # gradients wait for the judge's own step
    judge.head.bias.grad = None
    return judge


@pytest.mark.parametrize("way", list(WAYS))
def test_the_other_half_of_a_training_is_left_as_it_was(way):
    judge = a_judge()
    objective = WAYS[way](judge)
    before = picture(judge)

    decided(objective)

    assert_same(before, picture(judge))


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("eval_mode", [False, True])
def test_it_is_in_either_execution_and_mode(execution, eval_mode):
    judge = a_judge().train(not eval_mode)
    before = picture(judge)

    decided(through_closure(judge), execution)

    assert_same(before, picture(judge))


def test_what_no_search_can_find_is_named_by_also():
    judge = a_judge()
    hidden = {"name": "judge_" + "of_some_name"}
    globals()[hidden["name"]] = judge
    before = picture(judge)

    decided(
        lambda model, batch: loss_of(model, batch, globals()[hidden["name"]]),
        also=judge,
    )

    del globals()[hidden["name"]]
    assert_same(before, picture(judge))


def test_also_wants_modules_or_tensors():
    with pytest.raises(ValueError, match="also holds a str; modules and tensors"):
        decided(models.objective, also=["judge"])


def test_validation_that_reaches_others_leaves_them_as_they_were():
    judge = a_judge()
    before = picture(judge)
    batch = models.batches()[0]

    def validate(model):
        judge.eval()
        with torch.enable_grad():
            judge(model(batch[0])).backward()
        judge.train()
        judge(model(batch[0]))
        return 1.0

    decided(models.objective, validate=validate)

    assert_same(before, picture(judge))


def test_a_teacher_that_the_objective_moves_is_put_back():
    judge = a_judge().requires_grad_(False)
    before = picture(judge)

    def objective(model, batch):
        for parameter in judge.parameters():
            parameter.data.mul_(0.9)
        judge.head.weight.data = judge.head.weight.data.clamp(-0.01, 0.01)
        judge.requires_grad_(True)
        return loss_of(model, batch, judge)

    decided(objective)

    assert_same(before, picture(judge))


def test_a_loose_weight_gets_no_gradient_of_a_dry_run():
    scale = nn.Parameter(torch.ones(()))
    scale.grad = torch.full((), 7.0)

    decided(lambda model, batch: models.objective(model, batch) * scale)

    assert 7.0 == float(scale.grad)


CALLS = 0


def counting_global():
    def objective(model, batch):
        global CALLS
        CALLS += 1
        return models.objective(model, batch) / CALLS

    return objective, lambda: CALLS


def counting_closure():
    calls = 0

    def objective(model, batch):
        nonlocal calls
        calls += 1
        return models.objective(model, batch) / calls

    return objective, lambda: calls


def counting_object():
    class Annealed:
        calls = 0

        def __call__(self, model, batch):
            self.calls += 1
            return models.objective(model, batch) / self.calls

    annealed = Annealed()
    annealed.calls = 5
    return annealed, lambda: annealed.calls


@pytest.mark.parametrize(
    "counting", [counting_global, counting_closure, counting_object]
)
def test_an_objective_that_counts_its_calls_counts_none_of_ours(counting):
    objective, count = counting()
    before = count()

    decided(objective)

    assert before == count()


class Collector:
    """What people hang on a layer to look at its activations."""

    def __init__(self):
        self.seen, self.by_name, self.mean = [], {"out": []}, torch.zeros(())

    def hook(self, module, inputs, output):
        value = output.detach().mean()
        self.seen.append(value)
        self.by_name["out"].append(value)
        self.mean.lerp_(value, 0.1)

    def told(self):
        return (len(self.seen), len(self.by_name["out"]), self.mean.item())


@pytest.mark.parametrize("how", ["method", "closure"])
def test_hooks_of_a_model_collect_nothing_of_ours(how):
    model, collector = models.make("mlp"), Collector()
    seen, by_name, mean = collector.seen, collector.by_name, collector.mean

    def closure(module, inputs, output):
        value = output.detach().mean()
        seen.append(value)
        by_name["out"].append(value)
        mean.lerp_(value, 0.1)

    def there():
        for each in model[0]._forward_hooks.values():
            return each.__self__ if how == "method" else collector

    model[0].register_forward_hook(collector.hook if how == "method" else closure)
    with agent_over(model, SGD) as agent:
        run(agent, 4)
        before = there().told()
        agent.decide()
        after_it = there().told()

    assert 4 == before[0]
    assert before == after_it


def test_what_a_validation_collects_is_its_users():
    told = []

    def validate(model):
        told.append(models.objective(model, models.batches()[0]).item())
        return told[-1]

    with agent_over(models.make("mlp"), SGD, validate=validate) as agent:
        before = len(told)
        run(agent, 2)
        agent.decide()

    assert before + 1 == len(told)


def test_an_objective_may_take_a_batch_apart():
    inputs, targets = models.batches()[0]
    batch = {"inputs": inputs.clone(), "labels": [targets.clone()]}
    model = models.make("mlp")

    def objective(model, batch):
        labels = batch.pop("labels").pop()
        return (model(batch["inputs"].mul_(0.5)) - labels).square().mean()

    with attach(model, sgd(model), objective, lm=scripted(SGD)) as agent:
        agent.observe(1.0, batch)
        decision = agent.decide()

    assert "applied" == decision.verdict
    assert torch.equal(inputs, batch["inputs"])
    assert torch.equal(targets, batch["labels"][0])


def test_an_objective_may_take_gradients_of_its_own():
    def residual(model, batch):
        inputs = batch[0].clone().requires_grad_()
        slopes = torch.autograd.grad(model(inputs).sum(), inputs, create_graph=True)[0]
        return (slopes - 1).square().mean()

    decided(residual)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_gan_with_an_agent_for_one_half_trains_as_without(execution):
    def train(with_agent):
        torch.manual_seed(5)
        maker, judge = models.make("mlp"), Judge()
        optimizer, other = sgd(maker), torch.optim.SGD(judge.parameters(), lr=0.01)

        def objective(model, batch):
            return -judge(model(batch[0]))

        agent = None
        if with_agent:
            agent = attach(
                maker,
                optimizer,
                objective,
                lm=scripted(REFUSED),
                every=3,
                max_attempts=1,
                execution=execution,
            )
            optimizer = agent.optimizer
        for step in range(8):
            batch = models.batches()[step % 3]
            other.zero_grad()
            (judge(maker(batch[0]).detach()) - judge(batch[1])).backward()
            optimizer.zero_grad()
            loss = objective(maker, batch)
            loss.backward()
            optimizer.step()
            if agent is not None:
                agent.observe(loss, batch)  # the judge's gradients wait meanwhile
            other.step()
        if agent is not None:
            assert 2 == len(agent.decisions)
            agent.close()
        return [*maker.state_dict().values(), *judge.state_dict().values()]

    assert all(map(torch.equal, train(False), train(True)))


def test_a_graph_that_waits_for_its_backward_pass_outlives_a_decision():
    judge = a_judge().eval()
    waiting = judge(torch.ones(2, 1, requires_grad=True))

    decided(through_closure(judge))
    waiting.backward()

    assert judge.head.weight.grad is not None


def test_a_bare_dry_run_keeps_the_others_too():
    judge = a_judge()
    before = picture(judge)
    model = models.make("mlp")

    dry_run(SGD, model, sgd(model), through_closure(judge), models.batches())

    assert_same(before, picture(judge))


def scripted_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1)))


def test_a_scripted_module_is_left_as_it_was():
    judge = scripted_module()
    before = picture(judge)

    def objective(model, batch):
        loss = loss_of(model, batch, lambda outputs: judge(outputs).mean())
        judge.eval()
        return loss

    decided(objective)

    assert_same(before, picture(judge))


@pytest.mark.parametrize("device", ["meta", "lazy"])
def test_a_module_without_data_is_in_nobodys_way(device):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        idle = nn.LazyLinear(2) if device == "lazy" else nn.Linear(1, 1, device="meta")

    decided(lambda model, batch: models.objective(model, batch) * (idle is not None))


def test_a_search_has_an_end_and_says_so():
    row = [[] for _ in range(500)]

    assert Reached([row]).whole
    assert not Reached([row], most=100).whole


def test_a_search_calls_nothing_of_the_users():
    class Loud:
        def __getattr__(self, name):
            raise AssertionError(name)

        @property
        def net(self):
            raise AssertionError("net")

        def __iter__(self):
            raise AssertionError("iter")

    class Strange(dict):
        def values(self):
            raise AssertionError("values")

    net = nn.Linear(1, 1)
    loud = Loud()
    vars(loud)["held"] = Strange(net=net)

    assert [net] == Reached([lambda: loud]).modules


@pytest.mark.parametrize("kind", ["generator", "loader", "list"])
def test_an_iterator_that_an_objective_reaches_is_told_at_attach(kind, caplog):
    batches = models.batches()
    more = {
        "generator": lambda: (each for each in batches),
        "loader": lambda: iter(DataLoader(batches, batch_size=None)),
        "list": lambda: iter(batches),
    }[kind]()
    held = {"more": more}

    def objective(model, batch):
        return models.objective(model, batch) + next(held["more"])[1].mean()

    model = models.make("mlp")
    attach(model, sgd(model), objective, lm=scripted(REFUSED)).close()

    (said,) = caplog.messages
    assert f"the objective reaches an iterator ({type(more).__name__})" in said


def test_files_and_what_the_user_wrote_are_not_told_as_iterators(caplog, tmp_path):
    class Numbers:
        def __init__(self):
            self.last = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.last += 1  # a plain value, and put back
            return self.last

    numbers, file = Numbers(), (tmp_path / "losses").open("w")

    def objective(model, batch):
        print(next(numbers), file=file)
        return models.objective(model, batch)

    model = models.make("mlp")
    with file:
        attach(model, sgd(model), objective, lm=scripted(REFUSED)).close()

    assert [] == caplog.messages
