import pytest
from hypothesis import given
from hypothesis import strategies as st

from dux_prompts.reply import REPLY_CHARACTERS, Proposal, cleaned, read
from dux_sandbox.findings import Finding

SOURCE = "import torch\n\n\nclass Rule(torch.optim.Optimizer):\n    pass\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{SOURCE}```",
        f"```py\n{SOURCE}```",
        f"```Python3\n{SOURCE}```",
        f"```\n{SOURCE}```",
        f"~~~python\n{SOURCE}~~~",
        f"````python\n{SOURCE}````",
        f"Here it is:\n\n```python\n{SOURCE}```\n\nGood luck!",
        f"```python\n{SOURCE}",
        f"```python\n{SOURCE}\n",
        SOURCE,
        f"\n\n{SOURCE}\n\n",
        f"```python\n{SOURCE}```".replace("\n", "\r\n"),
        f"```python\n{SOURCE}```".replace("\n", "\r"),
        "1. Do this:\n\n   ```python\n"
        + "".join(f"   {line}\n" for line in SOURCE.splitlines())
        + "   ```\n",
        f"```python\nclass Old:\n    pass\n```\nNo, better:\n```python\n{SOURCE}```",
        f"```python\n{SOURCE}```\nRun it so:\n```\npip install torch\n```",
        f"```python\n{SOURCE}```\n```json\n{{}}\n```",
        f"```python\n{SOURCE}```\n```python\n\n```",
        f"```python\nclass Old:\n    pass\n\n```python\n{SOURCE}```",
    ],
)
def test_the_source_is_found_whatever_surrounds_it(reply):
    proposal = read(reply)

    assert isinstance(proposal, Proposal)
    assert SOURCE.splitlines() == [line for line in proposal.source.splitlines()]


def test_the_prose_around_the_block_is_kept_as_the_why():
    proposal = read(f"The loss is flat.\n```python\n{SOURCE}```\nSo I raise it.")

    assert "The loss is flat.\nSo I raise it." == proposal.why


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "an empty reply"),
        (" \n\n", "an empty reply"),
        ("I would raise the rate.", "no Python block"),
        ("```json\n{}\n```", "no Python block"),
        ("```python\n```", "no Python block"),
    ],
)
def test_nothing_found_is_a_finding(reply, said):
    finding = read(reply)

    assert isinstance(finding, Finding)
    assert said in finding.message
    assert "```python" in finding.instead


def test_a_reply_beyond_all_measure_is_a_finding_that_is_not_searched():
    finding = read("```python\n" + "x" * REPLY_CHARACTERS)

    assert isinstance(finding, Finding)
    assert str(REPLY_CHARACTERS) in finding.message


def test_lone_surrogates_and_nuls_become_replacement_characters():
    proposal = read("```python\nx = 'a\ud800b\x00c'\n```")

    assert "x = 'a\ufffdb\ufffdc'\n" == proposal.source


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_is_read_without_an_error_and_can_be_written_down(reply):
    read_out = read(reply)

    text = read_out.source if isinstance(read_out, Proposal) else read_out.message
    assert text.encode("utf-8")


@given(st.text(st.characters(codec=None), max_size=100))
def test_cleaning_twice_is_cleaning_once(text):
    assert cleaned(text) == cleaned(cleaned(text))
