"""`copy`, `heapq`, `operator`, `random` and products of the Hessian, written out."""

import heapq

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.language import heap_functions
from dux_sandbox.limits import Limits
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests import models
from tests.executions import both
from tests.language.test_given_groups import rule, stepped
from tests.talking import agent_over

_INIT = "params, lr=0.5\nsuper().__init__(params, dict(lr=lr))"
_TOP = """
import copy, functools, heapq
import copy as copies, operator, random, statistics
from copy import deepcopy
from operator import mul as times
from random import random as draw, seed
from statistics import median
random.seed(0)
"""
SAME = {
    "a tensor": "x = copy.deepcopy(p.grad)\np.grad.zero_()\np.sub_(x * 0.5)",
    "a parameter": "x = deepcopy(p)\np.sub_(p.grad * 0.5)\nassert (x == 0).all()",
    "a list of dicts": "held = [{'a': (1, {2}), 'b': p.grad}]\n"
    "x = copies.deepcopy(held)\nheld[0]['b'] = None\np.sub_(x[0]['b'] * 0.5)\n"
    "assert x[0]['a'] == (1, {2})",
    "plain values": "x = [copy.copy(v) for v in (1, 0.5, None, 'a', p.dtype)]\n"
    "assert x[3] == 'a'\np.sub_(p.grad * x[1])",
    "groups": "x = copy.deepcopy(self.param_groups)\n"
    "p.sub_(p.grad * x[0]['lr'])\nassert (x[0]['params'][0] == 0).all()",
    "a shallow copy": "held = [p.grad]\nx = copy.copy(held)\nx.append(1)\n"
    "p.sub_(held[-1] * 0.5)",
    "operators": "n = functools.reduce(operator.mul, p.shape, 1)\n"
    "p.sub_(times(p.grad, operator.truediv(n, 2 * n)))",
    "an item": "p.sub_(p.grad * operator.itemgetter('lr')(group))",
    "several items": "x, y = operator.itemgetter('lr', 'params')(group)\n"
    "assert y is group['params']\np.sub_(p.grad * x)",
    "averages": "x = [3.0, 1.0, 2.0, 8.0]\n"
    "assert statistics.mean(x) == statistics.fmean(iter(x)) == 3.5\n"
    "assert median(x) == 2.5 and median(x[:3]) == 2.0\n"
    "assert (statistics.median_low(x), statistics.median_high(x)) == (2.0, 3.0)\n"
    "try:\n    statistics.mean([])\n"
    "except ValueError:\n    p.sub_(p.grad * 0.5)",
    "deviations": "x = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]\n"
    "assert statistics.pvariance(x) == 4.0 and statistics.pstdev(x) == 2.0\n"
    "assert abs(statistics.variance(x) - 32 / 7) < 1e-12\n"
    "assert abs(statistics.stdev(x) - (32 / 7) ** 0.5) < 1e-12\n"
    "p.sub_(p.grad * 0.5)",
    "a heap": "x = [5, 2, 8]\nheapq.heapify(x)\nheapq.heappush(x, 1)\n"
    "assert heapq.heappop(x) == 1 and heapq.heappushpop(x, 9) == 2\n"
    "assert heapq.heapreplace(x, 0) == 5 and heapq.heappushpop(x, -1) == -1\n"
    "assert heapq.nlargest(2, x) == [9, 8] and heapq.nsmallest(1, x) == [0]\n"
    "p.sub_(p.grad * 0.5)",
    "numbers at random": "assert 0 <= draw() < 1 <= random.uniform(1, 2) <= 2\n"
    "assert random.randint(1, 6) in range(1, 7)\nrandom.gauss(0.0, 1.0)\n"
    "p.sub_(p.grad * 0.5)",
    "items at random": "x = [1, 2, 3]\nrandom.shuffle(x)\n"
    "assert sorted(x) == [1, 2, 3]\n"
    "assert len(set(random.sample(x, 2))) == 2 and random.choice(x) in x\n"
    "p.sub_(p.grad * 0.5)",
    "numbers of a seed": "one, two = random.Random(3), random.Random(3)\n"
    "assert [one.random() for _ in range(9)] == [two.random() for _ in range(9)]\n"
    "assert 1 <= one.uniform(1, 2) <= 2 and one.randint(1, 6) in range(1, 7)\n"
    "assert one.choice([4]) == 4 and one.randrange(3) < 3 and one.gauss() < 99\n"
    "assert one.sample([1], 1) == [1]\nx = [2, 1]\none.shuffle(x)\n"
    "assert sorted(x) == [1, 2] and one.normalvariate(0.0, 1.0) < 99\n"
    "assert random.Random().random() < 1\np.sub_(p.grad * 0.5)",
}


