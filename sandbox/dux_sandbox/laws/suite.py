"""The laws of an optimizer, each with its reason, and `check_laws` to try them.

from dux_sandbox.laws import check_laws
for result in check_laws(lambda params: torch.optim.Adam(params, lr=1e-3)):
    print(result.name, result.ok, result.message)
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dux_sandbox.laws.calling import CALLING_LAWS
from dux_sandbox.laws.compiling import COMPILING_LAWS
from dux_sandbox.laws.decaying import DECAY
from dux_sandbox.laws.episodes import EPISODE
from dux_sandbox.laws.grouping import GROUPING_LAWS
from dux_sandbox.laws.judging import Factory, judge
from dux_sandbox.laws.judging import LawResult as LawResult
from dux_sandbox.laws.lasting import LASTING_LAWS
from dux_sandbox.laws.law import Drawn as Drawn
from dux_sandbox.laws.law import Law as Law
from dux_sandbox.laws.memory import DETERMINISTIC, MEMORY_LAWS
from dux_sandbox.laws.options import OPTIONS
from dux_sandbox.laws.ownership import OWNERSHIP_LAWS
from dux_sandbox.laws.traits import TRAITS as TRAITS
from dux_sandbox.laws.values import VALUES_LAWS

LAWS: tuple[Law, ...] = (
    # First, while what a class may count for all its rules together is still small.
    DETERMINISTIC,
    *VALUES_LAWS,
    DECAY,
    *OWNERSHIP_LAWS,
    *MEMORY_LAWS,
    *GROUPING_LAWS,
    OPTIONS,
    *CALLING_LAWS,
    EPISODE,
    *LASTING_LAWS,
)
# Tried only where they are asked for: they are slow, or few rules are made for them.
OPTIONAL_LAWS: tuple[Law, ...] = COMPILING_LAWS


# How many of the cases made by hand a short run tries of each law.
_QUICK_CORNERS = 4


class HypothesisMissing(ImportError):
    """hypothesis is not installed; the message ends in the `pip install`."""


def check_laws(
    factory: Factory,
    *,
    examples: int = 50,
    skip: Iterable[str] = (),
    also: Iterable[str] = (),
    seed: int = 0,
    traits: Iterable[str] | None = None,
    source: str | None = None,
) -> list[LawResult]:
    """Try every law on a rule.

    Each law is tried on cases made by hand first, then on `examples` drawn by
    hypothesis, and a failing one is shrunk. The same seed gives the same results.
    Whatever the rule raises is a violation, told once: what keeps a rule from being
    tried at all breaks one law, and the others are not tried. Global modes and random
    numbers are afterwards what they were.

    Args:
        factory: makes an optimizer of parameters or of parameter groups; called
            often, with parameters on the CPU.
        examples: drawn for each law; 0 tries the cases made by hand only, and needs
            no hypothesis.
        skip: names of laws that are left out.
        also: names of `OPTIONAL_LAWS` that are tried as well.
        seed: of what is drawn.
        traits: names of `TRAITS`; None: those that the docstring of the factory or
            of the optimizer's class declares, as in `dux: clips-gradients`.
        source: the text that defines the class, for the scripts; None: looked up.

    Returns:
        One result for each law that is not left out, in the order of `LAWS`.

    Raises:
        ValueError: `skip`, `also` or `traits` names something unknown, `examples` < 0.
        HypothesisMissing: `examples` > 0 without the extra `fuzz`.

    >>> [r.name for r in check_laws(torch.optim.SGD, examples=0) if not r.ok]
    []
    """
    return list(
        iter_laws(
            factory,
            examples=examples,
            skip=skip,
            also=also,
            seed=seed,
            traits=traits,
            source=source,
        )
    )


def iter_laws(
    factory: Factory,
    *,
    examples: int = 50,
    skip: Iterable[str] = (),
    also: Iterable[str] = (),
    seed: int = 0,
    traits: Iterable[str] | None = None,
    source: str | None = None,
    quick: bool = False,
) -> Iterator[LawResult]:
    """The same, one result after another; `quick` tries few cases made by hand."""
    laws = laws_to_try(examples, skip, also)
    named = None if traits is None else _known("traits", traits, list(TRAITS))
    if quick:
        laws = [replace(law, corners=law.corners[:_QUICK_CORNERS]) for law in laws]
    return judge(factory, laws, examples, seed, named, source)


def laws_to_try(
    examples: int, skip: Iterable[str], also: Iterable[str] = ()
) -> list[Law]:
    """The laws that are not left out, in order, then the optional ones asked for.

    Raises:
        ValueError: `skip` or `also` names no law, or `examples` < 0.
        HypothesisMissing: `examples` > 0 and hypothesis cannot be imported.
    """
    added = _known("also", also, [law.name for law in OPTIONAL_LAWS])
    skipped = _known("skip", skip, [law.name for law in (*LAWS, *OPTIONAL_LAWS)])
    if examples < 0:
        raise ValueError(f"examples is {examples}; it must be >= 0.")
    if examples:
        _require_hypothesis()
    laws = [*LAWS, *(law for law in OPTIONAL_LAWS if law.name in added)]
    return [law for law in laws if law.name not in skipped]


def _require_hypothesis() -> None:
    try:
        import hypothesis  # noqa: F401
    except ImportError:
        raise HypothesisMissing(
            "hypothesis is not installed; drawing examples for the laws needs it; "
            "pip install 'dux-agent[fuzz]'"
        ) from None


def _known(what: str, names: Iterable[str], wanted: list[str]) -> frozenset[str]:
    found = frozenset([names] if isinstance(names, str) else names)
    for name in sorted(found - set(wanted)):
        raise ValueError(f"{what} names {name!r}; known are {', '.join(wanted)}.")
    return found
