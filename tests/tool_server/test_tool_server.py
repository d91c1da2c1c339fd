"""`dux mcp`, spoken to by the SDK's own client over stdin and stdout of a process."""

import contextlib
import json
import os
import sys

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.tool_server.answers import MOST_ANSWER
from dux_agent.tool_server.places import MOST_SOURCE_BYTES
from dux_sandbox.laws import LAWS
from tests import sources
from tests.law_mutants import SGD, source_of
from tests.run_folders import usual
from tests.waiting import alive, children_of, wait_until

CLIPS = source_of("gradient_scaled_in_place")
OTHER = SGD.removeprefix("import torch\n").replace("class Rule", "class Other")
ALL_BUT = {law.name for law in LAWS}
# Not a bar for any machine: without it a server that hangs would hang the tests.
_SECONDS = 240.0


def skipping_all_but(*names):
    return sorted(ALL_BUT - set(names))


class Server:
    """A server of its own for each conversation.

    Attributes:
        root: the folder under which files may be named.
    """

    def __init__(self, root):
        self.root = root

    def talk(self, conversation):
        """What an async function of a connected client returns."""

        async def talking():
            parameters = StdioServerParameters(
                command=sys.executable,
                args=["-m", "dux_agent", "mcp", "--root", str(self.root)],
                env={"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            )
            with anyio.fail_after(_SECONDS):
                async with Client(stdio_client(parameters)) as client:
                    return await conversation(client)

        return anyio.run(talking)

    def call(self, tool, **arguments):
        """What one tool answers: plain data; what it says where it refuses."""

        async def conversation(client):
            return await client.call_tool(tool, arguments)

        return told(self.talk(conversation))


def told(result):
    if result.is_error:
        return result.content[0].text
    # A client that knows no structured answers reads the text.
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


@pytest.fixture
def server(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    return Server(root)


def test_a_client_is_told_four_tools_and_how_to_use_them(server):
    async def conversation(client):
        return await client.list_tools(), client.instructions

    listed, instructions = server.talk(conversation)

    tools = {tool.name: tool for tool in listed.tools}
    assert {"check", "fuzz", "trace", "report"} == set(tools)
    assert all(tool.description for tool in tools.values())
    for name, tool in tools.items():
        assert all(
            "description" in each for each in tool.input_schema["properties"].values()
        )
        assert (name != "report") == tool.annotations.read_only_hint
    assert "`check`" in instructions and "`fuzz`" in instructions


def test_a_sound_source_is_accepted_and_a_faulty_one_gets_findings(server):
    async def conversation(client):
        sound = await client.call_tool("check", {"source": SGD})
        faulty = await client.call_tool(
            "check", {"source": SGD + "import os\n", "static": True}
        )
        return told(sound), told(faulty)

    sound, faulty = server.talk(conversation)

    assert (True, []) == (sound["ok"], sound["findings"])
    assert sound["dry_run"]["ok"]
    [finding] = faulty["findings"]
    assert not faulty["ok"]
    assert len(SGD.splitlines()) + 1 == finding["line"]
    assert finding["instead"]


def test_a_broken_law_comes_with_its_claim_and_a_script_and_every_law_is_told(server):
    (server.root / "rule.py").write_text(CLIPS)
    seen = []

    async def conversation(client):
        async def progress(done, total, message):
            seen.append(message)

        arguments = {
            "path": "rule.py",
            "examples": 0,
            "skip": skipping_all_but("finite", "gradients"),
        }
        return told(
            await client.call_tool("fuzz", arguments, progress_callback=progress)
        )

    answer = server.talk(conversation)

    finite, gradients = answer["laws"]
    assert ("rule.py", False, []) == (answer["file"], answer["ok"], answer["unjudged"])
    assert ("kept", "broken") == (finite["verdict"], gradients["verdict"])
    assert "Gradients are read, never written." == gradients["claim"]
    with pytest.raises(AssertionError, match="the step changed a gradient"):
        exec(compile(gradients["example"], "<script>", "exec"), {})
    assert ["finite: kept", "gradients: broken"] == seen


def test_what_the_commands_print_is_what_the_tools_answer(server):
    (server.root / "rule.py").write_text(CLIPS)
    path = str(server.root / "rule.py")
    names = skipping_all_but("gradients")

    answers = [
        server.call("check", path=path, static=True),
        server.call("fuzz", path=path, examples=0, skip=names),
    ]

    skipped = [part for name in names for part in ("--skip", name)]
    printed = [
        json.loads(CliRunner().invoke(app, arguments).stdout)
        for arguments in (
            ["check", path, "--static", "--json"],
            ["fuzz", path, "--examples", "0", "--json", *skipped],
        )
    ]
    assert [[answer] for answer in answers] == printed


def test_a_source_is_judged_with_the_files_that_it_imports(server):
    (server.root / "parts").mkdir()
    (server.root / "parts" / "helper.py").write_text("def half(x):\n    return x / 2\n")
    body = SGD.replace("d = p.grad\n", "d = half(p.grad)\n")
    source = body.replace("import torch\n", "import torch\nfrom helper import half\n")

    async def conversation(client):
        alone = await client.call_tool("check", {"source": source, "static": True})
        given = {"source": source, "static": True, "beside": ["parts/helper.py"]}
        return told(alone), told(await client.call_tool("check", given))

    alone, together = server.talk(conversation)

    assert (False, True) == (alone["ok"], together["ok"])
    assert ["parts/helper.py"] == together["with"]


def test_where_the_time_is_over_the_other_laws_are_unjudged(server):
    names = [law.name for law in LAWS]

    answer = server.call("fuzz", source=SGD, examples=0, seconds=1e-9)

    assert "kept" == answer["laws"][0]["verdict"]
    assert names[1:] == answer["unjudged"]
    assert "not tried: the 1e-09 s for all laws are over" in {
        law["message"] for law in answer["laws"]
    }


# What a client may say that cannot be meant: tool, arguments, what is answered.
REFUSED = [
    ("check", {}, "none of the two of source and path was given"),
    ("check", {"source": "x = 1", "path": "rule.py"}, "both of source and path"),
    ("check", {"path": "../outside.py"}, "leads out of"),
    ("check", {"path": "/etc/passwd"}, "leads out of"),
    ("check", {"path": "link.py"}, "leads out of"),
    ("check", {"path": "inside/../../outside.py"}, "leads out of"),
    ("check", {"path": "loop.py"}, "cannot be"),
    ("check", {"path": "nul\x00.py"}, "cannot be"),
    ("check", {"path": "a" * 5000 + ".py"}, "cannot be"),
    ("check", {"path": "secret.env"}, "does not end in .py"),
    ("check", {"path": "nowhere.py"}, "cannot be read: No such file"),
    ("check", {"path": "folder.py"}, "cannot be read: "),
    ("check", {"path": "pipe.py"}, "cannot be read: it is no ordinary file"),
    ("check", {"path": "latin.py"}, "it is no UTF-8 text (byte 0)"),
    ("check", {"path": "large.py"}, f"more than {MOST_SOURCE_BYTES}"),
    ("check", {"source": "#" * (MOST_SOURCE_BYTES + 1)}, "at most 1048576 are taken"),
    ("check", {"source": SGD, "beside": ["../outside.py"]}, "leads out of"),
    ("check", {"source": SGD, "beside": ["a.py"] * 51}, "at most 50 are taken"),
    ("check", {"source": SGD, "classes": ["Other"]}, "has no optimizer of that name"),
    ("fuzz", {"path": "../outside.py"}, "leads out of"),
    ("fuzz", {"source": SGD, "skip": ["gravity"]}, "skip names 'gravity'; known are"),
    ("fuzz", {"source": SGD + OTHER}, "has 2 optimizers, Rule, Other; one is fuzzed"),
    ("fuzz", {"source": SGD, "beside": ["../outside.py"]}, "leads out of"),
    ("fuzz", {"source": SGD, "also": ["finite"]}, "also names 'finite'; known are cap"),
    ("fuzz", {"source": SGD, "examples": -1}, "it must be from 0 to 1000"),
    ("fuzz", {"source": SGD, "examples": 10**9}, "it must be from 0 to 1000"),
    ("fuzz", {"source": SGD, "seconds": 0}, "it must be > 0 and at most 3600"),
    ("fuzz", {"source": f'"""dux: lazy"""\n{SGD}'}, "declares no trait"),
    ("trace", {"folder": ".."}, "leads out of"),
    ("trace", {"folder": "nowhere"}, "is no folder"),
    ("trace", {"folder": "."}, "is no run folder"),
    ("trace", {"folder": "run", "decision": 99}, "has no decision 99"),
    ("report", {"folder": "/"}, "leads out of"),
    ("report", {"folder": "."}, "is no run folder"),
]


def test_what_cannot_be_meant_is_answered_in_one_line_that_says_what_to_do(server):
    root = server.root
    usual(root / "run")
    (root.parent / "outside.py").write_text(SGD)
    (root / "link.py").symlink_to(root.parent / "outside.py")
    (root / "loop.py").symlink_to(root / "loop.py")
    (root / "inside").mkdir()
    (root / "folder.py").mkdir()
    (root / "secret.env").write_text("KEY=1")
    (root / "latin.py").write_bytes(b"\xe9")
    (root / "large.py").write_text("#" * (MOST_SOURCE_BYTES + 1))
    os.mkfifo(root / "pipe.py")

    async def conversation(client):
        return [await client.call_tool(tool, given) for tool, given, _ in REFUSED]

    results = server.talk(conversation)

    for (tool, given, wanted), result in zip(REFUSED, results, strict=True):
        said = told(result)
        assert isinstance(said, str), (tool, given)
        assert wanted in said, (tool, given, said)
        assert 1 == len(said.splitlines()) and len(said) < 2000


def test_a_link_that_stays_under_the_root_is_followed(server):
    (server.root / "rule.py").write_text(SGD)
    (server.root / "same.py").symlink_to("rule.py")

    assert server.call("check", path="same.py", static=True)["ok"]


def test_a_source_that_hangs_ends_and_the_server_goes_on(server):
    async def conversation(client):
        hung = await client.call_tool("check", {"source": sources.HANGS})
        return told(hung), told(await client.call_tool("check", {"source": SGD}))

    hung, sound = server.talk(conversation)

    assert (False, True) == (hung["ok"], sound["ok"])
    assert hung["findings"]


def test_a_run_is_told_and_one_decision_whole(server):
    usual(server.root / "run")

    async def conversation(client):
        whole = await client.call_tool("trace", {"folder": "run"})
        one = await client.call_tool("trace", {"folder": "run", "decision": 1})
        return told(whole), told(one)

    whole, one = server.talk(conversation)

    assert len(whole["decisions"]) > 1 and whole["run"]["task"] == "digits"
    assert not any("events" in each or "source" in each for each in whole["decisions"])
    [decision] = one["decisions"]
    assert decision["events"] and "class" in decision["source"]


def test_long_texts_of_a_run_are_cut_and_say_so(server):
    usual(server.root / "run")
    trace = server.root / "run" / "trace.jsonl"
    lines = trace.read_text().splitlines()
    long = [json.loads(line) for line in lines]
    for event in long:
        if event["kind"] == "prompt":
            event["data"] = {
                "messages": [{"role": "user", "content": "long " * 50_000}]
            }
    trace.write_text("\n".join(map(json.dumps, long)) + "\n")

    answer = server.call("trace", folder="run", decision=1)

    assert len(json.dumps(answer)) <= MOST_ANSWER
    assert "more characters)" in json.dumps(answer, ensure_ascii=False)


def test_a_report_is_written_into_the_run_folder_and_nowhere_else(server):
    usual(server.root / "run")
    before = {path for path in server.root.parent.rglob("*")}
    target = server.root.parent / "elsewhere.html"
    (server.root / "run" / "report.html").symlink_to(target)

    answer = server.call("report", folder="run")

    page = server.root / "run" / "report.html"
    assert str(page) == answer["report"]
    assert page.read_text().startswith("<!doctype html>")
    assert {page} == {path for path in server.root.parent.rglob("*")} - before
    assert not target.exists()


def test_calls_that_come_at_once_are_all_answered(server):
    async def conversation(client):
        answers = []

        async def check(source):
            answers.append(told(await client.call_tool("check", {"source": source})))

        async with anyio.create_task_group() as calls:
            for source in (SGD, CLIPS, "import os", SGD):
                calls.start_soon(check, source)
        return answers

    assert [False, True, True, True] == sorted(
        answer["ok"] for answer in server.talk(conversation)
    )


def test_a_client_that_goes_away_in_a_trial_leaves_no_process(server):
    before = set(descendants(os.getpid()))
    held = set()

    async def conversation(client):
        async def fuzz():
            with contextlib.suppress(BaseException):
                await client.call_tool("fuzz", {"source": SGD, "examples": 1000})

        async with anyio.create_task_group() as calls:
            calls.start_soon(fuzz)
            with anyio.move_on_after(60):
                while len(held) < 3:
                    held.update(set(descendants(os.getpid())) - before)
                    await anyio.sleep(0.002)
            calls.cancel_scope.cancel()

    server.talk(conversation)

    assert len(held) >= 3  # the server, the warm process, a jailed one
    wait_until(lambda: not any(map(alive, held)))


def descendants(pid):
    """Process ids below one, as /proc tells them."""
    found = []
    for child in children_of(pid):
        found += [child, *descendants(child)]
    return found


def test_without_the_extra_one_line_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)

    result = CliRunner().invoke(app, ["mcp"])

    assert (2, "") == (result.exit_code, result.stdout)
    assert "dux: mcp is not installed; dux mcp needs it; " in result.stderr
    assert result.stderr.endswith("pip install 'dux-agent[mcp]'\n")


def test_a_root_that_is_no_folder_ends_in_2():
    result = CliRunner().invoke(app, ["mcp", "--root", "nowhere"])

    assert 2 == result.exit_code
    assert "--root nowhere is no folder" in result.stderr
