"""The chat of a long run stays bounded, and shorter where the model has less room."""

import pytest

from dux_agent.decisions import Decision
from dux_agent.run_folder import trace
from dux_agent.training.prompt_history import PromptHistory
from tests import models
from tests.swapping import ADAM, MOMENTUM, SGD
from tests.talking import Scripted, agent_over, fenced, run

TOO_LONG = ValueError(
    "Error code: 400 - This model's maximum context length is 9000 tokens. However, "
    "your messages resulted in 9044 tokens."
)


def wordy(source, number):
    """The source with a comment of its own and many letters."""
    return source + f"\n# Reason {number}: " + "because " * 200 + "\n"


class SmallContext(Scripted):
    """Has no room for more than `room` characters beside the system message."""

    room: int

    def _generate(self, messages, stop=None, run_manager=None, **options):
        if len(said(messages)) > self.room:
            self.asked.append(messages)
            self.replies.insert(len(self.asked) - 1, None)
            raise TOO_LONG
        return super()._generate(messages, stop, run_manager, **options)


def said(messages):
    return "".join(str(each.content) for each in messages if each.type != "system")


def long_run(agent, decisions):
    for _ in range(decisions):
        run(agent, 2)
        agent.decide()


def test_the_chat_is_bounded_and_older_decisions_are_rows():
    sources = [wordy(SGD, number) for number in range(12)]
    lm = Scripted(replies=[fenced(each) for each in sources])
    with agent_over(models.make("mlp"), lm=lm, history_characters=20_000) as agent:
        long_run(agent, 12)

    lengths = [len(said(messages)) for messages in lm.asked]
    own = lengths[0]
    assert max(lengths) < 20_000 + 2 * own + 4_000
    prompt = said(lm.asked[-1])
    assert "# The decisions before" in prompt
    assert "| 1 | 2 | applied |" in prompt
    assert f"# Reason 10: {'because ' * 200}" in prompt
    assert f"# Reason 1: {'because ' * 200}" not in prompt
    # Each decision is told once: as a row, or as it was said.
    rows = [n for n in range(1, 12) if f"\n| {n} | {2 * n} |" in prompt]
    talks = [n for n in range(1, 12) if f"# Decision {n}\n" in prompt]
    assert list(range(1, 12)) == rows + talks
    assert rows and talks


def test_roles_take_turns_however_much_is_left_out():
    for most in (0, 5_000, 20_000):
        sources = [wordy(SGD, number) for number in range(8)]
        lm = Scripted(replies=[fenced(each) for each in sources])
        with agent_over(models.make("mlp"), lm=lm, history_characters=most) as agent:
            long_run(agent, 8)

        for messages in lm.asked:
            kinds = [message.type for message in messages]
            turns = ["system", *["human", "ai"] * len(kinds)][: len(kinds)]
            assert turns == kinds
            assert "human" == kinds[-1]


def test_the_beginning_of_the_prompts_changes_seldom():
    lm = Scripted(replies=[fenced(wordy(SGD, number)) for number in range(30)])
    with agent_over(models.make("mlp"), lm=lm, history_characters=40_000) as agent:
        long_run(agent, 30)

    beginnings = [str(messages[1].content) for messages in lm.asked]
    changes = [a != b for a, b in zip(beginnings, beginnings[1:], strict=False)]
    assert 2 <= sum(changes) <= 10


def test_a_model_without_room_is_asked_again_with_less_of_the_chat(tmp_path):
    lm = SmallContext(replies=[fenced(wordy(SGD, n)) for n in range(10)], room=14_000)
    with agent_over(models.make("mlp"), lm=lm, run_dir=tmp_path / "run") as agent:
        long_run(agent, 10)

    assert ["applied"] * 10 == [each.verdict for each in agent.decisions]
    told = [each for each in trace.read(tmp_path / "run") if each.kind == "error"]
    assert 1 <= len(told) <= 6
    for event in told:
        assert "maximum context length" in event.data["message"]
        assert "the prompt is too long" in event.data["message"]
    # What was too long once is not built up to again.
    failed = [len(said(m)) for m in lm.asked if len(said(m)) > 14_000]
    assert len(told) == len(failed)
    assert sum(each.usage["calls"] for each in agent.decisions) == len(lm.asked)


def test_rows_alone_are_the_last_resort_and_then_the_decision_fails():
    lm = Scripted(
        replies=[
            *(fenced(wordy(source, 1)) for source in (SGD, MOMENTUM, ADAM)),
            *[TOO_LONG] * 20,
        ]
    )
    with agent_over(models.make("mlp"), lm=lm) as agent:
        long_run(agent, 4)
        run(agent, 2)

    assert "failed" == agent.decisions[-1].verdict
    assert "the prompt is too long" in agent.decisions[-1].reason
    last = agent.decisions[-1].usage["calls"]
    assert 2 <= last <= 4
    assert ["system", "human"] == [message.type for message in lm.asked[-1]]
    assert "| 3 | 6 | applied |" in said(lm.asked[-1])


def test_the_first_decision_of_a_run_has_nothing_to_leave_out():
    lm = Scripted(replies=[TOO_LONG])
    with agent_over(models.make("mlp"), lm=lm) as agent:
        run(agent, 2)
        decision = agent.decide()

    assert ("failed", 1) == (decision.verdict, len(lm.asked))


def test_a_fallback_with_more_room_is_asked_at_once():
    small, large = Scripted(replies=[TOO_LONG]), Scripted(replies=[fenced(SGD)])
    with agent_over(models.make("mlp"), lm=small, fallback=large) as agent:
        run(agent, 2)
        decision = agent.decide()

    assert ("applied", 1) == (decision.verdict, len(small.asked))


@pytest.mark.parametrize("split", [3, 7])
def test_a_resumed_run_asks_with_the_same_chat(split):
    def chat(room=14_000, first=0):
        replies = [fenced(wordy(SGD, number)) for number in range(first, 12)]
        return SmallContext(replies=replies, room=room)

    whole, before, after = chat(), chat(), chat(first=split)
    with agent_over(models.make("mlp"), lm=whole) as agent:
        long_run(agent, 12)
    model = models.make("mlp")
    with agent_over(model, lm=before) as agent:
        long_run(agent, split)
        state, weights = agent.state_dict(), model.state_dict()
        weights = {name: value.clone() for name, value in weights.items()}
    other = models.make("mlp")
    other.load_state_dict(weights)
    with agent_over(other, lm=after) as agent:
        agent.load_state_dict(state)
        long_run(agent, 12 - split)

    halves = [said(m) for m in (*before.asked, *after.asked)]
    assert [said(messages) for messages in whole.asked] == halves


def test_a_checkpoint_from_before_talks_were_told_apart_is_read():
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    old = {"chat": messages * 3, "rows": [], "open": None}
    chronicle = PromptHistory("chat", 4)

    chronicle.load_state_dict(old, [Decision("kept", number=3)])

    assert messages * 3 == chronicle.before([])
    chronicle.add(Decision("kept", number=4), messages)
    assert messages == chronicle.before([])
