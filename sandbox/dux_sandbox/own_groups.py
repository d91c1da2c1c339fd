"""A rule's own dicts over parameter groups that it shares with a training loop.

The loop's groups hold more than the rule's options: what schedulers keep there, and
whatever a user put there (names, functions, objects). A rule meets its own options
only, whether it runs in this process or in another.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from dux_sandbox.group_shares import number_in, says
from dux_sandbox.option_values import CYCLED, SCHEDULERS, is_cycled, shared, stays

Groups = list[dict[str, Any]]


class OwnGroups:
    """The dicts that a rule in this process calls `self.param_groups`.

    Attributes:
        shared: the loop's groups; before `bind` the rule's own are all there is.
        owned: per group, the names of the options that are the rule's. Of others it
            may have a value of the same name, which then stays with it alone.

    >>> own = OwnGroups([{"params": [], "lr": 0.1}])
    >>> shared = [{"params": [], "lr": 0.2, "name": "head"}]
    >>> own.bind(shared)
    >>> own.fetch()
    >>> own.groups
    [{'params': [], 'lr': 0.2}]
    """

    def __init__(self, groups: Groups) -> None:
        """Begin with the groups of a rule as it was built."""
        self.groups = groups
        self.shared: Groups | None = None
        self.owned = [set(shared(group)) - {"params"} for group in groups]

    def bind(self, shared: Groups, owned: Sequence[set[str]] | None = None) -> None:
        """From now on `fetch` and `hand_over` work on these groups.

        Args:
            owned: the names that are the rule's; None: as before.
        """
        self.shared = shared
        if owned is not None:
            self.owned = [set(names) - SCHEDULERS - {"params"} for names in owned]
        for own, group in zip(self.groups, shared, strict=False):
            own["params"] = group["params"]

    def _rows(self) -> Iterable[tuple[dict[str, Any], dict[str, Any], set[str]]]:
        return zip(self.groups, self.shared or (), self.owned, strict=False)

    def fetch(self) -> None:
        """Before a step: take over what the loop and its schedulers wrote."""
        for own, group, names in self._rows():
            for name in names:
                if name != "lr" and stays(name, own.get(name)):
                    continue
                if name in group:
                    own[name] = _plain(group[name])
                else:
                    own.pop(name, None)

    def hand_over(self) -> None:
        """After a step: give the loop's groups what the rule wrote to its options.

        What a scheduler reads stays where the rule deletes it, and comes back.
        """
        for own, group, names in self._rows():
            for name, value in own.items():
                if stays(name, value) and not (name == "lr" and name in names):
                    continue
                if name in names or (name not in group and name not in SCHEDULERS):
                    names.add(name)
                    if not says(group.get(name), value):
                        group[name] = value
            stay = {"lr", *CYCLED} if is_cycled(group) else {"lr"}
            for name in [name for name in names if name not in own]:
                if name not in stay:
                    names.discard(name)
                    group.pop(name, None)


def _plain(value: Any) -> Any:
    """A rate that a loop computed with NumPy, as the number it is."""
    if type(value) in (int, float) or isinstance(value, torch.Tensor):
        return value
    number = None if type(value) is bool else number_in(value)
    return value if number is None else number
