"""Reads what a person writes for an option of a run, on the command line or in code."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dux_agent.errors import BadArgument
from dux_graphs.prices import PricesError, table_of
from dux_graphs.redaction import is_secret_field

# More of anything is no run that anybody means, and could be a folder that means harm:
# of some numbers torch would make threads, and a graph calls, without end.
MANY = 2**40


_PLAIN = (str, int, float, bool, type(None), list, dict)
_HEADERS = ("headers", "query")


def model_options(written: Any) -> dict[str, Any] | None:
    """Options of a language model: of a dict, of "temperature=0.7", or of several such.

    A value is read as JSON where it is some, else as a text.

    Raises:
        BadArgument: it is something else, or a secret, which would stand in `run.json`.

    >>> model_options(["temperature=0.7", "stop=END"])
    {'temperature': 0.7, 'stop': 'END'}
    """
    if written is None or written == [] or written == () or written == {}:
        return None
    if isinstance(written, Mapping):
        found = dict(written)
    elif not isinstance(written, (str, list, tuple)):
        raise BadArgument(
            f"lm_options is {str(written)[:60]}; a dict was wanted, or name=value; "
            f"write for instance temperature=0.7."
        )
    else:
        found = {}
        for each in [written] if isinstance(written, str) else list(written):
            name, sign, value = str(each).partition("=")
            if not sign or not name.strip():
                raise BadArgument(
                    f"lm_options holds {each!r}; name=value was wanted; write for "
                    f"instance temperature=0.7."
                )
            found[name.strip()] = _value(value)
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, _PLAIN):
            raise BadArgument(
                f"lm_options holds {name!r}: {type(value).__name__}; plain values by "
                f"name were wanted; pass for instance {{'temperature': 0.7}}."
            )
        if is_secret_field(name) or name.endswith(_HEADERS):
            raise BadArgument(
                f"lm_options holds {name}, which may be a secret and would stand in "
                f"run.json; other options were wanted; set the provider's variable, "
                f"such as OPENAI_API_KEY, or pass a chat model made with it as lm."
            )
    return found


def weights(written: Any) -> list[float] | None:
    """Numbers above 0: of "3,1", of [3, 1], or None.

    Raises:
        BadArgument: it is something else.

    >>> weights("3, 1")
    [3.0, 1.0]
    """
    if written is None:
        return None
    several = written.split(",") if isinstance(written, str) else written
    try:
        found = [
            math.nan if isinstance(each, bool) else float(each) for each in several
        ]
    except (TypeError, ValueError, OverflowError):
        found = [math.nan]
    if not all(0 < each < math.inf for each in found) or not 0 < len(found) <= 100:
        raise BadArgument(
            f"lm_weights is {str(written)[:60]}; a number above 0 for each model was "
            f"wanted; write for instance 3,1."
        )
    return found


def prices(written: Any) -> dict[str, dict[str, float]] | None:
    """A table of prices: a JSON file of one, or what stands in it, or None.

    Raises:
        BadArgument: it is something else.
    """
    if written is None:
        return None
    try:
        return table_of(written)
    except PricesError as error:
        raise BadArgument(str(error)) from None


def names(written: Any) -> list[str] | None:
    """One name, or several.

    Raises:
        BadArgument: it is something else.
    """
    if written is None:
        return None
    several = list(written) if isinstance(written, (list, tuple)) else [written]
    if not all(isinstance(each, str) and each.strip() for each in several):
        raise BadArgument(
            f"fallback is {str(written)[:60]}; the name of a language model was "
            f"wanted, or several; pass for instance ollama:qwen3."
        )
    return several or None


def seconds(written: Any) -> float | None:
    """A number of seconds.

    Raises:
        BadArgument: it is none above 0.
    """
    if written is None:
        return None
    try:
        value = math.nan if isinstance(written, bool) else float(written)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0 < value < math.inf:
        raise BadArgument(
            f"{str(written)[:60]} is no time; a number of seconds above 0 was wanted; "
            f"write for instance 600."
        )
    return value


def limits(budget: Any) -> dict[str, float] | None:
    """A budget as a dict of limits: of `20`, `"calls=20,tokens=90000"`, or a dict.

    Raises:
        BadArgument: it is something else.

    >>> limits("calls=20, seconds=1.5")
    {'calls': 20, 'seconds': 1.5}
    """
    if isinstance(budget, str):
        parts = [part.partition("=") for part in budget.split(",")]
        try:
            if "=" in budget:
                return limits({name.strip(): float(value) for name, _, value in parts})
            return limits(int(budget))
        except ValueError as error:
            if isinstance(error, BadArgument):
                raise
            raise BadArgument(
                f"budget is {budget!r}; a number of calls, or limits such as "
                f"calls=20,money=0.50,seconds=600, was wanted; write it so."
            ) from None
    from dux_agent.decisions import budget_of  # pydantic: `dux --help` needs none

    given = budget_of(budget).limits
    finite = {name: limit for name, limit in given.items() if limit != math.inf}
    if any(limit > MANY for limit in finite.values()):
        raise BadArgument(
            f"budget is {str(budget)[:60]}; limits up to {MANY} were wanted; write "
            f"less, or leave it out for no limit."
        )
    return {n: int(x) if x % 1 == 0 else x for n, x in finite.items()} or None


def file(written: Any) -> str | None:
    """A file by its whole name, so that a resumed run finds it from anywhere.

    Raises:
        BadArgument: it is none.
    """
    if written is None:
        return None
    if not isinstance(written, str | Path) or "\0" in str(written):
        raise BadArgument(
            f"{str(written)[:60]!r} is no file; the name of one was wanted; write for "
            f"instance experience.sqlite."
        )
    return str(Path(written).expanduser().absolute())


def name_of_place(value: Any) -> Any:
    """A dtype or a device as its name."""
    return None if value is None else str(value).removeprefix("torch.")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
