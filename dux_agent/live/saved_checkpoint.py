"""A checkpoint as somebody hands it in: opened and judged before anything changes.

It may come from anybody. Whatever its shape, it is refused in one way, and a source
in it is checked as if a model had just written it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dux_agent.errors import DuxError
from dux_agent.live.group_options import copy_of_groups
from dux_agent.live.plain_data import decode_each
from dux_agent.live.rates import SavedRates
from dux_graphs.plain_json import read_json
from dux_sandbox.closures import ClosureUse
from dux_sandbox.findings import CheckReport, Finding, SourceRejected, digest_of


class CheckpointRefused(SourceRejected, DuxError):
    """A checkpoint that is damaged or whose source must not run; `.report` says why."""

    def __init__(self, digest: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(CheckReport(False, digest, findings))
        said = "; ".join(str(finding) for finding in findings[:3])
        whose = f", its rule {digest[:12]} may not run" if digest else ""
        self.args = (
            f"the checkpoint is refused{whose}: {said}; "
            f"a checkpoint that nobody changed was wanted; load another.",
        )


# The parameters are the caller's and the record ours, whoever claims them.
_OURS = ("params", "dux")


@dataclass(frozen=True)
class SavedCheckpoint:
    """What a checkpoint holds.

    Attributes:
        state: the state by whatever names the groups give their parameters.
        groups: options of each group; "params" lists those names.
        source: the rule's text, checked; None where the base optimizer was live.
        attributes: the rule's plain attributes.
        base_options: the base optimizer's options of each group.
        owned: per group, the names of options that are the rule's own.
        steps: steps taken when it was saved.
        closure_use: what the rule was seen to do with closures.
        mode: where the rule ran if it was to be recorded; whatever the record says.
        makes: shape and dtype of each parameter; None where it does not say.
        more: what a base optimizer with a `state_dict` of its own keeps beside these.
        rates: of the loop's schedule; None in what was saved without them.
    """

    state: dict[Any, Any]
    groups: list[dict[str, Any]]
    source: str | None
    attributes: dict[str, Any]
    base_options: list[dict[str, Any]]
    owned: list[list[str]]
    steps: int
    closure_use: ClosureUse = ClosureUse.UNKNOWN
    mode: Any = None
    makes: list[Any] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    rates: SavedRates | None = None


def opened(state_dict: Any) -> SavedCheckpoint:
    """The checkpoint, whole.

    Raises:
        CheckpointRefused: it has not the shape of one, its source is not what its
            digest says, or the static check refuses it.
    """
    if not isinstance(state_dict, dict):
        raise refused("it is no dict")
    state, groups = state_dict.get("state"), state_dict.get("param_groups")
    if not isinstance(state, dict):
        raise refused("its `state` is no dict")
    if not (isinstance(groups, list) and groups and all(map(_is_group, groups))):
        raise refused(
            "its `param_groups` are no list of dicts with a list of `params` each"
        )
    groups = copy_of_groups(groups)
    known = ("state", "param_groups")
    more = {name: value for name, value in state_dict.items() if name not in known}
    record = groups[0].pop("dux", None)
    if record is None:
        return SavedCheckpoint(state, groups, None, {}, [], [], 0, more=more)
    if not isinstance(record, dict):
        raise refused("its record is no dict")
    kept, attributes, bases = _kept(record)
    owned, steps = kept.get("owned", []), kept.get("steps", 0)
    if not (
        isinstance(owned, list)
        and all(isinstance(names, list) for names in owned)
        and all(isinstance(name, str) for names in owned for name in names)
    ):
        raise refused("its `owned` are no lists of names")
    return SavedCheckpoint(
        state=state,
        groups=groups,
        source=None if record.get("source") is None else _checked(record),
        attributes=attributes,
        base_options=bases,
        owned=[[name for name in names if name not in _OURS] for names in owned],
        steps=steps if type(steps) is int and steps >= 0 else 0,
        closure_use=closure_use(kept),
        mode=kept.get("mode"),
        makes=_makes(kept.get("makes")),
        more=more,
        rates=_rates(kept, len(groups)),
    )


def _rates(kept: Mapping[str, Any], groups: int) -> SavedRates | None:
    if "rates" not in kept:
        return None
    with readable("its rates"):
        return SavedRates.from_dict(kept["rates"], groups)


def closure_use(record: Mapping[str, Any]) -> ClosureUse:
    """What a record says of a rule and closures; older ones say nothing."""
    name = record.get("closure_use")
    known = isinstance(name, str) and name in set(ClosureUse)
    return ClosureUse(str(name)) if known else ClosureUse.UNKNOWN


# What reading something raises that is not what it should be.
UNREADABLE = (
    *(LookupError, TypeError, ValueError, AttributeError),
    *(OverflowError, RuntimeError),
)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Refuse the checkpoint where a part of it cannot be read."""
    try:
        yield
    except CheckpointRefused:
        raise
    except UNREADABLE as error:
        said = f"{type(error).__name__}: {error}"
        raise refused(f"{what} cannot be read ({said})") from None


def refused(message: str, digest: str = "") -> CheckpointRefused:
    """The refusal of a checkpoint for one reason, to raise."""
    return CheckpointRefused(digest, (Finding("checkpoint", None, message),))


def source_of(record: Mapping[str, Any]) -> tuple[str, str]:
    """A record's source and digest, where the one is what the other says.

    Raises:
        CheckpointRefused: it is not.
    """
    source, digest = record["source"], str(record.get("digest"))
    if not isinstance(source, str) or digest_of(source) != digest:
        raise refused("its source is not the one that its digest names", digest)
    return source, digest


def _is_group(group: Any) -> bool:
    return (
        isinstance(group, dict)
        and isinstance(group.get("params"), list)
        and all(isinstance(name, str) for name in group)
        and all(type(name) in (int, str) for name in group["params"])
    )


def _makes(kept: Any) -> list[Any] | None:
    if kept is None:
        return None
    if not isinstance(kept, list) or not all(
        isinstance(make, list)
        and len(make) == 2
        and isinstance(make[0], list)
        and isinstance(make[1], str)
        for make in kept
    ):
        raise refused("its `makes` are no shapes and dtypes")
    return kept


def _kept(
    record: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """What `kept` holds: all of it, the attributes, the base optimizer's options."""
    tensors = record.get("tensors", [])
    if not isinstance(tensors, list | tuple):
        raise refused("its `tensors` are no list")
    try:
        kept = read_json(record.get("kept", "{}"), nan=True)
        attributes = decode_each(kept.get("attributes", {}), list(tensors))
        bases = [
            decode_each(each, list(tensors)) for each in kept.get("base_options", ())
        ]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise refused(f"its record cannot be read: {error}") from None
    return kept, attributes, bases


def _checked(record: dict[str, Any]) -> str:
    """The source, if it is what its digest says and passes the static check."""
    from dux_sandbox import check

    source, digest = source_of(record)
    report = check(source)
    if not report.ok:
        raise CheckpointRefused(digest, report.findings)
    return source
