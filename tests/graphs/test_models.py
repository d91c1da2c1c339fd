import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langgraph.types import RetryPolicy

from dux_graphs.decision import Ports, build_graph, decide
from dux_graphs.models import (
    MissingModels,
    ModelNameError,
    cause_of,
    chat_model,
    is_trouble,
    writer,
)
from dux_sandbox.findings import CheckReport, DryRunReport, digest_of
from tests.observations import first

QUICK = RetryPolicy(initial_interval=0.001, max_attempts=4, jitter=False)
MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


class Answer(BaseHTTPRequestHandler):
    """Gives the server's next answer: a status and a body."""

    def do_POST(self):
        server = self.server
        length = int(self.headers["Content-Length"])
        server.asked.append(json.loads(self.rfile.read(length)))
        server.keys.append(self.headers.get("Authorization"))
        status, body = server.answers[min(len(server.asked), len(server.answers)) - 1]
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        """Nothing on the terminal."""


@pytest.fixture
def server(monkeypatch):
    """A server on the loopback that speaks as OpenAI does, and counts the calls."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.answers, server.asked, server.keys = [], [], []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    for name in ("OPENAI_API_KEY", "OPENAI_API_BASE", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)
    assert not thread.is_alive()


def good(content="```python\nx = 1\n```", finish="stop"):
    """A chat completion, as a server writes it."""
    message = {"role": "assistant", "content": content}
    return json.dumps(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "tiny-1",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
        }
    )


NO_CHOICES = json.dumps(json.loads(good()) | {"choices": []})
NULL_CHOICES = json.dumps(json.loads(good()) | {"choices": None})


def fault(text):
    return json.dumps({"error": {"message": text, "type": "t", "code": "c"}})


def decided(model):
    """One decision with a chat model, and nothing but that model in doubt."""
    ports = Ports(
        write=writer(model),
        check=lambda source: CheckReport(True, digest_of(source)),
        dry_run=lambda source: DryRunReport(True, (1.0, 0.5)),
        apply=lambda source: True,
    )
    return decide(build_graph(retry=QUICK), first(), ports, "t")


def test_openai_names_reach_the_server_of_the_environment(server):
    server.answers = [(200, good())]

    reply = writer(chat_model("openai:tiny", seed=5))(MESSAGES)

    assert "```python\nx = 1\n```" == reply
    assert ("tiny", 5) == (server.asked[0]["model"], server.asked[0]["seed"])
    assert ["system", "user"] == [m["role"] for m in server.asked[0]["messages"]]
    assert ["Bearer none"] == server.keys


def test_ollama_names_reach_its_server_the_same_way(server, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.server_port}")
    server.answers = [(200, good("hello"))]

    reply = writer(chat_model("ollama:qwen3"))(MESSAGES)

    assert "hello" == reply
    assert "qwen3" == server.asked[0]["model"]


def test_tokens_are_counted_by_langchains_own_counter(server):
    from langchain_core.callbacks import get_usage_metadata_callback

    server.answers = [(200, good())]

    with get_usage_metadata_callback() as counted:
        writer(chat_model("openai:tiny"))(MESSAGES)

    assert 12 == counted.usage_metadata["tiny-1"]["total_tokens"]


@pytest.mark.parametrize(
    ("answers", "calls", "verdict", "said"),
    [
        ([(200, good())], 1, "applied", "passed"),
        ([(401, fault("bad key sk-secret123"))], 1, "failed", "not authorised (401)"),
        ([(403, fault("no"))], 1, "failed", "forbidden (403)"),
        ([(404, fault("no model"))], 1, "failed", "not found (404)"),
        ([(429, fault("slow down")), (200, good())], 2, "applied", "passed"),
        ([(500, fault("oops"))], 4, "failed", "server error (500)"),
        ([(503, "<html>"), (502, ""), (200, good())], 3, "applied", "passed"),
        ([(200, good()[:90])], 4, "failed", "no JSON"),
        ([(200, good()[:90]), (200, good())], 2, "applied", "passed"),
        ([(200, good(finish="length"))], 4, "failed", "truncated reply"),
        ([(200, good("")), (200, good())], 2, "applied", "passed"),
        ([(200, NO_CHOICES)], 4, "failed", "no choices"),
        ([(200, NULL_CHOICES)], 4, "failed", "no choices"),
    ],
)
def test_trouble_is_retried_and_the_rest_is_not(server, answers, calls, verdict, said):
    server.answers = answers

    out = decided(chat_model("openai:tiny"))

    assert verdict == out["verdict"], out["reason"]
    assert calls == len(server.asked)
    assert said in out["reason"]
    assert "secret" not in out["reason"]


def test_a_server_that_is_not_there_is_trouble(server, monkeypatch):
    model = chat_model("openai:tiny")
    server.server_close()
    server.shutdown()

    with pytest.raises(Exception) as caught:
        writer(model)(MESSAGES)

    assert is_trouble(caught.value)
    assert "connection lost" in cause_of(caught.value)


def test_openai_without_a_key_says_what_to_set(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ModelNameError, match="set OPENAI_API_KEY, or OPENAI_BASE_URL"):
        chat_model("openai:gpt-4o")


def test_a_model_is_given_back_as_it_is():
    model = FakeListChatModel(responses=["x"])

    assert model is chat_model(model)


@pytest.mark.parametrize("name", ["", "offlin", "gpt-4o", "openai:", ":x", 7, None])
def test_an_unknown_name_gets_one_line_that_lists_what_is_possible(name):
    with pytest.raises(ModelNameError) as caught:
        chat_model(name)

    assert '"offline", "recorded:FILE", "openai:NAME"' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_provider_says_what_to_install_or_what_it_lacks():
    with pytest.raises(ModelNameError) as caught:
        chat_model("nobody:model-1")

    assert "nobody:model-1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_langchain_the_error_ends_in_the_command(monkeypatch):
    monkeypatch.setattr("dux_graphs.models.find_spec", lambda name: None)

    with pytest.raises(MissingModels) as caught:
        chat_model("anthropic:claude")

    assert str(caught.value).endswith("pip install 'dux-agent[models]'")


def test_a_recording_that_is_missing_is_named(tmp_path):
    with pytest.raises(ModelNameError, match=r"recording '.*none.jsonl' cannot be"):
        chat_model(f"recorded:{tmp_path / 'none.jsonl'}")
