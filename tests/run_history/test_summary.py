import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dux_agent.run_history.summary import summary
from dux_agent.showing import one_line


def test_the_docstring_of_the_rule_says_what_changed():
    source = (
        "import torch\n# Loss is flat.\nclass Warm(torch.optim.Optimizer):\n"
        '    """Adam with warm-up. The rest follows."""\n'
    )

    assert "Warm: Adam with warm-up." == summary(source)


def test_without_a_docstring_what_follows_i_change_does():
    source = (
        "# Written by offline-rules.\n# The loss fell by 3 %.\n# What I change:\n"
        "# - Another kind of step: Muon, because\n#   gradients are weak. More.\n"
        "class Next(Optimizer):\n    pass\n"
    )

    told = summary(source, 90)

    assert "Next: Another kind of step: Muon, because gradients are weak." == told


def test_without_either_the_first_comment_does():
    assert "A: Lower the rate." == summary(
        "# Lower the rate. Then wait.\nclass A(Optimizer):\n    pass\n"
    )


@pytest.mark.parametrize("source", [None, ""])
def test_no_source_has_no_summary(source):
    assert "" == summary(source)


@settings(deadline=None)
@given(text=st.text(alphabet=st.characters(categories=None)))
def test_whatever_a_model_wrote_becomes_one_line_without_control_characters(text):
    for told in (one_line(text, 30), summary(text, 30)):
        assert len(told) <= 30
        assert told.isprintable()


def test_an_escape_sequence_does_not_reach_the_terminal():
    source = 'class A(Optimizer):\n    "\x1b[2JGone \x9b31m"\n'

    assert "\x1b" not in summary(source)
    assert "\x9b" not in summary(source)


def test_a_source_of_any_size_is_summed_up_at_once():
    source = "(" * 5_000_000

    assert "" == summary(source)
