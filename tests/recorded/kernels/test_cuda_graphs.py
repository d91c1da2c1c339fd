"""Steps captured in CUDA graphs, on a device: beside those of a rule that has none."""

from contextlib import closing

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from tests.recorded.kernels.captured_trainings import (
    ANY,
    NEVER,
    ORTHOGONAL,
    SOURCES,
    Training,
)
from tests.recorded.test_equality import RULES

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
DEVICE = torch.device("cuda", 0)
MOST = 1 << 32


@pytest.fixture(autouse=True)
def own_kernels(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "kernels"
    monkeypatch.setenv("DUX_KERNEL_CACHE", str(folder))


class TrainingThere(Training):
    """By the rule as it is live."""

    def __init__(self, source, most=MOST):
        super().__init__(DEVICE)
        self.group = {"params": self.weights}
        limits = Limits(graph_memory=most)
        build = EXECUTIONS["recorded"].build
        self.rule = build(source, [self.group], limits=limits, seed=0)
        self.group.update(self.rule.options[0])
        self.rule.bind([self.group])

    def taken(self):
        loss = torch.ones((), device=DEVICE)
        return self.rule.step((lambda: loss) if self.rule.requires_closure else None)

    def finite(self):
        return self.rule.left_finite

    def rate(self, lr):
        self.group["lr"] = lr

    def learned(self):
        return self.rule.snapshot()

    def learn(self, state):
        self.rule.restore(state)

    def close(self):
        self.rule.close()


def trained(source, happens, most):
    training = TrainingThere(source, most)
    with closing(training):
        happens(training)
        return training.left(), training.rule.captured


def same(one, other):
    return all(
        torch.equal(each.nan_to_num(), twin.nan_to_num())
        for each, twin in zip(one, other, strict=True)
    )


def stepped(training, many):
    for _ in range(many):
        training.in_place()
        training.step()


@pytest.mark.parametrize("happens", ANY, ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", SOURCES)
def test_a_captured_step_is_the_step_whatever_changes(name, happens):
    (wanted, told), (none, _) = trained(SOURCES[name], happens, 0)

    (got, told_of_captured), (steps, why) = trained(SOURCES[name], happens, MOST)

    assert same(wanted, got)
    assert told == told_of_captured
    assert (0, ()) == (none, why)
    # The allocator may lend a gradient the same memory at each step.
    assert steps >= 3 or (name, happens.__name__) in NEVER


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_a_rule_of_the_corpus_steps_as_it_does_without_graphs(path):
    ends = []
    for most in (0, MOST):
        torch.manual_seed(0)
        training = TrainingThere(path.read_text(), most)
        with closing(training):
            stepped(training, 10)
            ends.append(training.left()[0])
            _, why = training.rule.captured

    assert same(*ends)
    assert not [each for each in why if "Error" in each or "otherwise" in each]


def test_a_step_that_is_replayed_waits_for_no_device():
    training = TrainingThere(ORTHOGONAL)
    with closing(training):
        stepped(training, 8)
        drawn, before = training.drawn(), training.rule.captured[0]
        torch.cuda.set_sync_debug_mode("error")  # raises where something waits
        try:
            for _ in range(4):
                for weight, each in zip(training.weights, drawn, strict=True):
                    weight.grad = each * 2
                training.taken()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        after = training.rule.captured[0]

    assert before + 4 == after


def test_the_host_may_be_many_steps_ahead_of_the_device():
    ends = []
    for most in (0, MOST):
        training = TrainingThere(ORTHOGONAL, most)
        with closing(training):
            stepped(training, 8)
            grads = [training.drawn() for _ in range(40)]
            large = torch.randn(8192, 8192, device=DEVICE)
            large @ large  # keeps the device busy
            for step, each in enumerate(grads):
                training.rate(0.001 * step)
                for weight, grad in zip(training.weights, each, strict=True):
                    weight.grad = grad
                training.taken()
            ends.append(training.left()[0])

    assert same(*ends)


def test_random_numbers_of_the_training_are_as_without_graphs():
    drawn = []
    for most in (0, MOST):
        torch.cuda.manual_seed(7)
        training = TrainingThere(ORTHOGONAL, most)
        with closing(training):
            for _ in range(10):
                stepped(training, 1)
                drawn.append(torch.randn(5, device=DEVICE))

    assert all(map(torch.equal, drawn[:10], drawn[10:]))


def test_memory_is_given_back_when_a_rule_is_closed_or_rests():
    torch.cuda.empty_cache()
    before, held = torch.cuda.memory_reserved(), []
    for let_go in ("rest", "close"):
        training = TrainingThere(ORTHOGONAL)
        with closing(training):
            stepped(training, 8)
            assert training.rule.captured[0] > 0
            getattr(training.rule, let_go)()
            if let_go == "rest":
                stepped(training, 8)
        training.weights.clear()
        del training
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_reserved() - before)

    # What products work in, torch keeps for each stream: it does not grow.
    assert held[1] <= held[0] <= 1 << 27


def test_a_training_that_replays_its_own_graph_beside_is_the_same():
    ends = []
    for most in (0, MOST):
        training = TrainingThere(ORTHOGONAL, most)
        training.in_place()
        given = torch.zeros(16, device=DEVICE)
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # torch asks for it before a capture
            (training.weights[0] @ given).square().sum().backward()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            training.weights[0].grad.zero_()
            (training.weights[0] @ given).square().sum().backward()
        with closing(training):
            for step in range(12):
                given.fill_(0.1 * step + 0.1)
                graph.replay()
                training.step()
            ends.append(training.left()[0])

    assert same(*ends)


def test_steps_in_another_stream_come_in_its_order():
    ends = []
    for stream in (None, torch.cuda.Stream()):
        training = TrainingThere(ORTHOGONAL)
        torch.cuda.synchronize()
        with closing(training), torch.cuda.stream(stream):
            stepped(training, 10)
        torch.cuda.synchronize()
        ends.append(training.left()[0])

    assert same(*ends)


def test_two_rules_step_turn_and_turn_about_each_with_its_graphs():
    wanted, _ = trained(ORTHOGONAL, lambda training: stepped(training, 10), 0)
    both = [TrainingThere(ORTHOGONAL) for _ in range(2)]
    for _ in range(8):
        for training in both:
            stepped(training, 1)
    both[0].close()
    stepped(both[1], 2)
    with closing(both[1]):
        steps, why = both[1].rule.captured

    assert same(wanted[0], both[1].left()[0])
    assert steps >= 4 and not why


def test_a_rule_that_may_keep_too_little_memory_is_stepped_as_before(caplog):
    wanted, _ = trained(ORTHOGONAL, lambda training: stepped(training, 10), 0)

    got, (steps, why) = trained(ORTHOGONAL, lambda training: stepped(training, 10), 1)

    assert same(wanted[0], got[0])
    assert 0 == steps
    assert "graph_memory" in why[0]
    assert 1 == caplog.text.count("not captured in a CUDA graph")
