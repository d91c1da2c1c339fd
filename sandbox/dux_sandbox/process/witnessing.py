"""Has what the jail denies tried in real children, and tells what was seen.

Each attempt is made in a child as a rule gets it, in one that has no layer, and for
each layer in one that has it alone. A denial is witnessed where something works without
layers and fails with them.
"""

import ctypes
import os
import select
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dux_sandbox.findings import Finding, RuleFailed
from dux_sandbox.limits import Limits
from dux_sandbox.process import jail
from dux_sandbox.process.attempts import ATTEMPTS
from dux_sandbox.process.channel import ChannelBroken
from dux_sandbox.process.child import Child
from dux_sandbox.process.jail import Layer
from dux_sandbox.process.mirror import Mirror
from dux_sandbox.process.spawning import Zygote

OUTLIVE = "outlive the process that made it"
_ANSWER_SECONDS = 20.0
_ALIVE_SECONDS = 0.3  # what a process without the layer is watched for
_DEATH_SECONDS = 10.0  # and one with it, on the busiest machine


@dataclass(frozen=True)
class Tried:
    """One thing that was tried outside and inside.

    Attributes:
        name: what.
        outside: it worked in a process without layers; where not, nothing is shown.
        inside: it worked in a process as a rule gets it.
        why_not: what was said to the process that failed, outside or inside.
        alone: by layer that denies it: whether it was denied by that layer alone.
    """

    name: str
    outside: bool
    inside: bool
    why_not: str
    alone: dict[str, bool]

    @property
    def witnessed(self) -> bool:
        """It was seen to work outside, and to fail inside."""
        return self.outside and not self.inside


@dataclass(frozen=True)
class Witnessed:
    """What a machine's jail was seen to do: its layers, and what they deny."""

    layers: tuple[Layer, ...]
    tried: tuple[Tried, ...]

    def by(self, layer: str) -> list[Tried]:
        """What was seen to be denied by this layer alone."""
        return [one for one in self.tried if one.outside and one.alone.get(layer)]


def witness(warm: Zygote | None = None) -> Witnessed:
    """Try everything, in children of a warm process that is started for this.

    Args:
        warm: the warm process; it is ended. None: a new one, as trainers have it.

    Raises:
        IsolationUnavailable: this system cannot run a rule in its own process.
        RuleFailed: a child did not answer.
    """
    with ExitStack() as stack:
        warm = warm or Zygote()
        stack.callback(warm.close)
        if sys.platform != "linux":
            return Witnessed(tuple(warm.layers()), ())
        request = stack.enter_context(_surroundings())
        forked: dict[str, tuple[Child, tuple[Layer, ...], dict[str, str | None]]] = {}
        for name, only in _ways():
            child = _fork(warm, request, only)
            stack.callback(child.kill)
            forked[name] = (child, *_told(child))
        survived = _orphan(warm, {name: child for name, (child, *_) in forked.items()})
        for name, (_, _, said) in forked.items():
            said[OUTLIVE] = None if survived[name] else "it ended with it"
    _, layers, inside = forked["inside"]
    _, _, outside = forked["outside"]
    denying = {each.name: each.layers for each in ATTEMPTS} | {
        OUTLIVE: ("parent-death",)
    }
    return Witnessed(
        layers,
        tuple(
            Tried(
                name,
                outside=outside[name] is None,
                inside=inside[name] is None,
                why_not=outside[name] or inside[name] or "",
                alone={
                    layer: forked[layer][2][name] is not None for layer in denying[name]
                },
            )
            for name in denying
        ),
    )


def _ways() -> Iterator[tuple[str, list[str] | None]]:
    """The kinds of children: with all layers, with none, with each alone."""
    yield "inside", None
    yield "outside", []
    for layer in jail.LAYERS:
        yield layer, [layer]


@contextmanager
def _surroundings() -> Iterator[dict[str, Any]]:
    """A file, a server and a byte of memory to be reached for."""
    secret = uuid.uuid4().hex
    byte = ctypes.create_string_buffer(b"x")
    with tempfile.TemporaryDirectory(prefix="dux-doctor-") as folder:
        # Also for a process that has lost the rights of the one that made it.
        os.chmod(folder, 0o777)
        file = Path(folder) / "file"
        file.write_text(secret)
        file.chmod(0o644)
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            yield {
                "file": str(file),
                "content": secret,
                "port": server.getsockname()[1],
                "trainer": os.getpid(),
                "address": ctypes.addressof(byte),
                "program": "/bin/true",
                "host": socket.gethostname(),
            }


def _fork(warm: Zygote, around: dict[str, Any], only: Sequence[str] | None) -> Child:
    """A child as `IsolatedRule` gets it, but for the layers that are left out."""
    memory = Limits().memory
    mirror = Mirror([torch.zeros(1)])
    request = {
        **around,
        "purpose": "witness",
        "only": only,
        "mirror": mirror.size,
        "memory": memory,
        "more": 4 * memory,
        "threads": 1,
    }
    try:
        return warm.fork(request, (mirror.descriptor,))
    finally:
        mirror.close()


def _told(child: Child) -> tuple[tuple[Layer, ...], dict[str, str | None]]:
    """The layers that hold, and for each attempt None, or why it failed."""
    try:
        message, _ = child.channel.receive(_ANSWER_SECONDS)
        tried, _ = child.channel.receive(_ANSWER_SECONDS)
    except ChannelBroken as error:
        raise RuleFailed(Finding("jail", None, str(error))) from None
    layers = tuple(Layer(*row) for row in message["layers"])
    return layers, {
        name: None if worked else said for name, worked, said in tried["attempts"]
    }


def _orphan(warm: Zygote, children: dict[str, Child]) -> dict[str, bool]:
    """End the process that made them; whether each of them is still alive then."""
    with ExitStack() as stack:
        handles = {name: os.pidfd_open(child.pid) for name, child in children.items()}
        for handle in handles.values():
            stack.callback(os.close, handle)
        warm.kill()
        return {name: not _ended(name, handle) for name, handle in handles.items()}


def _ended(name: str, handle: int) -> bool:
    ends = name in ("inside", "parent-death")
    seconds = _DEATH_SECONDS if ends else _ALIVE_SECONDS
    return bool(select.select([handle], [], [], seconds)[0])
