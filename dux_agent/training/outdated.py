"""What is tried in slices is over once the training has other parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from dux_sandbox.dry_runs.slices import Result, Slices, within


class Outdated(Exception):
    """The training is not any more what a dry run, or its decision, began with."""


def while_it_holds(
    slices: Slices[Result], model: nn.Module, groups: list[dict[str, Any]]
) -> Slices[Result]:
    """The same slices, as long as model and groups hold the parameters they hold now.

    Raises:
        Outdated: before the first slice that comes after a change.
    """

    def held() -> list[list[int]]:
        inside = [group["params"] for group in groups]
        return [[*map(id, each)] for each in (model.parameters(), *inside)]

    began = held()

    @contextmanager
    def held_still() -> Iterator[None]:
        if held() != began:
            raise Outdated(
                "the loop gave the model or the optimizer other parameters while "
                "a proposal was tried on those of before"
            )
        yield

    return within(held_still, slices)
