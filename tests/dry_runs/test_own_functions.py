"""A copy of a model whose modules hold functions computes with its own weights."""

import functools
import pickle
import types
import weakref

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.errors import BadArgument
from dux_sandbox.dry_runs.scratch import clone_model
from tests import models
from tests.sources import SGD
from tests.talking import scripted, sgd


def closes_over(module):
    former = module.forward
    module.forward = lambda x: former(x)


def as_a_default(module):
    module.forward = lambda x, former=module.forward: former(x)


def as_a_named_default(module):
    def forward(x, *, former=module.forward):
        return former(x)

    module.forward = forward


def wrapped(module):
    def twice_wrapped(function):
        @functools.wraps(function)
        def inner(*given):
            return function(*given)

        return inner

    module.forward = twice_wrapped(twice_wrapped(module.forward))


def of_a_partial(module):
    former = functools.partial(type(module).forward, module)
    module.forward = lambda x: former(x)


def of_a_script(module):
    """What a notebook's cell leaves: the former one is a global."""
    space = {"former": module.forward}
    exec("def forward(x):\n    return former(x)", space)
    module.forward = space["forward"]


def calls_itself(module):
    weight = module.weight

    def forward(x, deep=2):
        if deep:
            return forward(x, deep - 1)
        return nn.functional.linear(x, weight, module.bias)

    module.forward = forward


def has_an_empty_cell(module):
    def forward(x):
        return former(x) if x is not None else later

    former = module.forward
    module.forward = forward
    if module is None:
        later = None


def of_a_list(module):
    former = [{"forward": (module.forward,)}]
    former[0]["all"] = former
    module.forward = lambda x: former[0]["forward"][0](x)


def in_a_list(module):
    former = module.forward
    module.each = [lambda x: former(x)]
    module.forward = types.MethodType(lambda self, x: self.each[0](x), module)


def in_a_dictionary(module):
    former = module.forward
    module.each = {"former": lambda x: former(x)}
    module.forward = types.MethodType(lambda self, x: self.each["former"](x), module)


def compiled(module):
    module.forward = torch.compile(module.forward, backend="eager")


def graphed(module):
    """As `torch.cuda.make_graphed_callables` leaves it, which needs a device."""

    def replays(function, graphed, orig_fwd):
        def new_fwd(*given):
            return graphed(*given) if function.training else orig_fwd(*given)

        new_fwd.__module__ = "torch.cuda.graphs"
        return new_fwd

    module.forward = replays(module, module.forward, module.forward)


def of_a_namespace(module):
    held = types.SimpleNamespace(former=module.forward, scale=1.0)
    held.itself = held
    module.forward = lambda x: held.itself.former(held.scale * x)


def cached(module):
    @functools.lru_cache(maxsize=2)
    def weights():
        return module

    former = type(module).forward
    module.forward = lambda x: former(weights(), x)


def held_cached(module):
    module.whose = functools.lru_cache(lambda: module)
    former = type(module).forward
    module.forward = types.MethodType(lambda self, x: former(self.whose(), x), module)


def partly(module):
    former = module.forward
    module.forward = functools.partial(
        lambda x, *, scale, of: of(scale(x)), scale=lambda x: x, of=lambda x: former(x)
    )


def weakly(module):
    whose, former = weakref.ref(module), type(module).forward
    module.forward = lambda x: former(whose(), x)


def holds_itself_weakly(module):
    module.whose, former = weakref.ref(module), type(module).forward
    module.forward = types.MethodType(lambda self, x: former(self.whose(), x), module)


def holds_a_proxy(module):
    vars(module)["whose"], former = weakref.proxy(module), type(module).forward
    module.forward = types.MethodType(lambda self, x: former(self.whose, x), module)


def called_before(module):
    former, module.forward = module.forward, lambda x: x
    module.register_forward_pre_hook(lambda _, given: (former(*given),))


def called_after(module):
    former = module.forward

    def hook(module, given, named, _):
        return former(*given, **named)

    module.forward = lambda x: x
    module.register_forward_hook(hook, with_kwargs=True)


def called_after_by_a_partial(module):
    former, module.forward = module.forward, lambda x: x
    hook = functools.partial(lambda of, _, given, __: of(*given), lambda x: former(x))
    module.register_forward_hook(hook)


def copies_itself(module):
    """By a `__deepcopy__` of its own, which takes no part of another's."""

    class Own(type(module)):
        def __deepcopy__(self, memo):
            twin = pickle.loads(saved)
            twin.load_state_dict(self.state_dict())
            vars(twin)["forward"] = self.forward
            return twin

    saved, former = pickle.dumps(module), module.forward
    module.__class__ = Own
    inner = list(module.modules())[-1]
    module.forward = lambda x, inner=inner: former(x) + 0 * inner.weight.sum()


