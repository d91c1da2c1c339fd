"""Optimizers of the literature, written from their papers: sources that keep the laws.

Each file in `sources` holds one optimizer, as a language model would hand it in. What
is known of it stands in the docstring of the file: a title, the formula (w are the
weights, g their gradient, t the number of the step), notes, the paper, and the state
it keeps.
"""

from __future__ import annotations

import ast
import difflib
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dux_sandbox.laws.traits import declared_by


class UnknownEntry(LookupError):
    """The zoo has no optimizer of that name; the message says which are near."""


@dataclass(frozen=True)
class Entry:
    """One optimizer of the zoo.

    Attributes:
        name: its name in the zoo, and the file's: "adamw".
        rule: the name of its class: "AdamW".
        title: what it does, in one sentence.
        formula: one step, in lines.
        notes: where it differs from its paper, or what to know; "" if there is nothing.
        paper: authors, title, and where it stands.
        state: what it keeps between steps, in words.
        traits: which laws it relaxes by design (`dux_sandbox.laws.TRAITS`).
        source: what the file holds.
        file: where it lies.
    """

    name: str
    rule: str
    title: str
    formula: str
    notes: str
    paper: str
    state: str
    traits: frozenset[str]
    source: str
    file: str


@dataclass(frozen=True)
class Missing:
    """A method that no rule can be, and why.

    Attributes:
        title: what it is called.
        paper: authors, title, and where it stands.
        reason: what it needs that a rule is not given.
    """

    title: str
    paper: str
    reason: str


# A rule is given parameters, gradients and a closure that computes them anew, on values
# without a graph behind them.
NOT_EXPRESSIBLE = (
    Missing(
        "MKOR",
        "Mozaffari et al., MKOR: momentum-enabled Kronecker-factor-based optimizer "
        "using rank-1 updates, arXiv 2306.01685",
        "it needs the activations of layers; a rule is given gradients of weights",
    ),
    Missing(
        "Sophia-H",
        "Liu et al., Sophia: a scalable stochastic second-order optimizer for language "
        "model pre-training, arXiv 2305.14342",
        "it needs products with the Hessian; the gradients of a rule have no graph "
        "(sophia_g takes squared gradients)",
    ),
    Missing(
        "OASIS",
        "Jahani et al., Doubly adaptive scaled algorithm for machine learning using "
        "second-order information, arXiv 2109.05198",
        "it needs products with the Hessian; the gradients of a rule have no graph",
    ),
)


@cache
def entries() -> dict[str, Entry]:
    """Every optimizer of the zoo by its name, in alphabetical order."""
    folder = Path(__file__).parent / "sources"
    return {file.stem: _read(file) for file in sorted(folder.glob("*.py"))}


def entry(name: str) -> Entry:
    """One optimizer by its name, or by that of its class.

    Raises:
        UnknownEntry: there is none.

    >>> entry("AdamW").paper
    'Loshchilov, Hutter, Decoupled weight decay regularization, arXiv 1711.05101.'
    """
    known = entries()
    by_any_name = {
        each.lower(): key for key in known for each in (key, known[key].rule)
    }
    if name.lower() in by_any_name:
        return known[by_any_name[name.lower()]]
    near = difflib.get_close_matches(name.lower(), known, n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnknownEntry(
        f"the zoo has no optimizer {name[:60]!r}; {meant}`dux zoo list` shows them all."
    )


def _read(file: Path) -> Entry:
    source = file.read_text("utf-8")
    tree = ast.parse(source)
    told = ast.get_docstring(tree) or ""
    title, *parts = told.split("\n\n")
    facts = [part for part in parts if part.startswith("Paper: ")]
    notes = [
        part for part in parts if not part.startswith(("    ", "Paper: ", "dux: "))
    ]
    paper, state = facts[0].removeprefix("Paper: ").split("\nState: ")
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return Entry(
        name=file.stem,
        rule=classes[-1].name,
        title=title,
        formula=textwrap.dedent(parts[0]),
        notes=" ".join("\n\n".join(notes).split()),
        paper=" ".join(paper.split()),
        state=" ".join(state.split()),
        traits=declared_by(source),
        source=source,
        file=str(file),
    )
