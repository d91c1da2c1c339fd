"""Steps captured and replayed: on a stand-in for CUDA graphs, over the processor's
tensors. What a device does with them is told by the tests of the marker `cuda`."""

from contextlib import closing

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.kernels import captured_steps, compiling
from dux_sandbox.recorded.kernels.captured_steps import MOST_GRAPHS
from dux_sandbox.recorded.kernels.capturing import Graphs, against
from dux_sandbox.recorded.kernels.cuda.graphs import graphs_on
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.random_operations import STATE
from dux_sandbox.replaying import rule as recorded_rule
from dux_sandbox.replaying.ahead import Ahead
from dux_sandbox.replaying.replay import Replay
from tests.recorded.kernels.captured_trainings import ANY, NEVER, SOURCES, Training
from tests.recorded.kernels.cuda_here import HERE, fused_here
from tests.recorded.kernels.graphs_here import CapturingHere, graphs_here
from tests.recorded.programs import Writing, adam
from tests.recorded.recording import BOUNDS, Here
from tests.recorded.test_recording import BENIGN

MUON = next(path for path in BENIGN if path.stem == "muon")


class TrainingHere(Training):
    """By the text of CUDA's kernels, compiled for the processor."""

    def __init__(self, source, graphs=None):
        super().__init__()
        here = Here(source, [{"params": self.weights}])
        self.replay = Replay(self.weights, here, BOUNDS, True, graphs)
        self.replay.build(here.build())

    def taken(self):
        return self.replay.step(None, None)

    def finite(self):
        by = self.replay.taken_by
        return None if by is None else by.finite

    def rate(self, lr):
        options = self.replay.places.options
        options[0] = {**options[0], "lr": lr}

    def learned(self):
        return self.replay.kept.state()

    def learn(self, state):
        self.replay.kept.take(state)

    def close(self):
        self.replay.close()


