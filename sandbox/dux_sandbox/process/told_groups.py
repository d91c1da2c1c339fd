"""Option values of the parameter groups, kept the same on both sides of the wall."""

from __future__ import annotations

from typing import Any

from dux_sandbox.process.reported import options_to_send, take_options
from dux_sandbox.running import ParamGroups, same_options, without_params


class ToldGroups:
    """The live groups, and what the child was told of them last.

    >>> told = ToldGroups([{"params": [], "lr": 0.1}], [{"lr": 0.1}])
    >>> told.groups[0]["lr"] = 0.2
    >>> [at for at, _ in told.news()], told.news()
    ([0], [])
    """

    def __init__(self, groups: ParamGroups, options: list[dict[str, Any]]) -> None:
        """The child built its groups with these options, one dict a group."""
        self.groups = groups
        self._told = [dict(one) for one in options]
        self._owned = [set(one) for one in options]

    def news(self) -> list[list[Any]]:
        """`[index, options]` of each group that changed here since the last call."""
        changed = []
        for index, group in enumerate(self.groups):
            now = without_params(group)
            if not same_options(now, self._told[index]):
                changed.append([index, options_to_send(now)])
                self._told[index] = now
        return changed

    def take(self, changes: Any) -> None:
        """Do here what the rule did to its groups.

        Raises:
            One of `reported.NONSENSE`: what the child says of them is malformed.
        """
        for index, described in changes:
            group, told = self.groups[index], self._told[index]
            take_options(described, group, told, self._owned[index])
