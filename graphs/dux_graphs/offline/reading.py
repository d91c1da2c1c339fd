"""Reads the figures back out of the prompt, as any model has to: from its text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dux_graphs.offline.taught import split

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)"
_LOSSES = r"(?:training )?loss(?:es)? by fifth"
_STEP, _INTERVAL = r"\bstep", "steps since the last decision"
_TEXT_ON_LINE = r"[^\n]*"

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Figures:
    """What one chat says about a training; None or empty where it says nothing.

    Attributes:
        step, total_steps, interval, steps_ahead, decisions_left: counts of steps and
            decisions, as in the prompt.
        rates: learning rates of the live optimizer.
        losses: mean training loss by fifth of the last interval.
        began: training loss that the run began with, where its first prompt is in
            sight.
        gradients: mean gradient norm by fifth of the last interval.
        drawn: `(step, loss)` drawn at random from the interval.
        validation: `(step, loss)` of the run so far.
        evaluated: training loss of the last batches in evaluation mode.
        dropout: the network drops some of its activations in training.
        between_sigmoids: longest side of the matrices that lie between sigmoids, with
            another layer behind them; 0: there are none.
        base: name of the base optimizer, in lower case.
        source: the live source, "" while the base optimizer is live.
        harms: how many of the last proposals in a row were rolled back or refused.
        plain_shapes: shapes of embeddings and of the output layer.
        matrices: whether a layer has a hidden matrix.
        refusals: how often a proposal of this decision was refused.
        candidate: number of the proposal asked for, from 1.
        finding: the first finding of the last refusal, "" without one.
        loop_schedules: the training loop sets rates by a schedule of its own.
    """

    step: int | None = None
    total_steps: int | None = None
    interval: int | None = None
    steps_ahead: int | None = None
    decisions_left: int | None = None
    rates: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    began: float | None = None
    gradients: tuple[float, ...] = ()
    drawn: Pairs = ()
    validation: Pairs = ()
    evaluated: float | None = None
    dropout: bool = False
    between_sigmoids: int = 0
    base: str = ""
    source: str = ""
    harms: int = 0
    plain_shapes: tuple[tuple[int, ...], ...] = field(default=())
    matrices: bool = True
    refusals: int = 0
    candidate: int = 1
    finding: str = ""
    loop_schedules: bool = False


def read_chat(messages: Sequence[tuple[str, str]]) -> Figures:
    """The figures in a chat: `(role, text)` with role "system", "human" or "ai"."""
    asked = [split(text)[0] for role, text in messages if role == "human"]
    system = "\n".join(text for role, text in messages if role == "system")
    begin = max(
        (number for number, text in enumerate(asked) if _holds_figures(text)),
        default=max(0, len(asked) - 1),
    )
    update = asked[begin] if asked else ""
    later = asked[begin + 1 :]
    refused = [text for text in later if _REFUSED.search(text)]
    numbers = [_ANOTHER.search(text) for text in asked[-1:]]
    source = _live_source(update)
    # The source's comments may hold figures of their own: read around it.
    words = update.replace(source, "") if source else update
    layers = _layers(system)
    plain, matrices = _shapes(layers)
    evaluated = _row(words, r"in evaluation mode[^:\n]*")
    fault = re.search(r"^- (.+)$", refused[-1], re.MULTILINE) if refused else None
    return Figures(
        step=_count(words, _STEP),
        total_steps=_count(words, rf"\bsteps?:?\s*{_NUMBER}\s+of"),
        interval=_count(words, _INTERVAL),
        steps_ahead=_count(words, r"steps your rule will run[^:\n]*"),
        decisions_left=_count(words, r"you will be asked"),
        rates=_row(words, r"learning rates?[^:\n]*"),
        losses=_row(words, _LOSSES),
        began=_began(asked),
        gradients=_row(words, r"gradient norms? by fifth"),
        drawn=_pairs(words, r"drawn at random[^:\n]*(?:\(step: loss\))?"),
        validation=_pairs(words, r"validation loss(?:es)?[^:\n]*(?:\(step: loss\))?"),
        evaluated=evaluated[0] if evaluated else None,
        dropout=any(float(p) > 0.0 for p in _DROPS.findall(system)),
        between_sigmoids=_between_sigmoids(layers),
        base=_base(system + "\n" + words),
        source=source,
        harms=_harms(asked[: begin + 1], words),
        plain_shapes=plain,
        matrices=matrices,
        refusals=len(refused),
        candidate=int(numbers[0][1]) if numbers and numbers[0] else 1,
        finding=fault[1] if fault else "",
        loop_schedules=bool(_SCHEDULED.search(words)),
    )


def _began(asked: Sequence[str]) -> float | None:
    """The first loss of the run, as the prompt of its first decision says it."""
    for text in asked:
        interval = _count(text, _INTERVAL)
        if interval is not None and interval == _count(text, _STEP):
            losses = _row(text, _LOSSES)
            return losses[0] if losses else None
    return None


_DROPS = re.compile(r"\| \w*Dropout\w* \| p=(\d*\.?\d+)")
_SCHEDULED = re.compile(r"training loop (?:has a scheduler|computes its own rates)")
_REFUSED = re.compile(r"refused by|was refused", re.IGNORECASE)
_ANOTHER = re.compile(r"proposal (\d+) of \d+ for the same", re.IGNORECASE)
_HARMED = re.compile(r"It was (?:rolled back|refused)", re.IGNORECASE)


def _harms(asked: Sequence[str], words: str) -> int:
    """Proposals in a row that came to nothing, by the chat or by the history table."""
    if not _HARMED.search(words):
        return 0
    updates = [bool(_HARMED.search(text)) for text in asked if _holds_figures(text)]
    rows = re.findall(r"^\| \d+ \| \d+ \| (\w+) \|", words, re.MULTILINE)
    table = [verdict in ("kept", "rolled_back", "failed") for verdict in rows]
    return max(1, _trailing(updates), _trailing(table))


def _trailing(claims: Sequence[bool]) -> int:
    """How many claims at the end are true in a row."""
    count = 0
    for claim in reversed(claims):
        if not claim:
            break
        count += 1
    return count


def _holds_figures(text: str) -> bool:
    return bool(re.search(r"by fifth|steps since the last decision", text))


def _count(text: str, label: str) -> int | None:
    found = re.search(rf"{label}:?\s*(\d+)\b", text, re.IGNORECASE)
    return int(found[1]) if found else None


def _row(text: str, label: str) -> tuple[float, ...]:
    found = re.search(
        rf"{label}:\s*({_NUMBER}(?:\s*,\s*{_NUMBER})*)", text, re.IGNORECASE
    )
    if not found:
        return ()
    return tuple(float(number) for number in re.findall(_NUMBER, found[1]))


def _pairs(text: str, label: str) -> Pairs:
    pair = rf"\d+:\s*{_NUMBER}"
    found = re.search(rf"{label}:\s*({pair}(?:\s*,\s*{pair})*)", text, re.IGNORECASE)
    if not found:
        return ()
    halves = [part.split(":") for part in found[1].split(",")]
    return tuple((float(step), float(loss)) for step, loss in halves)


def _live_source(update: str) -> str:
    # Sources before that heading are of earlier rules, or quoted from the zoo.
    told = update.rpartition("\n## The live optimizer\n")[2]
    found = re.findall(
        r"^(`{3,})(?:python|py)?\n(.*?)\n\1$", told, re.DOTALL | re.MULTILINE
    )
    return found[-1][1] if found else ""


def _base(text: str) -> str:
    found = re.search(
        rf"base optimizer\s*\n+- (\w+){_TEXT_ON_LINE}|\b(\w+), the base optimizer", text
    )
    return (found[1] or found[2]).lower() if found else ""


Layers = list[tuple[str, list[tuple[int, ...]]]]
"""Kind, in lower case, and shapes of matrices of each layer, in the model's order."""


