"""Trainings through every weather of a language model's server."""

import functools
import json
import threading

import pytest
import torch
from langgraph.types import RetryPolicy

from dux_agent import attach
from dux_agent.run_folder.trace import read as read_trace
from dux_graphs.decision import build_graph
from tests import models
from tests.fault_server import (
    body,
    breaks_off,
    completion,
    fails_in_a_stream,
    hangs,
    refuses,
    refuses_option,
    resets,
    says,
    serving,
    stands_still,
)
from tests.swapping import SGD
from tests.talking import sgd

KEY = "planted-key-4711-abcdef"
QUICK = RetryPolicy(initial_interval=0.001, max_attempts=4, jitter=False)
SAID = f"The loss is flat.\n```python\n{SGD}\n```\n"
GOOD = says(SAID)
BAD = says("```python\nclass Rule(torch.optim.Optimizer:\n```")
PROSE = says("I would raise the rate a little.")
HTML = body("<html>Bad gateway</html>", "text/html")
HALF = body(json.dumps(completion(SAID))[:200])
OLD = SGD.replace("class ", "class Old")


@pytest.fixture(autouse=True)
def quick_and_alone(monkeypatch):
    """No waiting between retries, no proxy, a key in the environment."""
    monkeypatch.setattr(
        "dux_graphs.decision.build_graph",
        functools.partial(build_graph, retry=QUICK),
    )
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def trained(server, folder, **options):
    """A training with one decision in its middle: decision, losses, weights, trace."""
    model = models.make("mlp")
    batches = models.batches()
    options = {"execution": "inline", **options}
    options["lm_options"] = {
        "base_url": server.address_v1,
        **options.get("lm_options", {}),
    }
    with attach(
        model,
        sgd(model),
        models.objective,
        lm="openai:tiny",
        run_dir=folder,
        **options,
    ) as agent:
        losses = [float(agent.step(batches[step % 3])) for step in range(4)]
        decision = agent.decide()
        losses += [float(agent.step(batches[step % 3])) for step in range(4)]
    return decision, losses, model.state_dict(), read_trace(folder)


def alone():
    """The same training without an agent."""
    model = models.make("mlp")
    optimizer, losses = sgd(model), []
    batches = models.batches()
    for step in [*range(4), *range(4)]:
        optimizer.zero_grad()
        loss = models.objective(model, batches[step % 3])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model.state_dict()


def files_with(folder, text):
    """The names of the files that hold a text."""
    found = [each for each in folder.rglob("*") if each.is_file()]
    return [each.name for each in found if text.encode() in each.read_bytes()]


