"""What is asked of torch's own CUDA graphs, told by a stand-in for them."""

import ctypes
from contextlib import contextmanager, nullcontext

import pytest
import torch

from dux_sandbox.recorded.kernels.cuda import graphs
from dux_sandbox.recorded.kernels.cuda.graphs import CudaCapturing


class Graph:
    """Stands for `torch.cuda.CUDAGraph`."""

    def __init__(self):
        self.done = []

    def replay(self):
        self.done.append("replay")

    def reset(self):
        self.done.append("reset")


class Device:
    device = torch.device("cpu")

    def upload(self, block, count, into):
        return into.copy_(torch.tensor(block[:count]))


@pytest.fixture
def asked(monkeypatch):
    """Of each capture its graph, pool, stream and mode."""
    captures, pools = [], iter(range(1, 100))

    @contextmanager
    def graph(made, pool, stream, capture_error_mode):
        captures.append((made, pool, stream, capture_error_mode))
        yield

    segments = [{"segment_pool_id": (0, k), "total_size": 10**k} for k in range(1, 6)]
    for name, stand_in in {
        "CUDAGraph": Graph,
        "graph": graph,
        "Stream": lambda device: "side",
        "device": lambda device: nullcontext(),
        "graph_pool_handle": lambda: (0, next(pools)),
        "memory_snapshot": lambda: segments,
        "is_current_stream_capturing": lambda: False,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    graphs._workspace.cache_clear()
    yield captures
    graphs._workspace.cache_clear()


def test_graphs_of_a_rule_share_a_pool_until_all_of_them_are_gone(asked):
    capturing, did = CudaCapturing(Device()), []

    first = capturing.capture(lambda: did.append(1))
    second = capturing.capture(lambda: did.append(2))
    first.reset()
    third = capturing.capture(lambda: did.append(3))
    held = capturing.held()
    second.reset()
    del third
    capturing.capture(lambda: did.append(4))

    # Before each, what products work in is asked for, in a pool that stays.
    pools = [pool for _, pool, _, _ in asked]
    assert [(0, 2), (0, 1)] * 3 + [(0, 2), (0, 3)] == pools
    assert {("side", "thread_local")} == {(x, mode) for _, _, x, mode in asked}
    assert [1, 2, 3, 4] == did
    assert 10 == held


def test_a_graph_is_replayed_and_let_go_of_as_torch_does_it(asked):
    captured = CudaCapturing(Device()).capture(lambda: None)

    captured.replay()
    captured.reset()

    assert ["replay", "reset"] == asked[-1][0].done
    assert [] == asked[0][0].done


def test_words_are_brought_to_one_place(asked):
    capturing, block = CudaCapturing(Device()), (ctypes.c_int64 * 3)(5, 6, 7)
    words = capturing.words(3)
    before = words.data_ptr()

    capturing.bring(block, words)

    assert ([5, 6, 7], before) == (words.tolist(), words.data_ptr())
    assert not capturing.is_capturing()
