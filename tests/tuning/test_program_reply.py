"""Programs are read out of replies of every kind, and what is none is told."""

import pytest

from dux_prompts.tuning.config_reply import Configuration
from dux_prompts.tuning.program import same_text
from dux_prompts.tuning.program_reply import read_program
from dux_sandbox.findings import Finding
from tests.programs.honest_programs import fit, parts

FIT = fit("", "return x_eval[:, 0]").strip() + "\n"
BUILD = parts().strip() + "\n"
OLDER = FIT.replace("x_eval[:, 0]", "x_eval[:, 1]")
MODEL, OPTIMIZER, HPARAMS = (
    "import torch\nfrom torch import nn\ndef build(n): return nn.Linear(n, 1)\n",
    "def make_optimizer(model): return torch.optim.SGD(model.parameters(), lr=0.1)\n",
    'HPARAMS = {"epochs": 2}\n',
)


def block(source, language="python"):
    return f"```{language}\n{source}```\n"


@pytest.mark.parametrize(
    ("reply", "source"),
    [
        (block(FIT), FIT),
        (f"Trees were best.\n\n{block(FIT)}", FIT),
        (block(FIT, ""), FIT),
        (block(FIT, "py") + "It returns the first column.\n", FIT),
        (f"<think>\n{block(OLDER)}</think>\n{block(FIT)}", FIT),
        (block(OLDER) + "No, rather:\n" + block(FIT), FIT),
        (block(FIT) + "Use it so:\n" + block("print(fit_predict(a, b, c, 0))\n"), FIT),
        (block(BUILD), BUILD),
        (FIT, FIT),
        (block(FIT).removesuffix("```\n"), FIT),
        (block(FIT).replace("\n", "\r\n"), FIT),
    ],
)
def test_the_last_program_of_a_reply_is_read(reply, source):
    read = read_program(reply)

    assert isinstance(read, Configuration), read
    assert source == read.config["source"]


def test_parts_in_blocks_of_their_own_make_one_program():
    reply = (
        f"The model:\n{block(MODEL)}its optimizer:\n{block(OPTIMIZER)}{block(HPARAMS)}"
    )

    read = read_program(reply)

    assert f"{MODEL}\n\n{OPTIMIZER}\n\n{HPARAMS}" == read.config["source"]
    assert "The model: its optimizer:" == read.why


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "an empty reply"),
        ("<think>what now</think>", "no Python block"),
        ("I would try trees.", "no Python block"),
        ('{"lr": 0.1}', "no Python block"),
        (block("ls -l\n", "bash"), "no Python block"),
        ("```python\ndef fit_predict(x_train, y_train,", "truncated"),
        (block(FIT) * 12_000, "more than 400000"),
    ],
)
def test_a_reply_without_a_program_is_told_so(reply, said):
    read = read_program(reply)

    assert isinstance(read, Finding)
    assert "reply" == read.rule
    assert said in read.message


@pytest.mark.parametrize(
    "reply",
    ["```", "```python\n```", "~~~\n" * 50, "\x00\ud800", "a" * 100_000, "'''" * 99],
)
def test_no_reply_is_too_odd_to_be_read(reply):
    assert isinstance(read_program(reply), Configuration | Finding)


def test_a_number_of_more_digits_than_python_writes_is_a_program_like_any_other():
    source = f"many = 0x{'f' * 6000}\ndef fit_predict(a, b, c, d): ...\n"

    assert source == same_text(source)
    assert isinstance(read_program(block(source)), Configuration)


def test_of_many_blocks_the_last_ones_are_looked_at():
    many = block("x = 1\n") * 400

    assert FIT == read_program(many + block(FIT)).config["source"]
    assert isinstance(read_program(block(FIT) + many), Configuration)


def test_a_block_that_is_no_program_is_left_to_the_check():
    read = read_program(block("x = 1\n"))

    assert {"source": "x = 1\n"} == read.config