def _layers(system: str) -> Layers:
    rows = re.findall(r"^\| [^|]*\| ([^|]*)\| [^|]*\| ([^|]*)\|$", system, re.MULTILINE)
    layers = []
    for kind, parameters in rows:
        sizes = re.findall(r"\b(\d+(?:x\d+)+)\b", parameters)
        shapes = [tuple(int(n) for n in size.split("x")) for size in sizes]
        layers.append((kind.strip().lower(), shapes))
    return layers


_OTHER_ACTIVATIONS = frozenset(
    """celu elu gelu glu hardswish hardtanh leakyrelu mish prelu relu relu6 selu silu
    softplus softsign tanh""".split()
)


def _mark(kind: str, shapes: Sequence[object]) -> str:
    if kind == "sigmoid" or shapes:
        return "s" if kind == "sigmoid" else "m"
    return "x" if kind in _OTHER_ACTIVATIONS else "-"


def _between_sigmoids(layers: Layers) -> int:
    marks = "".join(_mark(kind, shapes) for kind, shapes in layers)
    # With another activation between them they are gates, and nothing is stacked.
    found = re.search("s(?:[m-]*s)+(?=.*m)", marks)
    inner = layers[found.start() : found.end()] if found else []
    sides = [
        side
        for _, shapes in inner
        for rows, *columns in shapes
        for side in (rows, math.prod(columns))
    ]
    return max(sides, default=0)


def _shapes(layers: Layers) -> tuple[tuple[tuple[int, ...], ...], bool]:
    """Shapes that are no hidden matrices, and whether there is any hidden matrix.

    Embeddings look rows up and the last layer speaks in the loss's own units: neither
    wants all its directions made alike. Nor does a layer that is alone before the last
    one: its inputs are the data, in scales of their own.
    """
    layers = [(kind, shapes) for kind, shapes in layers if shapes]
    if not layers:
        return (), True
    embedded = {
        shape for kind, shapes in layers if "embedding" in kind for shape in shapes
    }
    others = [(kind, shapes) for kind, shapes in layers if "embedding" not in kind]
    inner = {shape for _, shapes in others[:-1] for shape in shapes}
    deeper = others[:-1]
    if deeper == layers[: len(deeper)] and deeper and deeper[0][0] == "linear":
        deeper = deeper[1:]
    head = set(others[-1][1]) if others else set()
    plain = sorted((embedded | head) - inner)
    hidden = [
        shape
        for _, shapes in deeper
        for shape in shapes
        if shape[0] > 1 and shape[1:] != (1,)
    ]
    return tuple(plain), bool(hidden)
