"""Agents of one training end together, whatever any of them raises."""

import pytest

from dux_agent.attached import close_all


class Ending:
    """An agent in so far as it can be closed."""

    def __init__(self, trouble=None):
        self.trouble, self.closed = trouble, False

    def __exit__(self, *_):
        self.closed = True
        if self.trouble is not None:
            raise self.trouble


def agents():
    return [Ending(OSError("disk")), Ending(), Ending(ValueError("state"))]


def test_the_first_error_comes_out_with_the_others_as_notes():
    each = agents()

    with pytest.raises(OSError, match="disk") as raised:
        close_all(each)

    assert [
        "As another agent was closed: ValueError('state')"
    ] == raised.value.__notes__
    assert all(one.closed for one in each)


def test_errors_are_notes_of_the_trainers_own():
    each, own = agents(), KeyError("the trainer's")

    close_all(each, own)

    assert 2 == len(own.__notes__)
    assert all(one.closed for one in each)
