"""What a record looks like in a prompt and in a notebook: a line, a small table."""

import dataclasses

import pytest

from dux_agent.decisions import Decision
from dux_agent.run_folder.trace import Event
from dux_agent.run_history.records import DecisionStory, ProposalTold
from dux_prompts.reply import Proposal
from tests import models
from tests.observations import later
from tests.swapping import ADAM, MOMENTUM
from tests.talking import agent_over, run

FORBIDDEN = "import os\n" + MOMENTUM


def told(*sources, decisions=1, **options):
    with agent_over(models.make("mlp"), *sources, **options) as agent:
        for _ in range(decisions):
            run(agent, 3)
            agent.decide()
    return agent


def test_a_decision_is_one_line_and_no_source():
    for source, said in ((ADAM, "applied, Adam "), (FORBIDDEN, "kept, 3 tries")):
        line = repr(told(source).decisions[0])

        assert line.startswith(f"<Decision 1 at step 3: {said}")
        assert "\n" not in line
        assert len(line) < 300


def test_a_reason_of_many_lines_and_escapes_stays_one_plain_line():
    decision = Decision("kept", reason="one\n\x1b[31mtwo\r\n" + "three " * 100)

    assert "; one [31mtwo three" in repr(decision)
    assert repr(decision).isprintable()
    assert len(repr(decision)) < 250


def test_a_notebook_shows_a_decision_as_a_small_table():
    decision = told(ADAM).decisions[0]
    decision.reason = "a < b & <script>"

    table = decision._repr_html_()

    assert table.startswith("<table>") and table.endswith("</table>")
    assert "a &lt; b &amp; &lt;script&gt;" in table
    assert "class Adam" not in table
    assert 7 == table.count("<tr>")


def test_an_agent_says_what_is_live_and_what_was_decided():
    agent = told(ADAM, FORBIDDEN, decisions=2)

    assert repr(agent).startswith(
        "<Agent of Sequential with 65 weights: step 6, live Adam "
    )
    assert repr(agent).endswith("decisions: 1 applied, 1 kept, closed>")
    assert "live SGD (inline), decisions: none" in repr(told(ADAM, decisions=0))


RECORDS = [Proposal, ProposalTold, DecisionStory, Decision, Event]
HARMLESS = {"attempts": [], "usage": {}, "seconds": 0.0, "reason": "", "why": ""}


@pytest.mark.parametrize("record", RECORDS)
def test_no_record_prints_a_whole_source(record):
    source = MOMENTUM * 3
    holding = {
        "source": source,
        "reply": source,
        "incumbent": source,
        "prompts": ((("user", source),),),
        "events": (Event(0.0, 1, 1, "reply", {"content": source}),),
        "data": {"messages": [{"role": "user", "content": source}]},
    }
    names = [each.name for each in dataclasses.fields(record)]
    given = dict.fromkeys(names) | HARMLESS | holding

    line = repr(record(**{name: given[name] for name in names}))

    assert "super().__init__" not in line
    assert "\n" not in line


def test_neither_does_an_observation():
    assert "super().__init__" not in repr(later(source=MOMENTUM))
