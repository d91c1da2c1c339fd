"""How much of texts, lists and their like one step of a rule makes in all.

Each of them has a cap; a loop that makes thousands of the largest has this one.
"""

from __future__ import annotations

from dux_sandbox.language import vocabulary

# What an item of a set or a dict takes, and a small tuple, in places of a list.
OF_A_SET = 5
OF_A_TUPLE = 8
# What a generator gives: nobody knows its length, and C code lists it whole, as
# `torch.Size(x)` and `torch.optim.SGD(x)` do.
OF_A_GENERATOR = vocabulary.ITEMS_IN_A_STEP // vocabulary.YIELDED


class _Made:
    """What has been made since the last `fresh`: one step at a time runs here."""

    def __init__(self) -> None:
        self.items = 0


_MADE = _Made()


def fresh() -> None:
    """Begin to count anew: another method of a rule is called."""
    _MADE.items = 0


def check_items(count: int) -> None:
    """Refuse a sequence of more than `vocabulary.ITEMS` items.

    Raises:
        ValueError: `count` is over the cap.
    """
    if count > vocabulary.ITEMS:
        raise ValueError(
            f"a sequence of {count} items; at most {vocabulary.ITEMS}; "
            f"use a tensor for many numbers"
        )


def spend(count: int) -> None:
    """Refuse to make a sequence that is too long, or one too many in this step.

    Raises:
        ValueError: `count` is over the cap of one, or all of this step's together are
            over `vocabulary.ITEMS_IN_A_STEP`.
    """
    check_items(count)
    account(count)


def account(count: int) -> None:
    """Refuse `count` more items in this step, in however many sequences.

    Raises:
        ValueError: all of this step's together are over `vocabulary.ITEMS_IN_A_STEP`.
    """
    _MADE.items += count
    if _MADE.items > vocabulary.ITEMS_IN_A_STEP:
        raise ValueError(
            f"texts and lists of more than {vocabulary.ITEMS_IN_A_STEP} items in one "
            f"step; use tensors for many numbers"
        )
