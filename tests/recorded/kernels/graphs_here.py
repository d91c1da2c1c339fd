"""A stand-in for CUDA graphs, on the processor and over its tensors.

It keeps to what a capture is: nothing that is asked for is done while it goes on, and
what it gives is garbage; to look at a value ends it; afterwards all of it is done
again and again, at the same addresses and with the same numbers, whoever else has
written there meanwhile.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dux_sandbox.recorded.kernels.capturing import Graphs
from tests.recorded.kernels.cuda_here import DEVICE

_LOOKS = ("_local_scalar_dense", "equal", "is_nonzero")
GARBAGE = 1e30


class _TakesDown(TorchDispatchMode):
    """Takes down torch's calls in place of doing them."""

    def __init__(self, calls):
        super().__init__()
        self.calls, self.made = calls, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, function.overloadpacket.__name__
        if name in _LOOKS:
            raise RuntimeError("operation not permitted when stream is capturing")
        if function._schema.is_mutable:
            self.calls.append(lambda: function(*args, **kwargs))
            return args[0]
        with torch.utils._python_dispatch._disable_current_modes():
            made = function(*args, **kwargs)
            if function.is_view or name in ("detach", "_unsafe_view"):
                return made
            several = list(made) if isinstance(made, tuple | list) else [made]
            self.made += several
            for each in several:
                each.fill_(GARBAGE if each.is_floating_point() else 1)

        def again():
            done = function(*args, **kwargs)
            done = list(done) if isinstance(done, tuple | list) else [done]
            for each, new in zip(several, done, strict=True):
                each.copy_(new)

        if not name.startswith(("empty", "new_empty")):
            self.calls.append(again)
        return made


class _Captured:
    def __init__(self, device):
        self.device, self.calls, self.made, self.replays = device, [], [], 0

    def replay(self):
        assert self in self.device.alive, "it was let go of"
        self.replays += 1
        for each in self.calls:
            each()
        self.device.replayed(self)

    def reset(self):
        self.device.alive.remove(self)
        self.calls, self.made = [], []


class CapturingHere:
    """See `Capturing`.

    Attributes:
        captures: how many there were.
        alive: what was captured and is still there.
        busy: whether the training captures.
        fails: raised in the next capture, after its calls.
        replayed: called with what was replayed.
    """

    def __init__(self):
        self.captures, self.alive, self.busy, self.fails = 0, [], False, None
        self.replayed = lambda captured: None

    def is_capturing(self):
        return self.busy

    def capture(self, work):
        self.captures += 1
        made = _Captured(self)
        takes_down = _TakesDown(made.calls)
        DEVICE.taken_down = made.calls
        try:
            with takes_down:
                work()
            if self.fails is not None:
                raise self.fails
        finally:
            DEVICE.taken_down = None
        made.made = takes_down.made
        self.alive.append(made)
        return made

    def words(self, many):
        return torch.zeros(many, dtype=torch.int64)

    def bring(self, block, to):
        DEVICE.upload(block, len(to), to)

    def held(self):
        made = [each for captured in self.alive for each in captured.made]
        return sum(each.numel() * each.element_size() for each in made)


def graphs_here(most=1 << 30):
    """For the programs of one rule, on the device that is none."""
    return Graphs(CapturingHere(), most)
