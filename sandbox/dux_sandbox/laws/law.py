"""What a law is: a claim, its reason, the bugs it finds, and how it is tried."""

from collections.abc import Callable
from dataclasses import dataclass, field

from dux_sandbox.laws.cases import Case, Parameter
from dux_sandbox.laws.training import Training

MATRIX = (2, 3)
LR: tuple[tuple[str, object], ...] = (("lr", 0.1),)
# What schedules and users set; other options a rule may use for notes of its own.
KNOWN_OPTIONS = ("lr", "weight_decay", "momentum", "betas", "eps")
CALM: tuple[tuple[str, object], ...] = (("lr", 0.1), ("weight_decay", 0.0))
DECAYING: tuple[tuple[str, object], ...] = (("lr", 0.1), ("weight_decay", 0.1))


@dataclass(frozen=True)
class Drawn:
    """What hypothesis draws for a law, beside its own cases.

    Attributes:
        shapes: "any", "ordinary" (no side is 0), "vectors" or "matrix".
        dtypes: names of dtypes.
        gradients: names of gradients.
        layouts: names of layouts.
        gradient_layouts: names of layouts that gradients have.
        values: names of the parameters' values.
        parameters: the fewest and the most parameters.
        groups: the most groups.
        steps: the fewest and the most steps.
        variants: the experiments of the law.
        moves: how many of the variants make one case; 0: each is one by itself.
        decaying: options besides `lr` are drawn.
    """

    shapes: str = "ordinary"
    dtypes: tuple[str, ...] = ("float32",)
    gradients: tuple[str, ...] = ("mixed", "steady", "sparse")
    layouts: tuple[str, ...] = ("contiguous",)
    gradient_layouts: tuple[str, ...] = ("contiguous",)
    values: tuple[str, ...] = ("mixed",)
    parameters: tuple[int, int] = (1, 3)
    groups: int = 1
    steps: tuple[int, int] = (1, 4)
    variants: tuple[str, ...] = ("",)
    moves: int = 0
    decaying: bool = True


@dataclass(frozen=True)
class Law:
    """One law of an optimizer.

    Attributes:
        name: what it is switched off by.
        claim: what holds for a rule that keeps it.
        reason: why anyone would want that.
        catches: the class of bugs that break it.
        experiment: tries it on one case; raises Violation, or Unjudged where the
            rule fails in a way that another law is about.
        corners: cases that are tried first, made by hand, small.
        drawn: what hypothesis draws after them.
        relaxed_by: the traits that relax it, each alone.
        needs: an option without which it claims nothing.
        most_drawn: more than this is never drawn; None: as much as is asked for.
        steady: it claims nothing of a rule that draws random numbers: where they
            fall depends on order and layout.
        retells: it does what all others do, and does not tell again of an error that
            one of them told of.
    """

    name: str
    claim: str
    reason: str
    catches: str
    experiment: Callable[[Training, Case], None]
    corners: tuple[Case, ...]
    drawn: Drawn = field(default_factory=Drawn)
    relaxed_by: tuple[str, ...] = ()
    needs: str | None = None
    steady: bool = False
    most_drawn: int | None = None
    retells: bool = False


def case(
    *shapes: tuple[int, ...],
    gradients: tuple[tuple[str, ...], ...] | str = "mixed",
    steps: int = 3,
    dtype: str = "float32",
    values: str = "mixed",
    layout: str = "contiguous",
    gradient_layout: str = "contiguous",
    groups: tuple[int, ...] = (),
    options: tuple[tuple[tuple[str, object], ...], ...] = (LR,),
    variant: str = "",
) -> Case:
    """A case in few words: shapes, and one gradient for all or one for each."""
    parameters = tuple(
        Parameter(shape, dtype, values, layout, gradient_layout) for shape in shapes
    )
    if isinstance(gradients, str):
        gradients = ((gradients,) * len(shapes),) * steps
    return Case(parameters, gradients, groups, options, variant)


def listed(names: list[str]) -> str:
    """Names as the items of a tuple that may have one item."""
    return ", ".join(names) + ","
