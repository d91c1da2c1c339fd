"""A program as a hyperparameter: which texts are one, when two are the same."""

import ast
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.general_programs import GENERAL_PROGRAMS, drawn_program
from dux_sandbox.findings import Finding
from dux_sandbox.programs.contract import WANTED, examine, tree_of

SOURCE = "source"
"""The name of the one hyperparameter of a study of code."""

_HEADLINE_CHARACTERS = 160


@dataclass(frozen=True)
class Program(Choice):
    """Any program that `dux_sandbox.programs.contract` accepts.

    Attributes:
        choices: those that are tried where no language model is asked.
    """

    choices: tuple[str, ...] = GENERAL_PROGRAMS

    def typed(self, value: Any) -> str:
        """The text, with one line feed last."""
        return str(value).strip("\n") + "\n"

    def findings(self, value: Any) -> list[Finding]:
        """What is wrong with a text, each with its line."""
        if not isinstance(value, str):
            said = f"the program is a {type(value).__name__}, and no text"
            return [Finding("contract", None, said, f"define {WANTED}")]
        return list(examine(value).findings)

    def problem(self, value: Any, *, free: bool = False) -> tuple[str, str] | None:
        """The first of `findings`."""
        found = self.findings(value)
        return (found[0].message, found[0].instead) if found else None

    def words(self, free: bool = False) -> str:
        """What values it takes, in words."""
        return f"a program that defines {WANTED}"

    def draw(self, rng: random.Random) -> str:
        """A perceptron of drawn numbers."""
        return drawn_program(rng)

    @property
    def size(self) -> float:
        """There is no end of them."""
        return float("inf")

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a run folder holds it."""
        return {"kind": "program", "default": None, "when": {}}


def program_in(config: Mapping[str, Any]) -> str | None:
    """The source of a configuration that is a program; None for any other."""
    source = config.get(SOURCE)
    many = isinstance(source, str) and "\n" in source
    return source if many and len(config) == 1 else None


@lru_cache(maxsize=512)
def same_text(source: str) -> str:
    """The same text for programs that differ in comments and layout alone."""
    tree = tree_of(source)
    try:
        return source if isinstance(tree, Finding) else ast.unparse(tree)
    except ValueError:  # an int of more digits than Python writes
        return source


def headline(source: str) -> str:
    """What a program says of itself: its first comment, or its docstring's first line.

    >>> headline("# A wide net.\\nimport torch\\n")
    'A wide net.'
    """
    first = next((line for line in source.splitlines() if line.strip()), "")
    if first.startswith("#"):
        return first.lstrip("# ").strip()[:_HEADLINE_CHARACTERS]
    tree = tree_of(source)
    said = None if isinstance(tree, Finding) else ast.get_docstring(tree)
    return (said or "").partition("\n")[0].strip()[:_HEADLINE_CHARACTERS]
