"""What the tokens of a language model cost: a table that users replace."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dux_graphs.plain_json import read_json

_OURS = Path(__file__).with_name("prices.json")
_FREE = re.compile(r"offline|ollama:.*|recorded:.*|none")
_VERSION = re.compile(r"-(?:latest|\d{4}-?\d{2}-?\d{2}|\d{3,4})")
_MOST_DOLLARS = 1e12
_MOST_BYTES = 2**20


class PricesError(ValueError):
    """A table of prices cannot be used; the text says found, wanted, what to do."""


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens that go in, and for as many that come out."""

    input: float
    output: float

    def of(self, usage: Mapping[str, float]) -> float:
        """What so many tokens cost, dollars.

        >>> Price(2.0, 10.0).of({"input_tokens": 500_000, "output_tokens": 1000})
        1.01
        """
        going, coming = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
        return (going * self.input + coming * self.output) / 1e6


class Prices:
    """Prices by the name of the model.

    Ours are what the providers' pages said in 2025, dollars per million tokens. Other
    ones, as JSON: `{"my-model": {"input": 0.5, "output": 1.5}}`; a name may have its
    provider in front.
    """

    def __init__(self, table: Mapping[str, Price]) -> None:
        self._table = dict(table)

    @classmethod
    def of(cls, prices: str | os.PathLike[str] | Mapping[str, Any] | None) -> Prices:
        """A file, or what stands in one; None: ours. Those given come first.

        Raises:
            PricesError: it holds something else.
        """
        table = _read(_OURS)
        if prices is not None:
            table = {**table, **table_of(prices)}
        return cls({str(name): _price(str(name), row) for name, row in table.items()})

    def price(self, model: str) -> Price | None:
        """Of the model that is called so; None where it is not known.

        >>> Prices.of(None).price("openai:gpt-4o-2024-08-06")
        Price(input=2.5, output=10.0)
        """
        bare = model.partition(":")[2]
        for name in (model, bare):
            known = self._table.get(name) or self._table.get(_unversioned(name))
            if name and known is not None:
                return known
        return Price(0.0, 0.0) if _FREE.fullmatch(model) else None

    def cost(self, model: str, usage: Mapping[str, float]) -> float | None:
        """What so many tokens of a model cost, dollars; None where it is not known."""
        price = self.price(model)
        return None if price is None else price.of(usage)


def table_of(prices: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """A table of the user's own as plain data, checked.

    Raises:
        PricesError: it is none.
    """
    if not isinstance(prices, (Mapping, str, os.PathLike)):
        raise PricesError(
            f"prices is a {type(prices).__name__}; a JSON file or what stands in one "
            f'was wanted, as {{"my-model": {{"input": 0.5, "output": 1.5}}}}; pass one.'
        )
    rows = prices if isinstance(prices, Mapping) else _read(Path(prices))
    return {str(name): asdict(_price(str(name), row)) for name, row in rows.items()}


def _unversioned(name: str) -> str:
    """A name without the day or the number of its version."""
    found = list(_VERSION.finditer(name))
    if not found or found[-1].end() != len(name):
        return name
    return name[: found[-1].start()]


def _read(file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > _MOST_BYTES or not file.is_file():
            raise OSError("it is no file of prices")
        held = read_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PricesError(
            f"the prices in {str(file)!r} cannot be read ({error}); a JSON file such "
            f'as {{"my-model": {{"input": 0.5, "output": 1.5}}}} was wanted; mend it.'
        ) from None
    if not isinstance(held, dict):
        raise PricesError(
            f"the prices in {str(file)!r} are no object; one with a row for each model "
            f"was wanted; mend it."
        )
    return held


def _price(name: str, row: Any) -> Price:
    held: Mapping[str, Any] = row if isinstance(row, Mapping) else {}
    going, coming = held.get("input"), held.get("output")
    if not _is_price(going) or not _is_price(coming):
        raise PricesError(
            f"the price of {name!r} is {str(row)[:60]}; dollars per million tokens "
            f'were wanted; write {{"input": 0.5, "output": 1.5}}.'
        )
    return Price(float(going or 0), float(coming or 0))


def _is_price(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST_DOLLARS
