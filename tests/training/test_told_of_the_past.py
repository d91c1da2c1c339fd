"""What the model is told of earlier decisions stays bounded, and says the best."""

import pytest

from dux_agent.errors import BadArgument
from dux_agent.training.token_room import TokenRoom
from dux_graphs.language_model import LanguageModel
from dux_graphs.paid_model import PaidModel
from tests import models
from tests.swapping import SGD
from tests.talking import Scripted, agent_over, fenced, run


def said(messages):
    return "".join(str(message.content) for message in messages)


def wordy(number, words=10):
    return SGD + f"\n# Reason {number}: " + "because " * words + "\n"


def decided(decisions, *, words=10, losses=None, lm=None, **options):
    """The prompts of a run with so many decisions."""
    sources = [fenced(wordy(number, words)) for number in range(decisions)]
    lm = lm or Scripted(replies=sources)
    coming = iter([0.0, *(losses or ())])  # attach calls it, too
    if losses is not None:
        options["validate"] = lambda model: next(coming)
    with agent_over(models.make("mlp"), lm=lm, **options) as agent:
        for _ in range(decisions):
            run(agent, 2)
            agent.decide()
        verdicts = [decision.verdict for decision in agent.decisions]
    return lm.asked, verdicts


@pytest.mark.parametrize("validated", [False, True])
def test_a_compressed_prompt_of_decision_60_is_not_half_as_long_again_as_the_10th(
    validated,
):
    losses = [1.0 / (1 + n) for n in range(61)] if validated else None

    asked, _ = decided(60, words=30, losses=losses, history="compressed")

    # From the 15th on none is longer than another by more than a number's digits.
    assert len(said(asked[59])) < 1.5 * len(said(asked[9]))
    assert abs(len(said(asked[59])) - len(said(asked[30]))) < 200


@pytest.mark.parametrize("window", [4_000, 8_000])
def test_a_chat_never_takes_more_than_the_window_and_what_is_newest_stays(window):
    asked, verdicts = decided(12, words=100, context_window=window)

    assert {"applied"} == set(verdicts)
    # A token has three characters at least, and a reply must fit in, too.
    assert max(len(said(messages)) for messages in asked) / 3 <= 0.75 * window
    assert ("# Decision 11" in said(asked[-1])) == (window == 8_000)
    assert "# Decision 1\n" not in said(asked[-1])


class Profiled(Scripted):
    """Says itself how many tokens a prompt may have."""


def test_the_window_that_a_model_says_to_have_counts_without_being_given():
    lm = Profiled(
        replies=[fenced(wordy(number, 100)) for number in range(12)],
        profile={"max_input_tokens": 3_500},
    )

    asked, _ = decided(12, lm=lm)

    assert max(len(said(messages)) for messages in asked) <= 3 * 3_500


def test_tries_of_this_decision_go_before_nothing_fits():
    refused = [fenced("import os\n" + wordy(number, 400)) for number in range(3)]
    lm = Scripted(replies=[*refused, fenced(SGD)])

    asked, verdicts = decided(1, lm=lm, context_window=4_200, max_attempts=4)

    assert ["applied"] == verdicts
    assert max(len(said(messages)) for messages in asked) <= 3 * 4_200
    assert "Reason 0" not in said(asked[-1])
    assert [m.type for m in asked[-1]] == ["system", *["human", "ai"] * 3][
        : len(asked[-1])
    ]


def test_a_window_that_no_prompt_fits_into_ends_the_decision_with_the_reason():
    lm = Scripted(replies=[fenced(SGD)])
    with agent_over(models.make("mlp"), lm=lm, context_window=900) as agent:
        run(agent, 2)
        decision = agent.decide()

    assert "failed" == decision.verdict
    assert "context window has room for 675 beside a reply" in decision.reason
    assert [] == lm.asked


def test_a_model_that_counts_more_tokens_than_guessed_gets_shorter_prompts():
    paid = PaidModel({"some": LanguageModel(Scripted(replies=[]))})
    prompt = [{"role": "user", "content": "x" * 1_988}]

    before = TokenRoom.of(paid, 1_000).over(prompt)
    paid.budget.learn("some", 2_000, {"input_tokens": 1_000})

    assert before <= 0 < TokenRoom.of(paid, 1_000).over(prompt)


def test_the_best_rules_are_told_with_their_scores_the_best_one_last():
    # Before the first rule, and after each of the ten.
    losses = [0.5, 9.0, 5.0, 1.0, 7.0, 3.0, 2.0, 8.0, 6.0, 4.0, 2.5]

    asked, _ = decided(11, losses=losses, history="best")

    prompt = asked[-1][-1].content
    scores = [
        float(line.split(",")[0].removeprefix("Score "))
        for line in prompt.splitlines()
        if line.startswith("Score ")
    ]
    assert [-7.0, -6.0, -5.0, -4.0, -3.0, -2.5, -2.0, -1.0] == scores
    assert prompt.index("Reason 3:") < prompt.index("Reason 2:")
    assert "Reason 0:" not in prompt and "Reason 6:" not in prompt  # the worst
    assert 2 == len(asked[-1])  # no chat beside it


def test_the_best_rules_are_the_same_after_a_load():
    losses = iter([0.0, 9.0, 5.0, 1.0, 7.0])
    options = {"history": "best", "validate": lambda model: next(losses)}
    lm = Scripted(replies=[fenced(wordy(number)) for number in range(6)])
    with agent_over(models.make("mlp"), lm=lm, **options) as agent:
        for _ in range(3):
            run(agent, 2)
            agent.decide()
        state = agent.state_dict()
        run(agent, 2)
        agent.decide()
    wanted = lm.asked[-1][-1].content

    losses = iter([7.0] * 4)
    again = Scripted(replies=[fenced(wordy(9))])
    with agent_over(models.make("mlp"), lm=again, **options) as agent:
        agent.load_state_dict(state)
        run(agent, 2)
        agent.decide()

    def best_of(prompt):
        return prompt.partition("## The best")[2].partition("## Your last")[0]

    assert best_of(wanted) == best_of(again.asked[-1][-1].content)


@pytest.mark.parametrize("reasoning", ["first", True, "none", False])
def test_reasons_are_asked_for_before_the_code_or_not_at_all(reasoning):
    asked, _ = decided(1, reasoning=reasoning)

    prompt = said(asked[0])

    first = reasoning in ("first", True)
    assert first == ("Reason in comments at the top" in prompt)
    assert first == ("with your reasons in comments" in prompt)
    assert (not first) == ("the code alone: no reasons" in prompt)


@pytest.mark.parametrize(
    ("name", "value"),
    [("context_window", 0), ("reasoning", "last"), ("history", "worst")],
)
def test_what_cannot_be_meant_is_refused(name, value):
    with pytest.raises(BadArgument, match=name):
        agent_over(models.make("mlp"), lm=Scripted(replies=[]), **{name: value})
