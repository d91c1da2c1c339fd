"""What a rule declares of itself: each trait relaxes exactly one law."""

import ast
import re

from dux_sandbox.language.quiet_parsing import quiet_parser

# trait -> the law it relaxes, and how
TRAITS = {
    "clips-gradients": ("gradients", "gradients may be changed in place"),
    "needs-closure": ("bare_step", "every step is given a closure"),
    "stochastic": ("rng", "it may draw from the global random numbers"),
    "matrices-only": ("accepts", "only matrices and larger are handed to it"),
    "averages-weights": ("frozen", "it may go back to weights it keeps while lr is 0"),
    "keeps-residual": ("frozen", "what it owes may be moved while lr is 0"),
    "projects-weights": ("frozen", "it may hold weights in bounds while lr is 0"),
    "schedules-rate": ("keeps_groups", "it may write options into the groups"),
    "late-rate": ("options", "a new rate may act later, or be one of many"),
    "keeps-history": ("no_leak", "what it holds on to may grow with every step"),
    "reads-values": ("capturable", "it may look at the values of tensors"),
    "shared-clock": ("add_group", "a group that joins late may take up an old count"),
}

_LINE = re.compile(r"^[\s#*]*dux:[ \t]*(.*)$", re.MULTILINE)


class UnknownTrait(ValueError):
    """A rule declares something that is no trait."""


def declared_in(text: str | None) -> frozenset[str]:
    """The traits that a docstring declares in lines like `dux: clips-gradients`.

    Raises:
        UnknownTrait: a name there is none of `TRAITS`.

    >>> sorted(declared_in("SGD.\\n\\ndux: clips-gradients, stochastic\\n"))
    ['clips-gradients', 'stochastic']
    """
    found = set()
    for line in _LINE.findall(text or ""):
        for name in filter(None, (each.strip(" .") for each in line.split(","))):
            if name not in TRAITS:
                raise UnknownTrait(
                    f"`dux: {name[:40]}` declares no trait; the traits are "
                    f"{', '.join(TRAITS)}; correct the line or take it out."
                )
            found.add(name)
    return frozenset(found)


def declared_by(source: str) -> frozenset[str]:
    """The traits in the docstrings of a file: the module's and its classes'.

    Raises:
        UnknownTrait: as above.
        SyntaxError: the source does not parse.
    """
    with quiet_parser():
        tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    holders: list[ast.Module | ast.ClassDef] = [tree, *classes]
    return frozenset().union(
        *(declared_in(ast.get_docstring(holder)) for holder in holders)
    )
