"""Every event that we write is what the schema in the package says."""

import json

import jsonschema
import pytest

from dux_agent.run_folder import trace
from tests import models
from tests.swapping import SGD, after
from tests.talking import agent_over, run, scripted

VALIDATOR = jsonschema.Draft202012Validator(trace.schema())
BOMB = after(14, 'p.fill_(float("nan"))')


def lines(folder):
    text = (folder / "trace.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with every kind of event and every kind of ending."""
    path = tmp_path_factory.mktemp("runs") / "run"
    lm = scripted(
        "import os\n" + SGD,
        "import os\n" + SGD,
        BOMB,
        PermissionError("401"),
        ConnectionError("gone"),
        SGD,
    )
    lm.replies.insert(1, "I would rather not.")
    agent = agent_over(models.make("mlp"), lm=lm, run_dir=path, max_attempts=4)
    with agent:
        run(agent, 8)
        agent.decide()
        run(agent, 20)
        agent.decide()
        run(agent, 4)
        agent.decide()
    return path


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(trace.schema())


def test_every_event_of_a_run_is_as_the_schema_says(folder):
    found = [
        f"{event['kind']} {fault.json_path}: {fault.message}"
        for event in lines(folder)
        for fault in VALIDATOR.iter_errors(event)
    ]

    assert [] == found
    assert set(trace.KINDS) - {"trial"} == {event["kind"] for event in lines(folder)}


def test_every_reply_is_followed_by_a_static_check(folder):
    events = [event for event in trace.read(folder) if event.kind != "loss"]

    after_replies = [
        following.kind
        for event, following in zip(events, events[1:], strict=False)
        if event.kind == "reply"
    ]

    assert ["static_check"] * 5 == after_replies


def test_a_reply_without_a_source_and_one_refused_before_have_their_findings(folder):
    checks = [
        event.data for event in trace.read(folder) if event.kind == "static_check"
    ]

    rules = [check["findings"][0]["rule"] for check in checks if not check["ok"]]

    assert "repeated" == rules[2]
    assert "" == checks[1]["digest"]


def test_what_the_replies_cost_comes_to_what_the_decision_cost(folder):
    events = [event for event in trace.read(folder) if event.decision == 1]
    replies = [event.data["usage"] for event in events if event.kind == "reply"]
    (apply,) = [event.data for event in events if event.kind == "apply"]

    for name in ("calls", "input_tokens", "output_tokens", "total_tokens"):
        assert apply["usage"][name] == sum(usage[name] for usage in replies)


def test_a_prompt_in_the_file_leaves_out_what_was_told_before(folder):
    short = [event["data"] for event in lines(folder) if event["kind"] == "prompt"]
    whole = [event.data for event in trace.read(folder) if event.kind == "prompt"]

    assert 0 == short[0]["same"]
    assert all(prompt["same"] > 0 for prompt in short[1:])
    for kept, told in zip(short, whole, strict=True):
        assert kept["messages"] == told["messages"][kept["same"] :]
        assert "system" == told["messages"][0]["role"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "gossip"},
        {"decision": 0},
        {"step": -1},
        {"data": {}},
        {"data": {"loss": "high"}},
        {"extra": 1},
        {"data": {"loss": 1.0, "scope": "epoch"}},
    ],
)
def test_what_is_no_event_is_refused(wrong):
    event = {"time": 1.0, "step": 1, "decision": None, "kind": "loss"}
    event["data"] = {"loss": "NaN"}
    assert VALIDATOR.is_valid(event)

    assert not VALIDATOR.is_valid({**event, **wrong})
