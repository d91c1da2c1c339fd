"""A person's word on the proposal that passed, before it is built."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from dux_sandbox.findings import Finding

Approve = Callable[[Mapping[str, Any]], "bool | str"] | Literal["interrupt"]
"""Asks about a proposal, `{"source", "digest", "diff", "losses", "incumbent_losses"}`.

True: it goes on. False: the decision ends, and what is live stays. A text goes back to
the language model as a finding. "interrupt": LangGraph's own; whoever resumes the graph
(`Command(resume=True)`, or a person in LangGraph Studio) answers the same way.
"""


def asked(
    approve: Approve, attempt: Mapping[str, Any], live: str | None
) -> bool | Finding:
    """The answer to a proposal that passed; a Finding goes back to the model.

    Args:
        approve: who is asked.
        attempt: the proposal, as a state holds it.
        live: the source of the live rule; None while the base optimizer is live.
    """
    names = ("source", "digest", "losses", "incumbent_losses")
    shown = {name: attempt[name] for name in names} | {"diff": diff(attempt, live)}
    answer = _interrupt(shown) if approve == "interrupt" else approve(shown)
    if isinstance(answer, str) and answer.strip():
        return Finding("not_approved", None, answer.strip(), "what was asked for")
    return answer is True


def _interrupt(shown: Mapping[str, Any]) -> Any:
    from langgraph.types import interrupt  # dear: most agents have no such graph

    return interrupt(shown)


def diff(attempt: Mapping[str, Any], live: str | None) -> str:
    """What a proposal changes about the live rule, as a unified diff."""
    before, after = (live or "").splitlines(), attempt["source"].splitlines()
    return "\n".join(
        difflib.unified_diff(before, after, "live", "proposed", lineterm="")
    )
