import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from dux_agent.serving import OnTask, graph, told
from dux_graphs.state import PortsError

ROOT = Path(__file__).parents[2]


def test_the_served_task_is_named_in_langgraph_json_and_described_as_json():
    settings = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    path, name = settings["graphs"]["task"].split(":")

    assert (ROOT / path).samefile(sys.modules["dux_agent.serving"].__file__)
    assert "graph" == name
    assert {"task", "seed", "steps", "lm", "max_attempts", "approve"} == set(
        graph.get_context_jsonschema()["properties"]
    )


def test_one_decision_is_made_and_applied_on_a_task_named_in_json():
    out = graph.invoke({}, context={"task": "digits", "seed": 1, "steps": 15})

    assert "applied" == out["verdict"], out["reason"]
    assert 15 == out["observation"]["step"]
    assert 11 == len(out["attempts"][-1]["losses"])
    json.dumps(out)  # plain data


@pytest.mark.parametrize(
    "context",
    [
        {"tasks": "digits"},
        {"steps": 0},
        {"steps": "many"},
        {"seed": -1},
        {"task": []},
        {"task": "os:abort"},
        {"task": "/tmp/anything.py:build"},
        [1],
        "x",
    ],
)
def test_a_context_that_is_not_the_described_json_is_refused(context):
    with pytest.raises(PortsError, match="such as"):
        told(context)


def test_no_context_means_digits():
    assert OnTask(task="digits") == told(None)


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def wait_for(address, server, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(f"{address}/ok", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise AssertionError("the server does not answer")


@pytest.mark.slow
def test_langgraph_dev_serves_the_graph_to_a_client_of_its_sdk(tmp_path):
    command = shutil.which("langgraph")
    if command is None or importlib.util.find_spec("langgraph_api") is None:
        pytest.skip("langgraph-cli[inmem] is not installed")
    roots = (".", "graphs", "sandbox", "prompts")
    paths = os.pathsep.join(str(ROOT / root) for root in roots)
    environment = os.environ | {"PYTHONPATH": paths, "LANGSMITH_TRACING": "false"}
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [command, "dev", "--no-browser", "--no-reload", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(address, server)
        done = subprocess.run(
            [sys.executable, "examples/langgraph_client.py", address],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
    finally:
        server.terminate()
        server.wait(30)

    assert done.stdout.startswith("verdict: applied"), done.stderr
