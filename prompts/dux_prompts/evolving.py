"""Writes the prompts of a search for optimizers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dux_prompts.brief import HOME, render_template
from dux_prompts.experience import experience_section
from dux_prompts.may_use import MAY, MAY_NOT
from dux_prompts.quoting import quotes_towards

_SOURCE_CHARACTERS = 12_000

# What is asked for; scattered directions, so that one parent has different children
# (after Light et al., Scattered Forest Search, 2024).
_DIRECTIONS = (
    "how far a step goes, whatever the gradient's size",
    "what is remembered of earlier gradients, and for how long",
    "what the shape of a weight says: rows, columns, whole matrices",
    "how the first steps differ from the last ones",
    "where single weights go another way than their neighbours",
    "what noise in the gradients does to the step",
)
_TASKS = {
    "new": "Invent an optimizer of another kind than those above.",
    "explore": (
        "Write one that differs from those above as far as it can, and keeps the idea "
        "that you think they have in common."
    ),
    "repair": (
        "The last one above was stopped: {why}. Write it again so that this is mended "
        "and its thought stays."
    ),
}


@dataclass(frozen=True)
class Shown:
    """An optimizer as a prompt shows it.

    Attributes:
        number: of the individual.
        score: what came of it, in words.
        thought: one sentence.
        source: its text.
    """

    number: int
    score: str
    thought: str
    source: str


def render_system() -> str:
    """Who is asked, and the contract of a rule."""
    names = {
        "closures": False,
        "reasoning": True,
        "may": [sentence.says for sentence in MAY],
        "may_not": MAY_NOT,
    }
    return render_template("system.md", HOME / "evolve", HOME, names)


def render_request(
    operator: str,
    shown: Sequence[Shown],
    *,
    direction: int,
    why: str = "",
    zoo: bool = False,
    experience: Sequence[Mapping[str, Any]] = (),
) -> str:
    """What one operator asks for.

    Args:
        operator: "new", "explore" or "repair".
        shown: the best last, as in OPRO (Yang et al. 2023).
        direction: any number; another number is another direction of change.
        why: what stopped the last of `shown`, for "repair".
        zoo: quote a source of the zoo that goes in this direction.
        experience: what other trainings have taught, as
            `dux_prompts.experience.experience_section` takes it.
    """
    task = _TASKS[operator].format(why=why)
    if operator != "repair":
        task += f" Think of {_DIRECTIONS[direction % len(_DIRECTIONS)]}."
    rows = [
        {
            "number": each.number,
            "score": each.score,
            "thought": each.thought,
            "source": each.source[:_SOURCE_CHARACTERS].rstrip(),
        }
        for each in shown
    ]
    quotes = []
    if zoo and operator != "repair":
        quotes = quotes_towards(direction, [each.source for each in shown])
    names = {"shown": rows, "quotes": quotes, "task": task}
    names["experience"] = experience_section(experience)
    return render_template("request.md", HOME / "evolve", HOME, names)
