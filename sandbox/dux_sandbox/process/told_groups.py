"""Option values of the parameter groups, kept the same on both sides of the wall."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from operator import is_, itemgetter
from typing import Any

from dux_sandbox.group_shares import rates_kept
from dux_sandbox.option_values import SCHEDULERS, of_its_own, one_for_all
from dux_sandbox.process.reported import options_to_send, take_options, write_options
from dux_sandbox.running import ParamGroups, same_options, same_value
from dux_sandbox.values import encode

Pick = Callable[[dict[str, Any]], tuple[Any, ...]]


class ToldGroups:
    """The live groups, and what the child was told of them last.

    The child is told of the rule's own options and of nothing else that a group holds.

    Attributes:
        groups: the live groups.
        owned: per group, the names of the rule's own options.

    >>> told = ToldGroups([{"params": [], "lr": 0.1}], [{"lr": 0.1}])
    >>> told.groups[0]["lr"] = 0.2
    >>> [at for at, _ in told.news()], told.news()
    ([0], [])
    """

    def __init__(self, groups: ParamGroups, options: list[dict[str, Any]]) -> None:
        """The child built its groups with these options, one dict a group."""
        self.groups = groups
        self._told = [of_its_own(dict(one)) for one in options]
        self.owned = [set(one) for one in options]
        self._private: list[dict[str, Any]] = [{} for _ in options]
        self._picks: dict[int, tuple[int, Pick]] = {}

    def bind(
        self, groups: ParamGroups, owned: Sequence[set[str]] | None = None
    ) -> None:
        """From now on these are the live groups; `owned` as before where it is None."""
        self.groups = groups
        self._picks.clear()
        if owned is not None:
            self.owned = [set(names) - SCHEDULERS - {"params"} for names in owned]
        # An option of a name that the loop uses for something else stays the child's.
        self._private = [
            {name: value for name, value in told.items() if name not in names}
            for told, names in zip(self._told, self.owned, strict=False)
        ]

    def news(self) -> list[list[Any]]:
        """`[index, options]` of each group that changed here since the last call."""
        changed = []
        for index, (group, names, private) in enumerate(
            zip(self.groups, self.owned, self._private, strict=False)
        ):
            if self._is_as_told(index, group, names):
                continue
            shared = {name: value for name, value in group.items() if name in names}
            now = of_its_own({**private, **shared})
            if not same_options(now, self._told[index]):
                changed.append([index, options_to_send(now)])
                self._told[index] = now
        return changed

    def _is_as_told(self, index: int, group: dict[str, Any], names: set[str]) -> bool:
        """Whether each option is the very value that was told: few steps change any."""
        known, many = self._picks.get(index), len(names)
        if known is None or known[0] != many:  # a rule may make more names its own
            known = self._picks[index] = many, _pick_of(names)
        pick = known[1]
        try:
            return all(map(is_, pick(group), pick(self._told[index])))
        except KeyError:
            return False

    def take(self, changes: Any) -> None:
        """Do here what the rule did to its groups.

        Raises:
            One of `reported.NONSENSE`: what the child says of them is malformed.
        """
        with self._forms_kept() if changes else nullcontext():
            for index, described in changes:
                take_options(described, *self._sides(index))

    def write(self, options: Sequence[dict[str, Any]]) -> None:
        """As `take`, of all groups, where the rule's values are here."""
        changes = [self._changed(index, now) for index, now in enumerate(options)]
        if all(map(_are_counts, changes)):
            for index, changed in enumerate(changes):
                write_options(changed, *self._sides(index))
            return
        with self._forms_kept():
            for index, changed in enumerate(changes):
                if _are_numbers(changed):
                    write_options(changed, *self._sides(index))
                else:
                    take_options(encode(options[index], []), *self._sides(index))

    @contextmanager
    def _forms_kept(self) -> Iterator[None]:
        """What is written in here into lists that groups share, and to tensors that a
        loop has for rates, is so afterwards."""
        with one_for_all(self.groups), rates_kept(self.groups):
            yield

    def _changed(self, index: int, now: dict[str, Any]) -> dict[str, Any]:
        told = self._told[index]
        return {
            name: value
            for name, value in now.items()
            if name not in told or not same_value(value, told[name])
        }

    def _sides(self, index: int) -> Any:
        group, told = self.groups[index], self._told[index]
        return group, told, self.owned[index], self._private[index]


def _are_numbers(changed: dict[str, Any]) -> bool:
    return all(type(value) in (int, float) for value in changed.values())


def _are_counts(changed: dict[str, Any]) -> bool:
    """Whether nothing is written but numbers that no list of groups and no tensor of a
    loop's has: what most rules write, if anything."""
    return "lr" not in changed and _are_numbers(changed)


def _pick_of(names: set[str]) -> Pick:
    """Takes what has these names out of a dict."""
    if not names:
        return _nothing
    return itemgetter(*names, *([] if len(names) > 1 else names))


def _nothing(_: dict[str, Any]) -> tuple[Any, ...]:
    return ()