KINDS = [
    *(of_a_namespace, cached, held_cached, partly, weakly, holds_itself_weakly),
    *(holds_a_proxy, called_before, called_after, called_after_by_a_partial),
    copies_itself,
    *(closes_over, as_a_default, as_a_named_default, wrapped, of_a_partial),
    *(of_a_script, calls_itself, has_an_empty_cell, compiled, graphed),
    *(of_a_list, in_a_list, in_a_dictionary),
]


@pytest.mark.parametrize("whole", [False, True], ids=["a layer", "the model"])
@pytest.mark.parametrize("change", KINDS, ids=lambda each: each.__name__)
def test_a_forward_of_its_own_computes_with_the_weights_of_the_copy(change, whole):
    if whole and change is calls_itself:
        pytest.skip("of a layer alone")
    model = models.mlp()
    change(model if whole else model[0])
    inputs, _ = models.batches(1)[0]
    expected = model(inputs)

    twin, _ = clone_model(model)
    same = twin(inputs)
    with torch.no_grad():
        for each in twin.parameters():
            each.mul_(2)
    other = twin(inputs)
    other.sum().backward()

    assert torch.equal(expected, same)
    assert not torch.allclose(expected, other)
    assert torch.equal(expected, model(inputs))
    assert all(each.grad is not None for each in twin.parameters())
    assert all(each.grad is None for each in model.parameters())


def test_a_function_that_reaches_no_module_is_the_same_one():
    model = models.mlp()
    scale = 3.0
    model.scaled = lambda x: scale * x

    twin, _ = clone_model(model)

    assert twin.scaled is model.scaled


class Keeper:
    """An object of the user's own that a function of the model works on."""

    def __init__(self, model):
        self.model = model

    def hook(self, module, given, output):
        return output + self.model[0].weight.sum()


def by_a_hook(model):
    keeper = Keeper(model)
    model.register_forward_hook(lambda *given: keeper.hook(*given))
    return models.objective


def by_the_objective(model):
    return lambda copy, batch: models.objective(copy, batch) + model[0].weight.sum()


@pytest.mark.parametrize("way", [by_a_hook, by_the_objective])
def test_a_copy_that_computes_with_live_weights_is_refused_in_words(way):
    model = models.mlp()
    objective, batch = way(model), models.batches(1)[0]

    with pytest.raises(BadArgument) as caught:
        attach(model, sgd(model), objective, lm=scripted(SGD), batch=batch)

    assert "live parameter 0.weight got a gradient" in str(caught.value)
    assert "pass clone=" in str(caught.value)
    assert model[0].weight.grad is None


def test_weights_that_are_another_modules_too_may_get_a_gradient_there():
    model, other = models.mlp(), models.mlp()
    other[0].weight = model[0].weight
    objective = lambda copy, batch: (  # noqa: E731
        models.objective(copy, batch) + models.objective(other, batch)
    )

    with attach(
        model, sgd(model), objective, lm=scripted(SGD), batch=models.batches(1)[0]
    ) as agent:
        assert agent.training.functions.objective_checked


def test_a_list_that_a_copy_shares_is_left_as_it_is():
    class Sharing(nn.Linear):
        def __deepcopy__(self, memo):
            twin = memo[id(self)] = Sharing(6, 1)
            twin.each = self.each
            return twin

    model = Sharing(6, 1)
    function = lambda x: model(x)  # noqa: E731
    model.each = [function]

    clone_model(nn.Sequential(model))

    assert [function] == model.each


def test_a_count_that_a_forward_keeps_is_the_copys_own():
    model, count = models.mlp(), 0
    former = model.forward

    def forward(x):
        nonlocal count
        count += 1
        return former(x)

    model.forward = forward
    twin, _ = clone_model(model)
    twin(torch.zeros(1, 6))

    assert 0 == count


def test_what_a_bound_method_was_made_with_follows_too():
    model = models.mlp()
    model[0].forward = types.MethodType(
        lambda self, x, weight=model[0].weight: nn.functional.linear(x, weight),
        model[0],
    )

    twin, _ = clone_model(model)

    assert twin[0].forward.__self__ is twin[0]
    assert twin[0].forward.__func__.__defaults__[0] is twin[0].weight


@pytest.mark.filterwarnings("ignore")
def test_a_model_whose_forward_is_compiled_is_tried_as_it_trains():
    model = models.mlp()
    compiled(model)

    with attach(
        model, sgd(model), models.objective, lm=scripted(SGD), every=4, max_attempts=1
    ) as agent:
        for batch in models.batches(5):
            agent.step(batch)

    assert ["applied"] == [each.verdict for each in agent.decisions]


def test_weights_that_nobody_trains_may_take_part():
    model = models.mlp()
    head = torch.optim.SGD(model[-1].parameters(), lr=0.01)
    batch = models.batches(1)[0]

    with attach(model, head, by_the_objective(model), lm=scripted(SGD), batch=batch):
        assert model[0].weight.grad is None