@pytest.fixture(autouse=True)
def compiled_here(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "cuda_here"
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(Ahead, "look", lambda *where: None)
    monkeypatch.setattr(
        compiling, "fuse", lambda program, *where: fused_here(program, folder)
    )


def trained(source, happens, graphs=None):
    training = TrainingHere(source, graphs)
    with closing(training):
        happens(training)
        return training.left()


@pytest.mark.parametrize("happens", ANY, ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", SOURCES)
def test_a_captured_step_is_the_step_whatever_changes(name, happens):
    graphs = graphs_here()
    wanted, told = trained(SOURCES[name], happens)

    got, told_of_captured = trained(SOURCES[name], happens, graphs)

    assert all(map(torch.equal, wanted, got))
    assert told == told_of_captured
    assert () == graphs.why
    expected = (name, happens.__name__) not in NEVER
    assert expected == (graphs.steps >= 3), graphs


def stepped(training, many=1):
    for _ in range(many):
        training.in_place()
        training.step()


def twins(graphs, source=SOURCES["orthogonal"]):
    return TrainingHere(source), TrainingHere(source, graphs)


def alike(*trainings):
    return all(map(torch.equal, *(each.weights for each in trainings)))


def test_a_step_that_is_tried_asks_the_device_once_and_later_ones_never_again():
    graphs = graphs_here()
    with closing(TrainingHere(SOURCES["orthogonal"], graphs)) as training:
        captures = []
        for _ in range(8):
            stepped(training)
            captures.append((graphs.device.captures, graphs.steps))

    # The first step keeps what was not there, and is another program.
    assert [(0, 0)] * 3 + [(1, each) for each in range(5)] == captures


def test_whoever_refuses_a_step_has_nothing_written_and_it_may_be_captured_later(
    tmp_path,
):
    graphs, inputs = graphs_here(), products_inputs()
    fused = fused_here(products(), tmp_path)
    fused.capture_in(graphs)

    def refuse(given):
        raise RuntimeError("not now")

    for step in range(12):
        # The third of its kind is tried; one after it would be replayed.
        if step in (2, 9):
            before = [each.clone() for each in inputs]
            with pytest.raises(RuntimeError, match="not now"):
                fused.run(inputs, before=refuse)
            assert all(map(torch.equal, before, inputs))
        fused.run(inputs)

    assert (2, ()) == (graphs.device.captures, graphs.why)
    assert graphs.steps >= 6


@pytest.mark.parametrize("broken", ["raises", "large"])
def test_what_cannot_be_captured_is_said_once_and_stepped_as_before(broken, caplog):
    graphs = graphs_here(most=1 if broken == "large" else 1 << 30)
    if broken == "raises":
        graphs.device.fails = RuntimeError("operation not permitted")
    one, other = twins(graphs)
    with closing(one), closing(other):
        stepped(one, 16)
        stepped(other, 16)
        assert alike(one, other)

    assert (1, 0) == (graphs.device.captures, graphs.steps)
    words = {"raises": "RuntimeError: operation not", "large": "graph_memory=) is less"}
    assert 1 == caplog.text.count("not captured in a CUDA graph")
    assert words[broken] in caplog.text
    assert words[broken] in graphs.why[0]
    assert [] == graphs.device.alive


def test_a_step_is_taken_once_where_there_is_no_memory_to_compare_it(monkeypatch):
    def full(one, other):
        raise torch.cuda.OutOfMemoryError("out of memory")

    monkeypatch.setattr(captured_steps, "_same", full)
    graphs = graphs_here()
    one, other = twins(graphs)
    with closing(one), closing(other):
        stepped(one, 8)
        stepped(other, 8)
        assert alike(one, other)

    assert (1, 0, []) == (graphs.device.captures, graphs.steps, graphs.device.alive)
    assert "out of memory" in graphs.why[0]


def test_a_graph_that_leaves_out_a_call_is_never_used(caplog):
    class LeavesOut(CapturingHere):
        def capture(self, work):
            made = super().capture(work)
            made.calls.pop()
            return made

    graphs = Graphs(LeavesOut(), 1 << 30)
    one, other = twins(graphs)
    with closing(one), closing(other):
        stepped(one, 12)
        stepped(other, 12)
        assert alike(one, other)

    assert (1, 0, []) == (graphs.device.captures, graphs.steps, graphs.device.alive)
    assert "tensors otherwise" in caplog.text


def test_graphs_are_let_go_of_and_captured_anew():
    graphs = graphs_here()
    one, other = twins(graphs)
    with closing(one), closing(other):
        stepped(other, 8)
        held = graphs.device.held()
        graphs.forget()  # as when another rule is live
        after, steps = graphs.device.held(), graphs.steps
        stepped(other, 8)
        stepped(one, 16)
        assert alike(one, other)
        again = graphs.device.held()

    assert (held, 0, held) == (again, after, held)
    assert held > 0
    assert graphs.steps > steps
    assert [] == graphs.device.alive


def test_nothing_is_captured_while_the_training_captures():
    graphs = graphs_here()
    one, other = twins(graphs)
    with closing(one), closing(other):
        graphs.device.busy = True
        stepped(other, 8)
        meanwhile = graphs.device.captures
        graphs.device.busy = False
        stepped(other, 8)
        graphs.device.busy, before = True, graphs.steps
        stepped(other, 2)
        stepped(one, 18)
        assert alike(one, other)

    assert (0, 1) == (meanwhile, graphs.device.captures)
    assert before == graphs.steps > 0


def test_a_program_has_a_few_graphs_and_steps_elsewhere_are_taken_without_one():
    graphs = graphs_here()
    one, other = twins(graphs, SOURCES["direct"])
    with closing(one), closing(other):
        for _ in range(6):
            for training in (one, other):
                training.anew()
                stepped(training, 5)
        assert alike(one, other)

    assert MOST_GRAPHS == graphs.device.captures == 4
    assert MOST_GRAPHS * 2 == graphs.steps


def test_two_rules_have_graphs_of_their_own():
    every = [(graphs_here(), TrainingHere(SOURCES["orthogonal"])) for _ in range(2)]
    both = [TrainingHere(SOURCES["orthogonal"], graphs) for graphs, _ in every]
    for _ in range(8):  # turn and turn about
        for training in both:
            stepped(training)
    both[0].close()
    stepped(both[1], 4)
    for _, training in every:
        stepped(training, 8)
    stepped(every[1][1], 4)

    assert alike(both[0], every[0][1])
    assert alike(both[1], every[1][1])
    assert [[], 1] == [every[0][0].device.alive, len(every[1][0].device.alive)]
    assert [4, 8] == [graphs.steps for graphs, _ in every]


def test_programs_of_one_rule_take_turns_each_with_its_graph():
    graphs = graphs_here()
    one, other = twins(graphs)
    with closing(one), closing(other):
        for step in range(16):
            for training in (one, other):
                training.anew(but=[step % 2])
                training.step()
        assert alike(one, other)

    assert 2 == graphs.device.captures
    assert graphs.steps >= 8


def products(more=lambda w, x, y: x, many=3):
    """Some products of matrices with kernels between them.

    Args:
        more: makes something else of one and of another.
    """
    w, kind = Writing(), TensorType("float32", (16, 16))
    read = [w.read("parameter", at, type=kind) for at in range(many)]
    if more is draws:
        w.read("attribute", "g", type=STATE)
    for at, p in enumerate(read):
        x = w.do("mul", p, w.number(0.5))
        y = w.do("mm", x, x)
        x = w.do("mm", w.do("mul", y, w.number(0.1)), p)
        w.write(w.do("add", more(w, x, p), p), "parameter", at)
    return w.program(result=many + 2 if more is gives else None)


def products_inputs(many=3):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(16, 16, generator=generator) / 8 for _ in range(many)]


def asks(w, x, y):
    return w.do(
        "mul", x, w.do("item", w.do("sum", y, dim=None, keepdim=False, dtype=None))
    )


def inverts(w, x, y):
    return w.do("mm", w.do("inv", x), y)


def draws(w, x, y):
    made = w.do(
        "drawn",
        3,
        w.number(0.0),
        w.number(1.0),
        kind="normal",
        size=[16, 16],
        dtype="float32",
    )
    return w.do("add", x, w.do("part", made, index=0))


def gives(w, x, y):
    return x


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (products(asks), "they ask for numbers in tensors"),
        (products(inverts), "inv may wait for the device, or draws"),
        (products(draws), "drawn may wait for the device, or draws"),
        (products(many=1), "they are a few calls"),
        (products(gives), "they return tensors"),
        (adam(), "they ask for numbers in tensors"),
        (products(), None),
    ],
)
def test_only_steps_of_many_calls_that_wait_for_nothing_are_captured(program, why):
    assert why == against(plan_of(program, HERE))