def with_lines(lines, top=_TOP):
    return rule(_INIT, each=lines.replace("\n", "\n" + " " * 20), before=top)


@both
@pytest.mark.parametrize("name", list(SAME))
def test_a_written_out_function_does_what_pythons_does(name, execution):
    assert [[-0.5]] == stepped(with_lines(SAME[name]), execution, [[(2, 2)]])


REFUSED = {
    "another name of the module": ("import operator", "operator.attrgetter('a.b')(p)"),
    "another name, from it": ("from operator import methodcaller", "methodcaller('x')"),
    "a generator of numbers": ("import random", "random.SystemRandom()"),
    "the module itself": ("import copy", "f = copy\nf.deepcopy(p)"),
    "its dict": ("import copy", "copy.deepcopy.__globals__"),
    "its insides": ("import random", "random._os.system('true')"),
    "an import inside": ("", "import copy\ncopy.copy(p)"),
    "a star inside": ("", "from torch import *"),
    "a star of another package": ("from os import *", "system('true')"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_else_a_module_holds_is_refused_by_reading(name):
    assert not check(with_lines(REFUSED[name][1], REFUSED[name][0])).ok


RAISING = {
    "an object": "copy.deepcopy(self)",
    "an optimizer": "copy.copy(torch.optim.SGD([p], lr=0.1))",
    "a text without end": "functools.reduce(operator.mul, ['a'] + [9999] * 9)",
    "a number without end": "functools.reduce(operator.pow, [9] * 9)",
    "a list in itself": "x = []\nx.append(x)\ncopy.deepcopy(x)",
    "too many numbers": "random.sample(range(5), 10)",
    "a range without end": "random.randrange(10 ** 12)",
}


@both
@pytest.mark.parametrize("name", list(RAISING))
def test_what_a_written_out_function_may_not_do_raises(name, execution):
    with pytest.raises(Exception, match=r"available|at most|larger|recursion|bits"):
        stepped(with_lines(RAISING[name]), execution, [[(2, 2)]])


def test_a_name_that_the_source_binds_itself_stays_its_own():
    source = with_lines("copy = p.grad\np.sub_(copy * 0.5)", "from copy import copy")

    assert not check(source).ok  # one name for two things: it is not resolved


STARS = {
    "from torch.optim import *": ("torch.optim", "assert Adam"),
    "from math import *": ("math", "assert sqrt(4) == 2"),
    "from torch import *": ("torch", "assert zeros_like(p).sum() == 0"),
    "from typing import *": ("typing", "x: Optional[int] = None"),
}


@pytest.mark.parametrize("star", STARS)
def test_a_star_brings_what_the_source_reads(star):
    source = with_lines(f"{STARS[star][1]}\np.sub_(p.grad * 0.5)", star)

    assert [[-0.5]] == stepped(source, "inline", [[(2, 2)]])


def test_a_class_of_the_source_is_not_what_a_star_would_bring():
    source = with_lines(
        "p.sub_(Adam())", "from torch.optim import *\ndef Adam():\n    return 0.5"
    )

    assert [[-0.5]] == stepped(source, "inline", [[(2, 2)]])


_HESSIAN = """
import torch
{top}

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.05):
        super().__init__(params, dict(lr=lr))
        for p in self.get_params():
            p.hess = 0.0

    def get_params(self):
        return (p for group in self.param_groups for p in group["params"])

    @torch.no_grad()
    def set_hessian(self):
        params = [p for p in self.get_params() if p.grad is not None]
        for p in params:
            if p.grad.grad_fn is None:
                raise RuntimeError("create_graph=True")
        zs = [torch.ones_like(p) for p in params]
        products = {grad}([p.grad for p in params], params, {vectors})
        for p, z, product in zip(params, zs, products):
            p.hess = product * z

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            loss = closure()
        self.set_hessian()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.addcdiv_(p.grad, p.hess.abs() + 1.0, value=-group["lr"])
        return loss
"""
FORMS = {
    "by keyword": ("", "torch.autograd.grad", "grad_outputs=zs, only_inputs=True"),
    "by place": ("", "torch.autograd.grad", "zs, retain_graph=True"),
    "by name": ("from torch.autograd import grad", "grad", "grad_outputs=zs"),
}


def hessian_rule(form="by keyword"):
    top, grad, vectors = FORMS[form]
    return _HESSIAN.format(top=top, grad=grad, vectors=vectors)


@pytest.mark.parametrize("form", FORMS)
def test_a_product_of_the_hessian_is_that_of_autograd(form):
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(3, 2, dtype=torch.float64))
    made = load(hessian_rule(form))([weight], lr=0.0)

    @torch.enable_grad()
    def closure():
        made.zero_grad()
        loss = (weight.sum(0) ** 3).sum() + weight.prod()
        loss.backward(retain_graph=True)
        return loss

    (slope,) = torch.autograd.grad(closure(), weight, create_graph=True)
    exact = torch.autograd.grad(slope, weight, torch.ones_like(weight))[0]
    before = weight.detach().clone()
    made.step(closure)

    assert torch.allclose(exact, made.hess_by_parameter[weight], rtol=1e-5)
    assert torch.equal(before, weight)
    assert torch.equal(slope, weight.grad)


SUMMED = {
    "one for each": "products = [torch.autograd.grad((p.grad * z).sum(), p,"
    " retain_graph=True)[0] for p, z in zip(params, zs)]",
    "by torch.sum": "products = [torch.autograd.grad(torch.sum(p.grad * z), p)[0]"
    " for p, z in zip(params, zs)]",
    "of all": "products = torch.autograd.grad(sum((p.grad * z).sum()"
    " for p, z in zip(params, zs)), params)",
    "of a list": "slopes = [p.grad for p in params]\n        products = "
    "torch.autograd.grad(sum([(g * z).sum() for g, z in zip(slopes, zs)]), params)",
}


def curved(first, second):
    return (first**3).sum() + (first * second).sum() ** 2


def stepped_on_a_curve(source, held):
    """A rule over these parameters, after one step with a closure of `curved`."""
    made = load(source)(held, lr=0.0)

    @torch.enable_grad()
    def closure():
        made.zero_grad()
        loss = curved(*held)
        loss.backward()
        return loss

    made.step(closure)
    return made


SQUARES = {
    "times itself": "(p.grad * p.grad).sum()",
    "to the power": "p.grad.pow(2).sum()",
    "by two stars": "torch.sum(p.grad ** 2)",
    "squared": "torch.square(p.grad).sum()",
}


@pytest.mark.parametrize("form", SQUARES)
@pytest.mark.parametrize("kept", [True, False])
def test_the_slope_of_squared_gradients_has_twice_the_gradients_as_vectors(form, kept):
    torch.manual_seed(0)
    held = [torch.nn.Parameter(torch.randn(3, dtype=torch.float64)) for _ in "ab"]
    total = f"sum({SQUARES[form]} for p in params)"
    taken = f"total = {total}\n        " if kept else ""
    source = hessian_rule().replace(
        "torch.autograd.grad([p.grad for p in params], params, grad_outputs=zs,"
        " only_inputs=True)",
        f"None\n        {taken}products = torch.autograd.grad("
        f"{'total' if kept else total}, params, retain_graph=False)",
    )
    made = stepped_on_a_curve(source, held)

    slopes = torch.autograd.grad(curved(*held), held, create_graph=True)
    exact = torch.autograd.grad(sum(each.square().sum() for each in slopes), held)
    for weight, expected in zip(held, exact, strict=True):
        assert torch.allclose(expected, made.hess_by_parameter[weight], rtol=1e-5)


@pytest.mark.parametrize("form", SUMMED)
def test_the_slope_of_a_sum_of_gradients_is_such_a_product(form):
    torch.manual_seed(0)
    held = [torch.nn.Parameter(torch.randn(3, dtype=torch.float64)) for _ in "ab"]
    source = hessian_rule().replace(
        "torch.autograd.grad([p.grad for p in params], params, grad_outputs=zs,"
        " only_inputs=True)",
        "None\n        " + SUMMED[form],
    )
    made = stepped_on_a_curve(source, held)

    for at, weight in enumerate(held):
        # Each by itself is a product with its own block of the Hessian.
        among = held if form.startswith("of") else [weight]
        slopes = torch.autograd.grad(curved(*held), among, create_graph=True)
        exact = torch.autograd.grad(sum(each.sum() for each in slopes), weight)[0]
        assert torch.allclose(exact, made.hess_by_parameter[weight], rtol=1e-5), at


# Vectors that torch would differentiate too, and such as are numbers to it.
DEPENDENT = {
    "its direction": "v = g / g.norm()",
    "by way of a name": "w = g * 2; v = w + p",
    "on the left": "v = g; g = v / v.norm()",
    "a part": "v = torch.where(g > 0, g, p)",
    "of the weights": "v = p - 1.0",
    "by its own name": "v = p.grad / p.grad.norm()",
}
NUMBERS = {
    "cut off": "v = (g / g.norm()).detach()",
    "drawn": "v = torch.randn_like(g)",
    "of data": "v = g.data * 2",
    "of a state": "v = self.state[p]['v']",
}


def product_with(line):
    return hessian_rule().replace(
        "torch.autograd.grad([p.grad for p in params], params, grad_outputs=zs,"
        " only_inputs=True)",
        "None\n        p = params[0]; g = p.grad; "
        f"{line}\n        products = torch.autograd.grad((g * v).sum(), [p])",
    )


@pytest.mark.parametrize("line", DEPENDENT.values(), ids=DEPENDENT)
def test_a_vector_with_a_graph_of_its_own_is_refused(line):
    report = check(product_with(line))

    assert ["attribute"] == [each.rule for each in report.findings]
    assert "torch.autograd.grad" in report.findings[0].message
    assert "detach() them" in report.findings[0].instead


@pytest.mark.parametrize("line", NUMBERS.values(), ids=NUMBERS)
def test_a_vector_of_numbers_is_taken(line):
    assert check(product_with(line)).ok


@pytest.mark.parametrize("line", [*DEPENDENT.values(), *NUMBERS.values()])
def test_a_vector_that_is_handed_over_is_looked_at_where_it_comes_from(line):
    source = hessian_rule().replace(
        "torch.autograd.grad([p.grad for p in params], params, grad_outputs=zs,"
        " only_inputs=True)",
        f"None\n        p = params[0]; g = p.grad; {line}\n"
        "        products = self.product(g, p, vector=v)",
    )
    source += """
    def product(self, slope, at, vector):
        return torch.autograd.grad((slope * vector).sum(), [at])
"""

    assert (line in NUMBERS.values()) == check(source).ok


def test_vectors_of_gradients_in_a_list_are_refused():
    listed = """slopes = [p.grad for p in params]
        vectors = []
        for each in slopes:
            vectors.append(each / each.norm())
        total = sum((g * v).sum() for g, v in zip(slopes, vectors))
        products = torch.autograd.grad(total, params)"""
    source = hessian_rule().replace(
        "torch.autograd.grad([p.grad for p in params], params, grad_outputs=zs,"
        " only_inputs=True)",
        f"None\n        {listed}",
    )

    assert not check(source).ok
    assert check(
        source.replace("each.norm()", "each.norm()).detach()").replace(
            "append(each", "append((each"
        )
    ).ok


OF_LOSS = {
    "alone": "slopes = torch.autograd.grad(loss, params)",
    "with a graph": "slopes = torch.autograd.grad(loss, params, create_graph=True)",
    "by keyword": "slopes = torch.autograd.grad(loss, inputs=params)",
}


@both
@pytest.mark.parametrize("form", OF_LOSS)
def test_gradients_of_a_closures_loss_are_those_that_it_left(form, execution):
    source = f"""
import torch

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.25):
        super().__init__(params, dict(lr=lr))

    def step(self, closure):
        loss = closure()
        params = [p for group in self.param_groups for p in group["params"]]
        {OF_LOSS[form]}
        with torch.no_grad():
            for p, slope in zip(params, slopes):
                p.sub_(slope, alpha=self.param_groups[0]["lr"])
        return loss
"""
    weight = torch.nn.Parameter(torch.ones(2))
    groups = [{"params": [weight]}]
    built = EXECUTIONS[execution].build(source, groups, limits=Limits(), seed=0)
    groups[0].update(built.options[0])
    built.bind(groups)

    def closure():
        weight.grad = None
        loss = weight.square().sum()
        loss.backward()
        return loss

    built.step(closure)
    built.close()

    assert torch.equal(torch.full((2,), 0.5), weight.detach())


@pytest.mark.parametrize(
    "line",
    [
        "torch.autograd.grad(loss * 2, params)",
        "torch.autograd.grad(p.sum(), params)",
        "torch.autograd.backward(loss)",
        "torch.autograd.functional.hessian(closure, params)",
    ],
)
def test_any_other_derivative_is_refused_or_fails(line):
    source = hessian_rule().replace("self.set_hessian()", f"params = []; {line}")

    assert not check(source).ok


def test_such_a_rule_without_a_closure_is_told_what_it_needs():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)

    with pytest.raises(RuntimeError, match=r"step\(closure\)"):
        load(hessian_rule())([weight]).step()


