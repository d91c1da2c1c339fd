"""The ports of a graph served by name: it writes and checks, and applies nothing."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ConfigDict, StrictBool, StrictInt, StrictStr, TypeAdapter

from dux_graphs.models import language_model
from dux_graphs.paid_model import PaidModel
from dux_graphs.read_back import read_back
from dux_graphs.state import Ports, PortsError
from dux_sandbox.findings import DryRunReport


@dataclass(frozen=True)
class Served:
    """What a served graph is told, as JSON: `{"lm": "offline", "max_attempts": 3}`.

    Attributes:
        lm: name of the chat model, as `dux_graphs.models.chat_model` takes it.
        max_attempts: tries a decision may cost.
        approve: a person is asked about what passed, by an interrupt.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    lm: StrictStr = "offline"
    max_attempts: StrictInt = 3
    approve: StrictBool = False


_SERVED: TypeAdapter[Served] = TypeAdapter(Served)


def ports_of_served(context: Any) -> Ports:
    """Ports that propose and check; `apply` refuses, since nothing is training here.

    Raises:
        PortsError: the context is not what `Served` describes.
        ModelNameError: no chat model has that name.
    """
    remedy = 'pass JSON such as {"lm": "offline", "max_attempts": 3}; live ports go'
    try:
        context = {} if context is None else context
        served = read_back(_SERVED, context, remedy=f"{remedy} to build_graph()")
    except ValueError as fault:
        raise PortsError(f"the context of the served graph: {fault}") from None
    return _ports(served)


# The nodes of one decision ask for the ports one after the other.
@lru_cache(maxsize=4)
def _ports(context: Served) -> Ports:
    return ports_of_context(context, dry_run=_not_tried, apply=_nothing_to_apply_to)


def ports_of_context(context: Served, *, seed: int = 0, **tried: Any) -> Ports:
    """Ports that ask the model that a server was told of.

    Args:
        seed: of a model that takes one.
        tried: the ports `dry_run` and `apply`.
    """
    # Whoever builds a graph of their own brings a check along.
    from dux_sandbox.static_check import check

    return Ports(
        **PaidModel({context.lm: language_model(context.lm, seed=seed)}).ports(),
        **tried,
        check=check,
        max_attempts=context.max_attempts,
        approve="interrupt" if context.approve else None,
    )


def _not_tried(source: str) -> DryRunReport:
    """No model is here to try a source on: nothing is found, nothing measured."""
    return DryRunReport(ok=True)


def _nothing_to_apply_to(source: str) -> str:
    return (
        "nothing to apply to: this graph is served without a training; the source was"
        " checked and not tried"
    )
