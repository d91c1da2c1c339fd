"""What comes out of a rule's process, taken apart with suspicion."""

from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.findings import CheckReport, Finding, printable
from dux_sandbox.group_shares import number_in, says
from dux_sandbox.option_values import (
    MOST_OPTIONS,
    SCHEDULERS,
    check_options,
    of_its_own,
    rate_fault,
)
from dux_sandbox.running import RuleState, same_value
from dux_sandbox.values import Decoder, ValueRefused, encode


def options_to_send(options: dict[str, Any]) -> Any:
    """Option values as data; what cannot cross is the trainer's own business."""
    kept = {}
    for name, value in options.items():
        blobs: list[bytes | memoryview] = []
        try:
            described = encode(value, blobs)
        except ValueRefused:
            # A rate that a loop computed with NumPy is a number of another type.
            number = number_in(value)
            if number is not None:
                kept[name] = number
            continue
        if not blobs and described is not None or value is None:
            kept[name] = value
        elif isinstance(value, torch.Tensor) and value.numel() == 1:
            kept[name] = value.item()
    return encode(kept, [])


def report_of(data: Any) -> CheckReport:
    """A refusal that a child reported."""
    findings = data.get("findings") if isinstance(data, dict) else None
    if not isinstance(findings, list):
        findings = []
    return CheckReport(
        False,
        str(data.get("digest", ""))[:64] if isinstance(data, dict) else "",
        tuple(finding_of(finding) for finding in findings[:50]),
    )


def finding_of(data: Any) -> Finding:
    """A finding that a child reported: every field is checked and cut to size."""
    if not isinstance(data, dict):
        return Finding("channel", None, "an error without a description")
    line = data.get("line")
    return Finding(
        str(data.get("rule", "raised"))[:40],
        line if type(line) is int and 0 < line < 1_000_000 else None,
        _clean(data.get("message", "")),
        _clean(data.get("instead", "")),
    )


def _clean(text: Any) -> str:
    return printable(str(text)[:500])


# What reading an answer can raise when a child sends anything at all.
NONSENSE = (
    *(ValueRefused, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RuntimeError),
)


def built_of(
    reply: dict[str, Any], groups: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The defaults and each group's options of a rule that was just built.

    Raises:
        ValueRefused, or another of NONSENSE: malformed, or not `groups` groups.
    """
    decoder = Decoder(bytearray())
    defaults = decoder.decode(reply["defaults"])
    options = decoder.decode(reply["options"])
    if type(options) is not list or len(options) != groups:
        raise ValueRefused("the rule has other groups than it was given")
    for each in (defaults, *options):
        if type(each) is not dict:
            raise ValueRefused("option values are no dict")
        for name, value in each.items():
            _check_option(name, value)
        check_options(each)
    for each in options:
        each.update(_of_the_defaults(each, defaults))
    return defaults, options


def _of_the_defaults(group: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The lists and dicts that a group shares with all that took the default.

    A loop that writes into one of them writes for all, as in torch.
    """
    return {
        name: defaults[name]
        for name, value in group.items()
        if type(value) in (list, dict, set)
        and name in defaults
        and same_value(value, defaults[name])
    }


def _check_option(name: Any, value: Any) -> None:
    if type(name) is not str or name in ("params", "dux"):
        raise ValueRefused(f"group[{name!r:.40}] may not be written")
    fault = rate_fault(value) if name == "lr" else None
    if fault is not None:
        raise ValueRefused(fault)


def state_of(reply: dict[str, Any], blob: bytearray, count: int) -> RuleState:
    """What a rule has learned, as its process sent it.

    Args:
        reply: with "state" and "attributes". blob: the tensors' bytes.
        count: how many parameters the rule has.

    Raises:
        ValueRefused: malformed, or state of anything but these parameters.
    """
    decoder = Decoder(blob)
    try:
        state = decoder.decode(reply["state"])
        attributes = decoder.decode(reply["attributes"])
    except KeyError as error:
        raise ValueRefused(f"the answer lacks {error}") from None
    decoder.finish()
    if type(state) is not dict or type(attributes) is not dict:
        raise ValueRefused("state and attributes must be dicts")
    for index, entry in state.items():
        if type(index) is not int or not 0 <= index < count:
            raise ValueRefused("state belongs to no parameter")
        if type(entry) is not dict:
            raise ValueRefused("the state of a parameter is no dict")
    return RuleState(state, attributes)


def indices_of(data: Any, things: Sequence[Any]) -> list[int]:
    """The places in `things` that a child names.

    Raises:
        ValueRefused: they are no list of such places.
    """
    listed = type(data) in (list, tuple) and len(data) <= len(things)
    if not listed or any(
        type(index) is not int or not 0 <= index < len(things) for index in data
    ):
        raise ValueRefused("the places it names are malformed")
    return list(data)


def take_options(
    described: Any,
    group: dict[str, Any],
    told: dict[str, Any],
    owned: set[str],
    private: dict[str, Any],
) -> None:
    """Take over the option values that a rule wrote to one of its groups.

    Args:
        described: the values as the child describes them; see `write_options`.

    Raises:
        ValueRefused: a name or a value that a rule may not write.
    """
    now = Decoder(bytearray()).decode(described)
    if type(now) is not dict:
        raise ValueRefused("option values are no dict")
    write_options(now, group, told, owned, private)


def write_options(
    now: dict[str, Any],
    group: dict[str, Any],
    told: dict[str, Any],
    owned: set[str],
    private: dict[str, Any],
) -> None:
    """Write option values to a live group.

    Args:
        now: plain values that nobody else holds.
        group: the live group; changed in place.
        told: the values both sides know; changed in place.
        owned: names that the rule made; grows. Others are the trainer's.
        private: the rule's values under names that are the trainer's; grows.

    Raises:
        ValueRefused: a name or a value that a rule may not write, or too many.
    """
    if len(now) + len(told) > MOST_OPTIONS:
        many = len(now.keys() | told.keys())
        if many > MOST_OPTIONS:
            raise ValueRefused(f"a group has {many} options; at most {MOST_OPTIONS}")
    for name, value in now.items():
        if name in told and (same_value(value, told[name]) or says(told[name], value)):
            continue
        _check_option(name, value)
        if name in SCHEDULERS or (name in group and name not in owned):
            private[name] = told[name] = value  # a scheduler's key, or the user's
            continue
        if not _is_number(value) and _is_number(group.get(name)):
            raise ValueRefused(f"group[{name!r}] must stay a number")
        owned.add(name)
        told[name] = of_its_own(value)
        group[name] = value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
