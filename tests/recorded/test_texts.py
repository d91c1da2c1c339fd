"""Texts that a rule makes of its numbers are what they are inline."""

import pytest

from dux_sandbox.recorded.asides import asides_of
from dux_sandbox.recorded.tape import Unrecordable
from tests.recorded.test_late_turns import assert_as_inline, late
from tests.recorded.test_recording import steps_beside


# What is printed or raised may still be a key, or be read where it is caught.
@pytest.mark.parametrize(
    "before",
    [
        "print(t); k = f'{t % 3}'\nkept[k] = 1",
        "if f'{t % 3}' == '0': print(t)\nelse: f = 0.5",
        "if (t and\n        f'{t % 3}' == '0'): f = 0.5; print(t)",
        "print(k := f'{t % 3}')\nkept[k] = 1",
        "print(kept.setdefault(f'{t % 3}', 1))",
        "print(kept.setdefault('%d' % (t % 3), 1))",
        "print(kept.setdefault(str(t % 3), 1))",
        "def info(text):\n    kept[text] = 1\ninfo(f'{t % 3}')",
        "info = lambda text: kept.setdefault(text, 1)\ninfo(f'{t % 3}')",
        "try:\n    raise ValueError(f'{10 ** (t % 3)}')\n"
        "except ValueError as e:\n    f = 1 / len(str(e))",
    ],
)
def test_a_text_of_which_something_comes_is_of_the_number(before):
    source = late(before=f"kept = self.kept\n{before}\nf /= 1 + len(kept)")
    source = source.replace("self.t = 0", "self.t, self.kept = 0, {}")

    replay, rule = assert_as_inline(source, 12, most=13)

    kept = replay.kept.state().attributes["kept"]
    assert kept == rule.snapshot().attributes["kept"]


def test_what_is_only_said_needs_no_number():
    before = (
        "print(f'{t}'.join(['a', str(t)]), '%d' % t)\n"
        "if t > 99:\n    raise ValueError(f'bad {t}')"
    )

    replay, _ = assert_as_inline(late(before=before))

    assert replay.recordings <= 3
    assert not asides_of("def print(x):\n    pass\nprint(f'{x}')").told


# What texts show of the numbers in it.
@pytest.mark.parametrize(
    "shown",
    [
        "{t: t / 4}",
        "[(t, {'a': [t / 3]})]",
        "deque([t, t / 3])",
        "ValueError(t)",
        "ValueError(t, [t / 3])",
    ],
)
def test_a_text_shows_the_numbers_in_what_it_is_of(shown):
    before = f"from collections import deque\nf = len(str({shown})) / 9"

    assert_as_inline(late(before=before), 8)


def test_a_text_of_a_set_of_numbers_is_not_recorded():
    with pytest.raises(Unrecordable, match="a text of a set"):
        steps_beside(late(before="f = 1 / len(str({t % 3, t % 5}))"))


@pytest.mark.parametrize("name", ["min", "max"])
def test_the_least_of_a_boolean_and_numbers_may_be_the_boolean(name):
    before = f"x = {name}(True, t - 4)\nf = 0.5 if x is True else 0.1 * x"

    assert_as_inline(late(before=before))
