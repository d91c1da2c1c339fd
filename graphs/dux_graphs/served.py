"""The ports of a graph served by name: it writes and checks, and applies nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dux_graphs.models import chat_model, writer
from dux_graphs.state import Ports, PortsError
from dux_sandbox.findings import DryRunReport


@dataclass(frozen=True)
class Served:
    """What a served graph is told, as JSON: `{"lm": "offline", "max_attempts": 3}`.

    Attributes:
        lm: name of the chat model, as `dux_graphs.models.chat_model` takes it.
        max_attempts: tries a decision may cost.
    """

    lm: str = "offline"
    max_attempts: int = 3


def ports_of_served(context: Any) -> Ports:
    """Ports that propose and check; `apply` refuses, since nothing is training here.

    Raises:
        PortsError: the context is not what `Served` describes.
        ModelNameError: no chat model has that name.
    """
    if context is None:
        context = Served()
    if isinstance(context, dict):
        try:
            context = Served(**context)
        except TypeError as error:
            raise PortsError(
                f"the served graph got the context {context!r}; wanted JSON such as"
                ' {"lm": "offline", "max_attempts": 3}'
            ) from error
    if not isinstance(context, Served):
        raise PortsError(
            f"the served graph got {type(context).__name__} as context; wanted JSON"
            ' such as {"lm": "offline"}. Live ports go to build_graph()'
        )
    return _ports(context)


# The nodes of one decision ask for the ports one after the other.
@lru_cache(maxsize=4)
def _ports(context: Served) -> Ports:
    # Whoever builds a graph of their own brings a check along.
    from dux_sandbox.static_check import check

    return Ports(
        write=writer(chat_model(context.lm)),
        check=check,
        dry_run=_not_tried,
        apply=_nothing_to_apply_to,
        max_attempts=context.max_attempts,
    )


def _not_tried(source: str) -> DryRunReport:
    """No model is here to try a source on: nothing is found, nothing measured."""
    return DryRunReport(ok=True)


def _nothing_to_apply_to(source: str) -> str:
    return (
        "nothing to apply to: this graph is served without a training; the source was"
        " checked and not tried"
    )
