"""What runs in the process that tries the laws on a source, before and in the jail.

What it needs is imported and exercised first: nothing can be opened afterwards, and
no line of the source is read before. What each such process needs is exercised once, in
the warm process that it is forked from.
"""

import pickle
from typing import Any

import torch

from dux_sandbox.findings import SourceRejected
from dux_sandbox.golden import trajectory
from dux_sandbox.laws import LAWS, check_laws, iter_laws
from dux_sandbox.laws.header import RULE
from dux_sandbox.laws.script import provide
from dux_sandbox.loading import load
from dux_sandbox.process import jail
from dux_sandbox.process.channel import Channel, ChannelBroken
from dux_sandbox.process.compiling import make_known, rehearse_optional
from dux_sandbox.runtime.text import plain

# All but two: pickling, copying and asking for the device import at their first use.
_UNREHEARSED = [law.name for law in LAWS if law.name not in ("copies", "surroundings")]


def rehearse() -> None:
    """In the warm process: exercise what any law needs, and the fixed problems."""
    provide("pickle", _Pickle)
    check_laws(torch.optim.SGD, examples=0, skip=_UNREHEARSED)
    trajectory(torch.optim.SGD)  # autograd and its engine, once


def serve(channel: Channel, request: dict[str, Any]) -> None:
    """Rehearse the rest, lock this process, then answer one request: a result a law.

    Args:
        channel: to the trainer.
        request: "memory" (bytes it may add), "draws" (whether examples are drawn) and
            "also" (names of optional laws).
    """
    torch.set_num_threads(1)
    if request["draws"]:
        _rehearse_draws()
    rehearse_optional(request["also"])
    layers = jail.lock(request["memory"], parent=request["parent"])
    channel.send({"layers": jail.rows_of(layers)})
    try:
        message, _ = channel.receive(None)
    except ChannelBroken:
        return
    try:
        rule: Any = load(message["source"])
    except SourceRejected as error:
        channel.send({"refused": error.report.as_dict()})
        return
    if message.get("golden"):
        _send_trajectory(channel, rule)
        return
    if request["also"]:
        make_known(rule)
    traits = set(message["traits"])
    if rule.requires_closure:
        traits.add("needs-closure")
    results = iter_laws(
        lambda params: rule(params),
        examples=message["examples"],
        skip=message["skip"],
        also=message["also"],
        seed=message["seed"],
        traits=traits,
        source=RULE,
        quick=message["quick"],
    )
    try:
        for result in results:
            row = [result.name, result.ok, result.message, result.example]
            channel.send({"law": row})
    except Exception as error:  # the rule's doing or the jail's: the trainer is told
        channel.send({"error": f"{type(error).__name__}: {plain(error)[:300]}"})


def _send_trajectory(channel: Channel, rule: Any) -> None:
    try:
        channel.send({"golden": trajectory(lambda params: rule(params))})
    except Exception as error:  # the rule's doing: the trainer is told
        told = " ".join(plain(error).split())[:300]
        channel.send({"error": f"{type(error).__name__}: {told}"})


def _rehearse_draws() -> None:
    """Draw and shrink once: hypothesis imports and opens files as it goes."""
    from dux_sandbox.laws import drawing

    check_laws(torch.optim.SGD, examples=1, skip=_UNREHEARSED)
    drawing.rehearse()


class _Pickle:
    """pickle without torch's own way to store tensors, which the jail does not let it
    go: a tensor travels as its dtype, shape and numbers."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        """As pickle.dumps."""
        return pickle.dumps(_without_tensors(value))

    @staticmethod
    def loads(data: bytes) -> Any:
        """As pickle.loads, of what this class wrote."""
        return _with_tensors(pickle.loads(data))


_TENSOR = "a tensor"


def _without_tensors(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        flat = value.detach().double().flatten().tolist()
        return (_TENSOR, str(value.dtype)[6:], tuple(value.shape), flat)
    if isinstance(value, dict):
        return {key: _without_tensors(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_without_tensors(each) for each in value)
    return value


def _with_tensors(value: Any) -> Any:
    if type(value) is tuple and len(value) == 4 and value[0] == _TENSOR:
        flat = torch.tensor(value[3], dtype=torch.float64)
        return flat.to(getattr(torch, value[1])).reshape(value[2])
    if isinstance(value, dict):
        return {key: _with_tensors(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_with_tensors(each) for each in value)
    return value
