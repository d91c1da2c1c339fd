import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dux_agent.errors import MissingExtra, RunFolderUnusable
from dux_agent.integrations.playing import play
from dux_agent.integrations.spans import Spans
from dux_agent.integrations.tensorboard import TensorBoard
from tests.run_folders import Writer, source, usual

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def exporter():
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    return InMemorySpanExporter()


def spans_of(path, exporter, **options):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    listener = Spans(model="openai:test-model", provider=provider, **options)
    play(path, listener)
    listener.close()
    return exporter.get_finished_spans()


def test_a_decision_is_a_span_with_its_call_and_its_stages_in_it(tmp_path, exporter):
    spans = spans_of(usual(tmp_path / "run"), exporter)

    names = ["chat test-model", "static_check", "dry_run", "apply", "invoke_agent dux"]
    assert names * 2 == [span.name for span in spans]
    decision = spans[4]
    assert all(decision.context.span_id == span.parent.span_id for span in spans[:4])
    assert all(span.start_time <= span.end_time for span in spans)
    assert "applied" == decision.attributes["dux.verdict"]


def test_the_spans_carry_the_attributes_of_the_genai_conventions(tmp_path, exporter):
    chat = spans_of(usual(tmp_path / "run"), exporter)[0]

    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 200,
    } == dict(chat.attributes)
    assert "CLIENT" == chat.kind.name


def test_no_content_of_prompts_or_replies_is_in_a_span_unless_asked_for(
    tmp_path, exporter
):
    path = usual(tmp_path / "run")

    quiet = "".join(span.to_json() for span in spans_of(path, exporter))
    exporter.clear()
    loud = [
        json.loads(span.to_json()) for span in spans_of(path, exporter, content=True)
    ]

    for said in ("You write optimizers.", "what now?", "Here it is.", "passed after"):
        assert said not in quiet
        assert said in json.dumps(loud)
    told = json.loads(loud[0]["attributes"]["gen_ai.input.messages"])
    assert {"type": "text", "content": "You write optimizers."} == told[0]["parts"][0]


def test_trouble_with_the_model_is_a_span_in_error(tmp_path, exporter):
    with Writer(tmp_path / "run") as run:
        run.ask(1, 3)
        run.event("error", 1, 3, error="APITimeoutError", message="no answer")
        run.conclude(1, 3, None, "failed")
        run.event("error", 1, 3, error="failed", message="no answer")

    chat, _, decision = spans_of(run.path, exporter)

    assert ("ERROR", "APITimeoutError") == (
        chat.status.status_code.name,
        chat.attributes["error.type"],
    )
    assert "ERROR" == decision.status.status_code.name
    assert chat.status.description is None


def test_each_call_has_its_own_tokens_and_a_rollback_names_its_decision(
    tmp_path, exporter
):
    with Writer(tmp_path / "run") as run:
        for _ in range(2):
            run.ask(1, 3)
            usage = {"input_tokens": 100, "output_tokens": 10}
            run.event("reply", 1, 3, content="nothing", usage=usage)
        run.conclude(1, 3, run.propose(1, 3, source(1)))
        run.event("rollback", 1, 9, digest="", reason="harm")

    spans = spans_of(run.path, exporter)

    chats = [span for span in spans if span.name.startswith("chat")]
    assert [100, 100] == [
        each.attributes["gen_ai.usage.input_tokens"] for each in chats
    ]
    assert spans[-2].context == spans[-1].links[0].context


def test_losses_and_decisions_can_be_read_back_from_tensorboards_files(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing import event_accumulator

    path = usual(tmp_path / "run")
    with TensorBoard(tmp_path / "board", folder=path) as board:
        play(path, board)

    held = event_accumulator.EventAccumulator(str(tmp_path / "board"))
    held.Reload()
    assert 20 == len(held.Scalars("loss/train"))
    assert pytest.approx(0.1) == held.Scalars("loss/train")[-1].value
    assert [(1, 2.0), (2, 1.0)] == [
        (each.step, each.value) for each in held.Scalars("epoch/val")
    ]
    assert pytest.approx([2.9, 2.8]) == [
        each.value for each in held.Scalars("control/val")
    ]
    told = held.Tensors("decisions/text_summary")[-1].tensor_proto.string_val[0]
    assert b"decision 2, step 15: applied" in told
    assert b"Plain steps, number 2." in told


def test_a_live_run_is_listened_to_while_it_is_written(tmp_path):
    heard = []
    with Writer(tmp_path / "run") as run:
        run.folder.subscribe(heard.append)
        run.losses(1, 3)

    again = []
    assert 3 == play(run.path, again.append)
    assert heard == again


@pytest.mark.parametrize("missing", ["opentelemetry", "tensorboard"])
def test_a_missing_package_ends_in_the_command_that_installs_it(
    tmp_path, monkeypatch, missing
):
    for name in [
        each for each in sys.modules if each.startswith("torch.utils.tensorb")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    extra, make = {
        "opentelemetry": ("otel", Spans),
        "tensorboard": ("tensorboard", lambda: TensorBoard(tmp_path)),
    }[missing]

    with pytest.raises(MissingExtra, match=rf"pip install 'dux-agent\[{extra}\]'$"):
        make()


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(RunFolderUnusable):
        play(tmp_path, print)


ONE_DECISION = """
from dux_graphs.decision import Ports, build_graph, decide
from dux_graphs.models import chat_model, writer
from dux_prompts.observation import Observation
from dux_sandbox import check
from dux_sandbox.findings import DryRunReport

observation = Observation(
    model={"kind": "Linear", "parameters": 5, "layers": []},
    base_optimizer={"name": "SGD", "groups": [{"lr": 0.1}]}, step=5, interval=5,
    losses=[[1, 2.0], [5, 1.0]], loss_fifths=[2.0, 1.0], learning_rates=[0.1],
)
ports = Ports(
    write=writer(chat_model("offline")), check=check,
    dry_run=lambda source: DryRunReport(ok=True, losses=(1.0,)),
    apply=lambda source: True,
)
print(decide(build_graph(), observation, ports, "run:5")["verdict"])
from langchain_core.tracers.langchain import wait_for_all_tracers
wait_for_all_tracers()
"""


@pytest.fixture
def loopback():
    """A server that takes everything; its list of the paths that were asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(202)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_PATCH = do_POST

        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("tracing", ["true", None])
def test_langsmith_gets_runs_by_its_own_switch_and_else_nothing(loopback, tracing):
    address, asked = loopback
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LANGSMITH", "LANGCHAIN"))
    }
    kept |= {"LANGSMITH_ENDPOINT": address, "LANGSMITH_API_KEY": "planted"}
    if tracing:
        kept["LANGSMITH_TRACING"] = tracing
    roots = (".", "graphs", "sandbox", "prompts")
    kept["PYTHONPATH"] = os.pathsep.join(str(REPOSITORY / root) for root in roots)

    done = subprocess.run(
        [sys.executable, "-c", ONE_DECISION],
        env=kept,
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert "applied\n" == done.stdout, done.stderr
    assert bool(tracing) == any("/runs" in path for path in asked)
    assert tracing or not asked