def test_what_are_no_gradients_is_not_differentiated():
    source = hessian_rule().replace(
        "[p.grad for p in params], p", "[p * 2 for p in params], p"
    )
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)

    with pytest.raises(NotImplementedError, match="of gradients"):
        load(source)([weight]).step(lambda: 1.0)


@both
def test_a_rule_of_second_order_steps_a_live_training(execution):
    model = models.make("mlp")
    batches = models.batches()
    with agent_over(model, hessian_rule(), execution=execution) as agent:

        def closure():
            agent.optimizer.zero_grad()
            loss = models.objective(model, batches[0])
            loss.backward()
            return loss

        for step in range(4):
            if step == 2:
                assert "applied" == agent.decide().verdict
            before = [p.detach().clone() for p in model.parameters()]
            agent.optimizer.step(closure)
            agent.observe(1.0, batches[0])

    assert not any(map(torch.equal, before, model.parameters()))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("push pop both over".split()), st.integers()))
)
def test_a_heap_gives_what_pythons_gives_after_any_calls(calls):
    written: dict = {}
    exec(heap_functions.WRITTEN, written)
    ours, theirs = [3, 1, 2], [3, 1, 2]
    written["heapq_heapify"](ours)
    heapq.heapify(theirs)
    names = dict(push="heappush", both="heappushpop", over="heapreplace", pop="heappop")

    for call, number in calls:
        given_too = () if call == "pop" else (number,)
        if theirs or call in ("push", "both"):
            expected = getattr(heapq, names[call])(theirs, *given_too)
            assert expected == written[f"heapq_{names[call]}"](ours, *given_too)
        assert sorted(theirs) == sorted(ours) and theirs[:1] == ours[:1]


class Ranked:
    """Compared by a rank alone, so that many are equal and none is another."""

    def __init__(self, rank):
        self.rank = rank

    def __lt__(self, other):
        return self.rank < other.rank


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 2), max_size=20),
    st.lists(
        st.tuples(st.sampled_from("push pop both over".split()), st.integers(0, 2))
    ),
)
def test_equal_items_of_a_heap_lie_and_come_out_as_pythons_do(ranks, calls):
    written: dict = {}
    exec(heap_functions.WRITTEN, written)
    ours = [*map(Ranked, ranks)]
    theirs = [*ours]
    written["heapq_heapify"](ours)
    heapq.heapify(theirs)
    assert [*map(id, theirs)] == [*map(id, ours)]
    names = dict(push="heappush", both="heappushpop", over="heapreplace", pop="heappop")

    for call, rank in calls:
        given_too = () if call == "pop" else (Ranked(rank),)
        if theirs or call in ("push", "both"):
            expected = getattr(heapq, names[call])(theirs, *given_too)
            assert expected is written[f"heapq_{names[call]}"](ours, *given_too)
        assert [*map(id, theirs)] == [*map(id, ours)]
