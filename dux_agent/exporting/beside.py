"""The best rule of a run, and beside it the same without what changes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dux_agent.errors import DuxError
from dux_agent.exporting.ablation import Smaller, ablate
from dux_agent.exporting.best import best_rule, live_rules
from dux_agent.exporting.module_text import docstring, export, fit
from dux_agent.exporting.placing import indented, without_future
from dux_agent.run_history.reading import read_story
from dux_agent.run_history.records import DecisionStory, RunHistory
from dux_sandbox.findings import RuleFailed


def export_with_smaller(folder: str | Path) -> str:
    """The text of a module that holds both.

    The rule is run for this in jailed processes, once for every part that might be left
    out of it.

    Args:
        folder: a run folder; nothing in it is changed.

    Raises:
        RunFolderUnusable, DuxError: as for `export`, and where the rule takes no steps.
    """
    text, run = export(folder), read_story(folder)
    decision = best_rule(run).decision
    name, source = fit(run, decision)
    try:
        smaller = ablate(source, _shapes(decision), _steps(run, decision))
    except RuleFailed as failed:
        raise DuxError(
            f"the rule of decision {decision.number} takes no steps on gradients that "
            f"are drawn: {failed.finding}; one that does was wanted; leave --smaller "
            f"out."
        ) from None
    return f"{text}\n\n{_beside(name, smaller)}"


def _beside(name: str, smaller: Smaller) -> str:
    if not smaller.dropped:
        return f"# Nothing can be left out of {name}: each part changes a step.\n"
    told = [
        f"{name} without what changes none of its first {smaller.steps} steps:",
        "",
        *(f"    {each}" for each in smaller.dropped),
    ]
    text = docstring(told).strip()
    body = indented(f"{text}\n{without_future(smaller.source)[0]}\nreturn {name}\n")
    call = f"{name}Smaller = smaller_{name}()"
    return f"def smaller_{name}():\n{body.rstrip()}\n\n\n{call}\n"


def _shapes(decision: DecisionStory) -> list[list[int]]:
    """Of the parameters, as the observation of the decision tells them."""
    seen = [each.data for each in decision.events if each.kind == "observation"]
    model = seen[-1].get("model") if seen else None
    layers = model.get("layers") if isinstance(model, Mapping) else None
    parameters: list[Any] = [
        layer.get("parameters")
        for layer in (layers if isinstance(layers, list) else ())
        if isinstance(layer, Mapping)
    ]
    return [
        list(shape)
        for named in parameters
        if isinstance(named, Mapping)
        for shape in named.values()
        if isinstance(shape, list) and all(type(size) is int for size in shape)
    ]


def _steps(run: RunHistory, decision: DecisionStory) -> int:
    """How many it has taken live."""
    later = [each.decided_at for each in live_rules(run)]
    ends = [step for step in later if step > decision.decided_at]
    ends += [step for step, _ in run.losses[-1:]]
    return min(ends, default=decision.decided_at + 1) - decision.decided_at
