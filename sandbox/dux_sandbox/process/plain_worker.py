"""Runs a file without the guards of a rule, in the jail alone: what steps it takes.

For the comparison of a file with a rewrite of it: what the static check refuses runs
nowhere else. What it may need is imported before the process is locked; afterwards
nothing can be opened.
"""

import ast
import dis
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType
from typing import Any

import torch

from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.mending.signatures import A_CLASS, ALL, AN_OPTIMIZER, MATRICES, OTHERS
from dux_sandbox.plain_steps import Wanted, episodes
from dux_sandbox.process import jail
from dux_sandbox.process.channel import Channel, ChannelBroken
from dux_sandbox.process.plain_files import PlainFiles
from dux_sandbox.runtime.text import plain

# Loaded beforehand, where they are there: what optimizers and scripts import.
MODULES = """
abc argparse collections collections.abc contextlib copy dataclasses datetime enum
functools inspect itertools json logging math numbers numpy operator os pathlib random
re string sys time typing typing_extensions uuid warnings torch.distributed
torch.nn.utils torch.nn.functional torch.optim.lr_scheduler torch.utils.data
importlib.util
""".split()

_JUMPS = {at for at, name in enumerate(dis.opname) if "JUMP" in name}


def serve(channel: Channel, request: dict[str, Any]) -> None:
    """Rehearse, lock this process, then run what one message holds.

    Args:
        channel: to the trainer.
        request: "memory", bytes that the process may add.
    """
    torch.set_num_threads(1)
    for name in MODULES:
        with suppress(Exception):  # a package may be there and broken
            importlib.import_module(name)
    for known in (torch.optim.SGD, torch.optim.Adam):
        dict(episodes(known, {}))
    stand_aside()
    rows = jail.rows_of(jail.lock(request["memory"], parent=request["parent"]))
    channel.send({"layers": rows, "reached": list(jail.within_reach())})
    try:
        message, _ = channel.receive(None)
    except ChannelBroken:
        return
    try:
        _answer(channel, message)
    # Whatever a file raises is its own doing: the trainer is told.
    except BaseException as error:
        told = " ".join(plain(error).split())[:300]
        channel.send({"error": f"{type(error).__name__}: {told}"})


def _answer(channel: Channel, message: dict[str, Any]) -> None:
    files = [SourceFile(*each) for each in message["files"]]
    plain_files = PlainFiles(files)
    main = files[0]
    places: set[tuple[int, int]] = set()
    with _watching(main.name if message["watch"] else "", places):
        module = plain_files.run(main)
        for name, given in message["classes"]:
            rule = getattr(module, name)
            held = dict(episodes(rule, {key: _value(text) for key, text in given}))
            channel.send({"class": name, "episodes": held})
    values = {
        name: _literal(getattr(module, name, module)) for name in message["values"]
    }
    channel.send(
        {
            "missing": sorted(plain_files.missing),
            "places": sorted(places),
            "values": {name: text for name, text in values.items() if text},
        }
    )


def _literal(value: Any) -> str:
    """A plain value as a literal; "" for anything else."""
    plain_value = value is None or type(value) in (bool, int, float, str)
    return repr(value) if plain_value and len(repr(value)) < 200 else ""


def _value(text: str) -> Any:
    """A usual value of an option, written as a literal; or what stands for one."""
    if text in (AN_OPTIMIZER, MATRICES, OTHERS, ALL):
        return Wanted(text)
    return torch.optim.SGD if text == A_CLASS else ast.literal_eval(text)


@contextmanager
def _watching(file: str, places: set[tuple[int, int]]) -> Iterator[None]:
    """Note the line and column of each expression of a file that is computed."""
    if not file:
        yield
        return
    known: dict[CodeType, list[tuple[int | None, int | None]]] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if code.co_filename != file:
            return None
        # A line says little: `a if b else c` is one, and half of it is computed.
        frame.f_trace_opcodes = True
        if code not in known:
            # A jump past the element of a comprehension says that it stands there.
            known[code] = [
                (None, None) if operation in _JUMPS else (line, at)
                for (line, _, at, _), operation in zip(
                    code.co_positions(), code.co_code[::2], strict=True
                )
            ]
        line, column = known[code][max(frame.f_lasti, 0) // 2]
        if event == "line":
            places.add((frame.f_lineno, 0))
        if line is not None:
            places.add((line, column or 0))
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


def stand_aside() -> None:
    """Compilers give back what they are given: there is nothing to compile with."""

    def itself(function: Any = None, *arguments: Any, **options: Any) -> Any:
        return function if callable(function) else lambda decorated: decorated

    vars(torch)["compile"] = itself
    for name in ("script", "ignore", "unused", "export", "script_if_tracing"):
        setattr(torch.jit, name, itself)
    for name in ("disable", "allow_in_graph"):
        setattr(torch.compiler, name, itself)
