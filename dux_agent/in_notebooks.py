"""An agent as a notebook shows it: a line, a table, and one that stays current."""

from __future__ import annotations

import html
import threading
import weakref
from collections import Counter
from typing import Any

from dux_agent.errors import MissingExtra
from dux_agent.showing import html_table, named, one_line

_REASON_CHARACTERS = 120
_HEADINGS = ("decision", "step", "verdict", "rule", "tokens", "seconds", "reason")


def agent_line(agent: Any, *, asks: bool) -> str:
    """What is trained, how far it is, what is live and what was decided.

    Args:
        asks: it asks a language model.
    """
    rule = agent.optimizer.running
    name = named(rule.source, rule.digest) or type(agent.optimizer.base).__name__
    count = sum(parameter.numel() for parameter in agent.model.parameters())
    verdicts = Counter(decision.verdict for decision in agent.decisions)
    counts = ", ".join(f"{number} {each}" for each, number in verdicts.items())
    where, told = agent.settings.execution, f"decisions: {counts or 'none'}"
    if not asks:
        where, told = "no language model", f"rollbacks: {agent.rollbacks}"
    return (
        f"<Agent of {type(agent.model).__name__} with {count:,} weights: step "
        f"{agent.step_count}, live {name} ({where}), {told}"
        f"{', closed' if agent.closed else ''}>"
    )


def agent_table(agent: Any) -> str:
    """An agent in a line, its newest loss, and its decisions as rows, in HTML."""
    newest = agent.newest_loss  # from whatever thread: nothing is worked out for it
    loss = "no loss yet" if newest is None else f"loss {newest:.6g}"
    rows = [
        (
            each.number,
            each.step,
            each.verdict,
            named(each.source, each.digest),
            each.usage.get("total_tokens", 0),
            f"{each.seconds:.3g}",
            one_line(each.reason, _REASON_CHARACTERS),
        )
        for each in list(agent.decisions)
    ]
    told = f"<p>{html.escape(repr(agent))}<br>{loss}</p>"
    return told + (html_table([_HEADINGS, *rows]) if rows else "")


def show_live(agent: Any, seconds: float) -> None:
    """Display an agent, and display it anew where it stands as long as it is open.

    A thread looks every so many `seconds`; it only reads, and ends with the agent.

    Raises:
        MissingExtra: there is no IPython.
    """
    try:
        from IPython.display import display
    except ImportError:
        raise MissingExtra.of(
            "IPython", extra="notebook", purpose="agent.show()"
        ) from None
    handle = display(agent, display_id=True)
    if handle is None:  # not in a notebook: it was printed
        return
    following = (weakref.ref(agent), handle, seconds)
    threading.Thread(
        target=_follow, args=following, name="dux-notebook", daemon=True
    ).start()


def _follow(agent: weakref.ref[Any], handle: Any, seconds: float) -> None:
    pause, shown, closed = threading.Event(), "", False
    while not closed:
        pause.wait(seconds)
        found = agent()
        if found is None:
            return
        closed = found.closed
        try:
            now = agent_table(found)
        except RuntimeError:  # it changed while it was read: next time
            now = shown
        if now != shown:
            handle.update(found)
        shown = now
        del found  # else it would never be let go of
