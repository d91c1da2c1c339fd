"""What a checkpointer keeps of a decision is JSON, and runs nothing when it is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.types import Overwrite, Send

from dux_graphs.decision import build_graph
from dux_graphs.plain_states import (
    KIND,
    PlainStates,
    UnreadableState,
    with_plain_states,
)
from tests import models
from tests.attacks.hostile_states import PAYLOADS
from tests.swapping import SGD
from tests.talking import agent_over, run

STATES = PlainStates()

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("$a\ud800"), inner),
    max_leaves=20,
)


@given(values)
def test_a_plain_value_comes_back_to_the_last_bit(value):
    kind, content = STATES.dumps_typed(value)

    assert KIND == kind
    assert value == STATES.loads_typed((kind, content))


def test_messages_of_the_graph_come_back():
    told = {"$send": [Send("dry_run", {"number": [1, 2]}), Overwrite([]), (1, 2)]}

    held = STATES.loads_typed(STATES.dumps_typed(told))

    assert [Send("dry_run", {"number": [1, 2]}), Overwrite([]), [1, 2]] == (
        held["$send"]
    )


@pytest.mark.parametrize("value", [b"x", {1}, {1: 2}, object(), print, int, 1j])
def test_what_is_no_plain_value_is_not_kept(value):
    with pytest.raises(TypeError, match="a state of a decision"):
        STATES.dumps_typed({"tries": value})


def test_of_an_error_the_text_is_kept_without_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret-123456")

    _, content = STATES.dumps_typed(ValueError("401 for sk-verysecret-123456"))

    assert b"401 for" in content and b"verysecret" not in content


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.__name__)
def test_states_that_run_something_are_not_read(payload, tmp_path):
    marker = tmp_path / "marker"

    with pytest.raises(UnreadableState, match=KIND):
        STATES.loads_typed(payload(marker))

    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        b'{"a":1,"a":2}',
        b'{"$send":["propose"]}',
        b'{"$send":[1,{}]}',
        b'{"$send":["propose",{}],"more":1}',
        b'{"$pickle":"x"}',
        b'"\xff"',
        b"",
        b"[" + b"[]," * 4_000_000 + b"1]",
        b" " * (64 * 2**20 + 1),
    ],
    ids=lambda content: repr(content[:30]),
)
def test_what_is_no_state_is_refused_in_words(content):
    with pytest.raises(UnreadableState, match="a state"):
        STATES.loads_typed((KIND, content))


@pytest.mark.parametrize("content", [None, 5, "text", 1.5])
def test_what_is_not_even_bytes_is_refused(content):
    with pytest.raises(UnreadableState):
        STATES.loads_typed((KIND, content))


def test_a_state_nested_without_an_end_is_not_kept():
    endless = []
    endless.append(endless)

    with pytest.raises(TypeError, match="too deep"):
        STATES.dumps_typed(endless)


def test_a_users_saver_keeps_plain_states_and_its_own_serializer():
    saver = InMemorySaver()
    own = saver.serde

    graph = build_graph(saver)
    graph.checkpointer.put(
        {"configurable": {"thread_id": "a", "checkpoint_ns": ""}},
        empty_checkpoint(),
        {},
        {},
    )

    assert isinstance(graph.checkpointer.serde, PlainStates)
    assert saver.serde is own
    [(kind, content)] = [
        checkpoint
        for spaces in saver.storage.values()
        for held in spaces.values()
        for checkpoint, *_ in held.values()
    ]
    assert KIND == kind
    json.loads(content)
    assert 1 == len(list(saver.list({"configurable": {"thread_id": "a"}})))


def test_a_saver_that_encrypts_still_does():
    class Rot:
        def encrypt(self, text):
            return "rot", bytes(byte ^ 1 for byte in text)

        def decrypt(self, name, text):
            return bytes(byte ^ 1 for byte in text)

    saver = with_plain_states(InMemorySaver(serde=EncryptedSerializer(Rot())))

    kind, content = saver.serde.dumps_typed({"tries": 1})

    assert f"{KIND}+rot" == kind and b"tries" not in content
    assert {"tries": 1} == saver.serde.loads_typed((kind, content))


@pytest.mark.parametrize("nothing", [None, True, False])
def test_no_saver_stays_none(nothing):
    assert with_plain_states(nothing) is nothing


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.__name__)
def test_a_poisoned_saver_runs_nothing_and_costs_no_decision(payload, tmp_path):
    marker, saver = tmp_path / "marker", InMemorySaver()
    metadata = saver.serde.dumps_typed({})
    for place in ("checkpoint", "metadata"):
        bad = payload(marker)
        kept = (bad, metadata, None) if place == "checkpoint" else (bad, bad, None)
        saver.storage[f"run-{0}:5"][""] = {"1": kept}

    with agent_over(models.make("mlp"), SGD, checkpointer=saver) as agent:
        run(agent, 5)
        decision = agent.decide()

    assert "applied" == decision.verdict
    assert not marker.exists()
