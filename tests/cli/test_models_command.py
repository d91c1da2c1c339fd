"""`dux models`: one tiny call and one proposal, and what can be reached here."""

import itertools

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.errors import BadArgument
from dux_agent.model_trial import STAGES, try_model
from dux_agent.reachable_models import reachable, served_at
from tests.fault_server import body, refuses, says, serving
from tests.swapping import SGD

GOOD = f"```python\n{SGD}\n```"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """No key, no address and no proxy in the environment."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def dux(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_a_model_whose_proposal_passes_is_told_with_seconds_tokens_and_money():
    with serving(says("ready"), says(GOOD)) as server:
        result = dux(
            "models", "openai:tiny", "--lm-option", f"base_url={server.address_v1}",
            "--price-in", 1_000_000, "--price-out", 1_000_000,
        )  # fmt: skip

    assert 0 == result.exit_code, result.output
    assert 2 == len(server.asked)
    assert "$12.0000" in result.output
    assert 3 == result.output.count("yes")


@pytest.mark.parametrize(
    ("reply", "passed", "said"),
    [
        ("I would raise the rate.", 0, "no Python block"),
        ("```python\nimport os\n```", 1, "[import]"),
        (GOOD.replace("add_", "nothing_like_it_"), 1, "nothing_like_it_"),
        (GOOD, 3, ""),
    ],
)
def test_how_far_the_proposal_comes_is_told(reply, passed, said):
    with serving(says("ready"), says(reply)) as server:
        options = {"base_url": server.address_v1}
        trial = try_model(
            "openai:tiny", options=options, clock=itertools.count().__next__
        )

    assert STAGES[:passed] == trial.passed
    assert (passed == len(STAGES)) == trial.ok
    assert said in " ".join(map(str, trial.findings))
    assert (1, 1) == (trial.tiny.seconds, trial.proposal.seconds)
    assert 12 == trial.proposal.usage["total_tokens"]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (refuses(401, "bad key"), "not authorised (401)"),
        (refuses(404, "no such model"), "not found (404)"),
        (body("<html>"), "no JSON"),
    ],
)
def test_a_model_that_cannot_be_asked_is_told_after_one_call(behaviour, said):
    with serving(behaviour) as server:
        result = dux(
            "models", "openai:tiny", "--lm-option", f"base_url={server.address_v1}"
        )

    assert 1 == result.exit_code
    assert 1 == len(server.asked)
    assert said in result.output


def test_written_rules_are_asked_for_a_proposal_alone():
    trial = try_model("offline")

    assert trial.tiny is None
    assert trial.ok


def test_a_name_that_means_nothing_is_one_line():
    with pytest.raises(BadArgument, match="no language model is called 'gpt-4o'"):
        try_model("gpt-4o")
    assert 2 == dux("models", "gpt-4o").exit_code
    assert "no language model was named" in dux("models").stderr


def test_what_is_missing_stands_in_the_list():
    found = {each.name: each for each in reachable({}, lambda address, key: None)}

    assert found["offline"].ready
    assert not found["openai:NAME"].ready and not found["ollama:NAME"].ready
    assert "set OPENAI_API_KEY" in found["openai:NAME"].note


def test_no_paid_model_is_asked_for_the_list():
    asked = []
    environment = {
        "OPENAI_API_KEY": "planted-4711",
        "ANTHROPIC_API_KEY": "planted-4711",
    }

    found = reachable(environment, lambda address, key: asked.append((address, key)))

    assert [("http://127.0.0.1:11434/v1", None)] == asked
    [openai] = [each for each in found if each.name == "openai:NAME"]
    assert openai.ready and "only where it is named" in openai.note
    assert "planted" not in str(found)


def test_the_models_of_a_server_of_ones_own_are_listed():
    looked = {"http://127.0.0.1:1/v1": ["qwen3", "llama"], "http://h:2/v1": []}
    environment = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OLLAMA_HOST": "h:2"}

    found = {
        each.name: each
        for each in reachable(environment, lambda address, key: looked[address])
    }

    assert found["openai:NAME"].ready and "qwen3, llama" in found["openai:NAME"].note
    assert not found["ollama:NAME"].ready and "has none" in found["ollama:NAME"].note


def test_a_server_that_is_not_there_or_says_nonsense_lists_nothing():
    with serving(says("x")) as server:
        assert served_at(server.address_v1, None) is None  # it takes no GET
    assert served_at(server.address_v1, "key") is None
    assert served_at("nonsense", None) is None


def test_the_command_lists_what_is_here(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")

    result = dux("models", "--list")

    assert 0 == result.exit_code
    assert "offline" in result.output and "ollama:NAME" in result.output


def test_the_prompts_of_both_vocabularies_are_measured_with_a_model():
    result = dux("bench", "prompts", "--lm", "offline")

    assert 0 == result.exit_code, result.output
    short, full = result.output.splitlines()
    assert "prompts, short vocabulary:" in short and "5 of 5 proposals pass" in short
    tokens = [line.split(": ")[1].split(" tokens")[0] for line in (short, full)]
    assert 2 * int(tokens[0].replace(",", "")) < int(tokens[1].replace(",", ""))


@pytest.mark.parametrize("words", [("prompts",), ("static-check", "--lm", "offline")])
def test_a_model_is_for_the_benchmark_of_prompts_and_for_nothing_else(words):
    result = dux("bench", *words)

    assert 2 == result.exit_code
    assert "dux bench prompts --lm" in result.stderr