# Behaviours of the server, one a call; the verdict; calls; what the trace names.
WEATHER = {
    "fine": ([GOOD], "applied", 1, None),
    "429 with Retry-After": (
        [refuses(429, "slow down", Retry_After="0.01"), GOOD],
        "applied",
        2,
        "rate limit (429)",
    ),
    "429 of a spent quota": (
        [refuses(429, "insufficient_quota", code="insufficient_quota")],
        "failed",
        1,
        "rate limit (429)",
    ),
    "500 twice": ([refuses(500), refuses(503), GOOD], "applied", 3, "server error"),
    "500 for ever": ([refuses(500)], "failed", 4, "server error (500)"),
    "501": ([refuses(501)], "failed", 1, "(501)"),
    "reset": ([resets, GOOD], "applied", 2, "connection lost"),
    "reset for ever": ([resets], "failed", 4, "connection lost"),
    "slow tokens": ([says(SAID, pause=0.02, pieces=20)], "applied", 1, None),
    "truncated JSON": ([HALF, GOOD], "applied", 2, "no JSON"),
    "broken off": ([breaks_off, GOOD], "applied", 2, "truncated reply"),
    "error in a stream": ([fails_in_a_stream, GOOD], "applied", 2, "overloaded"),
    "cut short": ([says(SAID[:60], "length"), GOOD], "applied", 2, "truncated reply"),
    "empty": ([says(""), GOOD], "applied", 2, "empty reply"),
    "nothing": ([body(""), GOOD], "applied", 2, "no JSON"),
    "null": ([body("null"), GOOD], "applied", 2, "no chat completion"),
    "no choices": ([body('{"choices": []}'), GOOD], "applied", 2, "no choices"),
    "prose": ([PROSE, GOOD], "applied", 2, None),
    "prose for ever": ([PROSE], "kept", 3, None),
    "two blocks": ([says(f"```python\n{OLD}\n```\nNo:\n{SAID}")], "applied", 1, None),
    "thinking tags": ([says(f"<think>{PROSE}</think>{SAID}")], "applied", 1, None),
    "bad syntax": ([BAD, GOOD], "applied", 2, None),
    "5 MB": ([says("x" * 5_000_000), GOOD], "applied", 2, "runaway reply"),
    "10 MB": ([body(b"x" * 10_000_000), GOOD], "applied", 2, "runaway reply"),
    "HTML": ([HTML, GOOD], "applied", 2, "no JSON"),
    "HTML for ever": ([HTML], "failed", 4, "text/html"),
    "JSON as a text": (
        [body(json.dumps(completion(SAID)), "text/plain")],
        "applied",
        1,
        None,
    ),
    "bytes": ([body(bytes(range(256)) * 9, "x/y"), GOOD], "applied", 2, "no JSON"),
    "401": ([refuses(401, "bad key")], "failed", 1, "not authorised (401)"),
    "403": ([refuses(403)], "failed", 1, "forbidden (403)"),
    "404": ([refuses(404)], "failed", 1, "not found (404)"),
    "400": ([refuses(400)], "failed", 1, "refused (400)"),
}


