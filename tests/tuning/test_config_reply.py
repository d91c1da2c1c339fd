"""Which replies hold a configuration, and what is said of the others."""

import pytest

from dux_prompts.tuning.config_reply import Configuration, read_configuration
from dux_sandbox.findings import Finding

CONFIG = {"C": 0.5, "kernel": "rbf"}
WRITTEN = '{"C": 0.5, "kernel": "rbf"}'


@pytest.mark.parametrize(
    "reply",
    [
        WRITTEN,
        f"```json\n{WRITTEN}\n```",
        f"C was too large.\n\n{WRITTEN}\n",
        f'First I tried {{"C": 9}}, which failed.\n~~~\n{WRITTEN}\n~~~\n',
        f"<think>maybe {{x}}</think>\n{WRITTEN}",
        WRITTEN.replace(", ", ",\r\n  "),
        f"{WRITTEN} I hope this helps.",
    ],
)
def test_the_last_json_object_is_the_configuration(reply):
    read = read_configuration(reply)

    assert isinstance(read, Configuration)
    assert CONFIG == read.config


def test_prose_before_it_is_the_reason():
    read = read_configuration(f"It is **flat** here.\n```json\n{WRITTEN}\n```")

    assert "It is **flat** here." == read.why


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("", "no whole JSON"),
        ("I cannot say.", "no whole JSON"),
        ('{"C": 0.5', "no whole JSON"),
        ("{'C': 0.5}", "no whole JSON"),
        (f"{WRITTEN}\n{WRITTEN}", "two JSON objects"),
        (f"[{WRITTEN}, {WRITTEN}]", "two JSON objects"),
        (f"[{WRITTEN}]", "list"),
        ('{"C": NaN}', "NaN"),
        ('{"C": -Infinity}', "Infinity"),
        ('{"C": {"value": 1}}', "no value"),
        ('{"C": [1, 2]}', "no value"),
        ('{"C": 1, "C": 2}', "twice"),
        ("{" * 100_000, "no whole JSON"),
        ("x" * 400_001, "characters"),
        ('{"C": ' + "1" * 5000 + "}", "no whole JSON"),
    ],
)
def test_what_is_no_configuration_is_one_finding(reply, word):
    read = read_configuration(reply)

    assert isinstance(read, Finding)
    assert "reply" == read.rule
    assert word in read.message