def test_nothing_is_captured_on_the_processor():
    assert "they are taken on no device" == against(plan_of(products()))
    assert graphs_on(products_inputs(), 1 << 30) is None


@pytest.mark.parametrize("most", [0, 1 << 30])
def test_a_live_rule_is_captured_where_its_limits_say_so(most, monkeypatch):
    told = []

    def stand_in(parameters, allowed):
        told.append((len(parameters), allowed))
        return graphs_here(allowed) if allowed else None

    monkeypatch.setattr(recorded_rule, "graphs_on", stand_in)
    training, source = Training(), MUON.read_text()
    groups, limits = [{"params": training.weights}], Limits(graph_memory=most)
    rule = EXECUTIONS["recorded"].build(source, groups, limits=limits, seed=0)
    groups[0].update(rule.options[0])
    rule.bind(groups)
    steps = []
    with closing(rule):
        for let_go in (lambda: None, rule.rest):
            let_go()
            for _ in range(8):
                training.anew()
                rule.step()
            steps.append(rule.captured)

    assert [(3, most)] == told
    assert [(4, ()), (9, ())] if most else [(0, ()), (0, ())] == steps


def test_a_stand_in_ends_a_capture_that_looks_at_a_value():
    with pytest.raises(RuntimeError, match="not permitted"):
        CapturingHere().capture(lambda: torch.ones(1).item())
