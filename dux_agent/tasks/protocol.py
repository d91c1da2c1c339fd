"""What every task must have, ours and anybody's, and words for what one lacks.

Rules that a task follows, so that its figures are the same everywhere and a run of it
resumes and replays to the last bit; `dux_agent.testing.TaskTestCase` tries them:

* The data never depend on the seed. The seed decides the initial weights, the order
  of the batches and the dropout masks.
* `train_batches(epoch)` reseeds the global generators, so that what an optimizer
  draws in one epoch cannot change the batches or masks of the next.
* The training loss of an epoch is the mean of its mini-batch losses, each taken
  before the step on that batch, with the model in train mode.
* Validation and test losses are means over the whole split, in eval mode.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, cast

from dux_agent.errors import BadArgument

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


class Task(Protocol):
    """One training, built for one seed."""

    @property
    def model(self) -> nn.Module:
        """What is trained; freshly initialized from the seed."""

    @property
    def loss_name(self) -> str:
        """The loss, in words, for the language model."""

    @property
    def epochs(self) -> int:
        """Epochs of a whole run."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches, and so training steps, of one epoch."""

    def base_optimizer(self) -> Optimizer:
        """A new base optimizer over the model's parameters."""

    def objective(self, model: nn.Module, batch: Any) -> Tensor:
        """The mean loss of `model`, which may be a copy, over a batch: a scalar."""

    def train_batches(self, epoch: int) -> Iterable[Any]:
        """The batches of one epoch, counted from 0; reseeds every generator."""

    def evaluate(self, split: str, model: nn.Module | None = None) -> float:
        """The mean loss over the whole of "val" or "test", in eval mode.

        Leaves modes, weights and random numbers as they were. None: of its own model.
        """


# Name: what it is called with, and the form to write.
_METHODS: dict[str, tuple[tuple[Any, ...], str]] = {
    "base_optimizer": ((), "base_optimizer() -> torch.optim.Optimizer"),
    "objective": ((None, None), "objective(model, batch) -> scalar tensor"),
    "train_batches": ((0,), "train_batches(epoch) -> batches"),
    "evaluate": (("val", None), "evaluate(split, model=None) -> float"),
}


def check_task(built: Any, name: str) -> Task:
    """`built`, if it has what a task must have; nothing of it is called.

    Args:
        built: what the builder of the task `name` returned.

    Raises:
        BadArgument: it lacks something.
    """
    from torch import nn

    kind = type(built).__name__
    for method, (arguments, form) in _METHODS.items():
        member = getattr(built, method, None)
        if not callable(member):
            found = "has no" if member is None else f"has a {type(member).__name__} as"
            raise broken(name, f"a {kind}, which {found} {method}", form)
        try:
            inspect.signature(member).bind(*arguments)
        except TypeError:
            found = f"a {kind}, whose {method}{inspect.signature(member)}"
            raise broken(name, f"{found} takes other arguments", form) from None
        except ValueError:
            pass  # written in C: nothing is known of it before it is called
    model = getattr(built, "model", None)
    if not isinstance(model, nn.Module) or not any(True for _ in model.parameters()):
        found = f"a {kind}, whose model is a {type(model).__name__}"
        raise broken(name, found, "a torch.nn.Module with parameters")
    for number in ("epochs", "steps_per_epoch"):
        value = getattr(built, number, None)
        if type(value) is not int or value < 1:
            found = f"a {kind}, whose {number} is {value!r}"
            raise broken(name, found, "a whole number >= 1")
    if not isinstance(getattr(built, "loss_name", None), str):
        found = f"a {kind}, whose loss_name is {getattr(built, 'loss_name', None)!r}"
        raise broken(name, found, 'a text such as "cross entropy"')
    return cast(Task, built)


def check_loss(loss: Any, split: str) -> float:
    """What `evaluate` gave for `split`, as a number; may be infinite or NaN.

    Raises:
        BadArgument: it is none.
    """
    try:
        return float(loss)
    except (TypeError, ValueError, RuntimeError):
        raise BadArgument(
            f"evaluate({split!r}) of the task gave a {type(loss).__name__}; the mean "
            f"loss over the split as a number was wanted; return a float."
        ) from None


def broken(name: str, found: str, wanted: str) -> BadArgument:
    """The error for a task `name` of which `found` was built."""
    return BadArgument(
        f"{name} built {found}; {wanted} was wanted; docs/tasks.md says what a task "
        f"has, and dux_agent.testing.TaskTestCase tries it."
    )