@pytest.mark.parametrize("streams", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("weather", WEATHER)
def test_training_finishes_in_every_weather(weather, streams, tmp_path):
    behaviours, verdict, calls, named = WEATHER[weather]
    with serving(*behaviours, good=GOOD, streams=streams) as server:
        decision, losses, weights, trace = trained(server, tmp_path / "run")

    assert verdict == decision.verdict, decision.reason
    assert calls == len(server.asked)
    told = [event.data["message"] for event in trace if event.kind == "error"]
    assert named is None or any(named in each for each in told), told
    assert [] == files_with(tmp_path, KEY)
    assert 8 == len(losses)
    if verdict != "applied":
        expected, expected_weights = alone()
        assert expected == losses
        for name, weight in weights.items():
            assert torch.equal(expected_weights[name], weight)


@pytest.mark.parametrize("execution", ["isolated", "inline"])
def test_a_rule_that_came_in_pieces_trains_in_either_execution(execution, tmp_path):
    with serving(GOOD) as server:
        decision, _, weights, _ = trained(server, tmp_path / "run", execution=execution)

    assert "applied" == decision.verdict
    assert {"calls": 1, "total_tokens": 12}.items() <= decision.usage.items()
    assert all(torch.isfinite(each).all() for each in weights.values())


@pytest.mark.parametrize("behaviour", [hangs, stands_still])
def test_a_server_that_says_nothing_costs_a_decision_its_time_and_no_more(
    behaviour, tmp_path
):
    before = set(threading.enumerate())
    with serving(behaviour) as server:
        decision, losses, _, _ = trained(
            server, tmp_path / "run", lm_timeout=0.2, decision_timeout=0.5
        )
        calls = {each for each in threading.enumerate() if each.name == "dux-call"}
        for each in calls - before:
            each.join(60)
            assert not each.is_alive()

    assert "failed" == decision.verdict
    assert "timeout" in decision.reason or "are over" in decision.reason
    assert alone()[0] == losses


@pytest.mark.parametrize("streams", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize(
    ("option", "sent_as"),
    [
        ("seed", "seed"),
        ("temperature", "temperature"),
        ("max_tokens", "max_tokens"),
        ("top_k", "top_k"),
        ("min_p", "min_p"),
        ("stream_usage", "stream_options"),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_option_is_left_out_from_then_on(
    option, sent_as, status, streams, tmp_path
):
    given = {"temperature": 0.7, "max_tokens": 900, "top_k": 20, "min_p": 0.1}
    refusing = refuses_option(sent_as, status)
    with serving(refusing, good=PROSE, streams=streams) as server:
        decision, _, _, trace = trained(server, tmp_path / "run", lm_options=given)

    sent = [sent_as in request for request in server.asked]
    assert [True, False, False, False] == sent
    assert "kept" == decision.verdict  # three tries, all of them prose
    assert 4 == decision.usage["calls"]
    others = {*given, "seed"} - {option}
    assert all(others <= request.keys() for request in server.asked)
    told = [event.data["message"] for event in trace if event.kind == "error"]
    assert 1 == len(told) and f"asked again without {option}" in told[0]


def test_two_refused_options_are_left_out_one_after_the_other(tmp_path):
    def behave(handler, request):
        for name in ("seed", "temperature"):
            if name in request:
                refuses_option(name)(handler, request)
                return
        GOOD(handler, request)

    with serving(behave) as server:
        decision, _, _, _ = trained(
            server, tmp_path / "run", lm_options={"temperature": 0.7}
        )

    assert "applied" == decision.verdict
    assert 3 == len(server.asked)


def test_options_that_are_refused_without_a_name_are_left_out_together(tmp_path):
    def behave(handler, request):
        if {"seed", "top_k"} & request.keys():
            refuses(400, "Extra inputs are not permitted")(handler, request)
        else:
            GOOD(handler, request)

    with serving(behave) as server:
        decision, _, _, _ = trained(server, tmp_path / "run", lm_options={"top_k": 9})

    assert "applied" == decision.verdict
    assert 2 == len(server.asked)


def test_a_server_that_cannot_stream_is_asked_for_the_whole(tmp_path):
    def behave(handler, request):
        if request.get("stream"):
            refuses(400, "stream is not supported")(handler, request)
        else:
            PROSE(handler, request)

    with serving(behave) as server:
        decision, _, _, _ = trained(server, tmp_path / "run")

    assert "kept" == decision.verdict
    assert [True, False, False, False] == [
        bool(each.get("stream")) for each in server.asked
    ]


def test_a_refused_option_counts_as_a_call_of_the_budget(tmp_path):
    with serving(refuses_option("seed"), good=GOOD) as server:
        decision, _, _, _ = trained(server, tmp_path / "run", budget=1)

    assert ("kept", 1) == (decision.verdict, len(server.asked))
    assert "the budget is used up" in decision.reason


def test_a_key_among_the_options_stands_in_no_file(tmp_path):
    key, header = "planted-option-4711", "planted-header-4711"
    options = {"api_key": key, "default_headers": {"X-Api-Key": header}}
    with serving(refuses(401, "bad key")) as server:
        trained(server, tmp_path / "run", lm_options=options)

    assert [] == files_with(tmp_path, key) + files_with(tmp_path, header)
    assert [] == files_with(tmp_path, KEY)


def test_each_model_of_a_list_is_asked_with_its_own_options():
    model = models.make("mlp")
    with serving(refuses(401)) as first, serving(GOOD) as second:
        options = [
            {"base_url": first.address_v1, "temperature": 0.1},
            {"base_url": second.address_v1, "top_k": 7},
        ]
        with attach(
            model,
            sgd(model),
            models.objective,
            lm=["openai:one", "openai:two"],
            lm_options=options,
            execution="inline",
        ) as agent:
            agent.step(models.batches()[0])
            decision = agent.decide()

    assert "applied" == decision.verdict
    [one], [two] = first.asked, second.asked
    assert ("one", 0.1, None) == (one["model"], one["temperature"], one.get("top_k"))
    assert ("two", None, 7) == (two["model"], two.get("temperature"), two["top_k"])
