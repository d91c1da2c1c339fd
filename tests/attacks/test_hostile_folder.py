"""A run folder may come from anybody: nothing in it runs, whatever reads it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import contextmanager

import pytest

from dux_agent.runs.plan import OPTIONS
from tests import run_folders
from tests.attacks.hostile_folders import (
    contents,
    dux,
    ended_in_words,
    refused_in_one_line,
    run_that_dies,
)

ESCAPES = (
    "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\r\x08[red]<script>x</script>"
)
SECRET = "the content of somebody's own file"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run folder as `dux run` leaves it, made up."""
    return run_folders.usual(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def died(tmp_path_factory):
    return run_that_dies(tmp_path_factory.mktemp("died") / "run")


@pytest.fixture(params=["made up", "real"])
def folder(request, tmp_path):
    kind = {"made up": "whole", "real": "died"}[request.param]
    return shutil.copytree(request.getfixturevalue(kind), tmp_path / "run")


@contextmanager
def within(seconds):
    """A command that waits for ever ends in a failed test."""

    def late(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def commands(folder):
    """Everything that reads a folder."""
    return [
        ("trace", folder),
        ("trace", folder, "--json"),
        ("trace", folder, "--decision", 1),
        ("trace", folder, "--follow"),
        ("report", folder, "-o", folder.parent / "report.html"),
        ("export", folder),
        ("export", folder, "--schedule"),
        ("replay", folder),
        ("run", "--resume", folder),
    ]


def files(folder):
    return ["run.json", "trace.jsonl", "checkpoint.pt", "sources", *kept(folder)]


def kept(folder):
    return [f"sources/{each.name}" for each in sorted((folder / "sources").iterdir())]


def test_what_leads_out_of_the_folder_is_not_followed(folder, tmp_path):
    """Neither read, nor written, nor shown; for every file of it."""
    saved = shutil.copytree(folder, tmp_path / "saved")
    outside = tmp_path / "outside"
    for name in files(folder):
        shutil.rmtree(folder)
        shutil.copytree(saved, folder)
        shutil.rmtree(outside, ignore_errors=True)
        shutil.copytree(saved, outside)
        victim = outside / name
        if name == "run.json":
            victim.write_text(json.dumps({**run_json(saved), "task": SECRET}))
        (outside / "sources" / ".mine.part").write_bytes(b"mine")
        target = folder / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        target.symlink_to(victim)
        before = contents(outside)

        for command in commands(folder):
            result = dux(*command)

            ended_in_words(result)
            assert SECRET not in result.output, (name, command)
            assert before == contents(outside), (name, command)


def run_json(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize("name", ["run.json", "trace.jsonl", "checkpoint.pt"])
@pytest.mark.parametrize("kind", ["pipe", "sparse", "device"])
def test_a_file_without_an_end_is_not_waited_for(folder, name, kind):
    target = folder / name
    target.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(target)
    elif kind == "device":
        target.symlink_to("/dev/zero")
    else:
        with target.open("wb") as held:
            held.truncate(1 << 40)

    for command in commands(folder):
        if name == "checkpoint.pt" and "--resume" not in command:
            continue
        with within(60):
            result = dux(*command)

        ended_in_words(result)
        if "replay" not in command:
            assert 2 == result.exit_code or name == "checkpoint.pt", result.output


BOMBS = {
    "deep": '{"a":' * 100_000,
    "deep list": "[" * 100_000,
    "wide": "[" + "[]," * 9_000_000 + "1]",
    "long number": "9" * 5000,
    "NaN": "NaN",
    "infinite": "1e999",
    "twice": '{"a": 1, "a": 2}',
    "surrogate": '"\\ud800"',
    "zero": '"\\u0000"',
    "negative": "-1",
    "list": "[1]",
    "object": '{"x": {}}',
    "wide number": "9" * 4000,
    "boolean": "true",
    "nothing": "null",
    "text": '"text"',
}


@pytest.mark.parametrize(
    "key",
    ["format", "task", "seed", "model", "created", "run", "versions", "arguments"],
)
def test_no_entry_of_run_json_is_taken_on_trust(whole, tmp_path, key):
    folder = shutil.copytree(whole, tmp_path / "run")
    for bomb, value in BOMBS.items():
        if bomb == "wide" and key != "task":
            continue  # once is enough
        held = {name: json.dumps(each) for name, each in run_json(whole).items()}
        held[key] = value
        text = ", ".join(f"{json.dumps(name)}: {each}" for name, each in held.items())
        (folder / "run.json").write_text("{" + text + "}")

        for command in commands(folder)[:6]:
            ended_in_words(dux(*command))


@pytest.mark.parametrize("key", sorted(OPTIONS.keys() - {"seed", "model"}))
def test_no_argument_of_run_json_is_taken_on_trust(died, tmp_path, key):
    # What may stand there is another run, and would be trained to its end.
    sound = {"nothing"} if OPTIONS[key].default is None and key != "epochs" else set()
    if bool in OPTIONS[key].kinds:
        sound |= {"boolean"}
    if key == "task_description":
        sound |= {"text", "surrogate", "zero"}
    if key == "experience":
        sound |= {"text", "surrogate"}  # a library that is gone: it goes on without
    if key == "lm_weights":
        sound |= {"list"}  # one model, of weight one
    # A replay asks no language model, whatever it is called and told.
    unasked = {"fallback": {"text", "surrogate", "zero"}, "lm_options": {"object"}}
    folder = shutil.copytree(died, tmp_path / "run")
    for bomb in BOMBS.keys() - sound - {"wide"}:
        facts = run_json(died)
        facts["arguments"][key] = "HERE"
        text = json.dumps(facts).replace('"HERE"', BOMBS[bomb])
        (folder / "run.json").write_text(text)

        for command in commands(folder)[-2:]:
            with within(60):
                result = dux(*command)
            ended_in_words(result)
            if "replay" not in command or bomb not in unasked.get(key, ()):
                assert 2 == result.exit_code, (bomb, result.output)


def events(folder):
    text = (folder / "trace.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def rewrite(folder, lines):
    (folder / "trace.jsonl").write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("key", ["time", "step", "decision", "kind", "data"])
def test_no_entry_of_an_event_is_taken_on_trust(whole, tmp_path, key):
    folder = shutil.copytree(whole, tmp_path / "run")
    kinds = [event["kind"] for event in events(whole)]
    for bomb, value in BOMBS.items():
        if bomb == "wide" and key != "data":
            continue  # once is enough
        for kind in {"loss"} if bomb == "wide" else set(kinds):
            at = kinds.index(kind)
            told = events(whole)
            told[at][key] = "HERE"
            lines = list(map(json.dumps, told))
            lines[at] = lines[at].replace('"HERE"', value)
            rewrite(folder, lines)

            ended_in_words(dux("trace", folder))
            ended_in_words(dux("export", folder))


def leaves(value, path=()):
    """The places of a JSON value that hold no other."""
    if isinstance(value, dict) and value:
        for name, held in value.items():
            yield from leaves(held, (*path, name))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*path, 0))
    else:
        yield path


def put(value, path, new):
    for name in path[:-1]:
        value = value[name]
    value[path[-1]] = new


@pytest.mark.parametrize("bomb", ["NaN", "list", "object", "wide number", "nothing"])
def test_no_value_within_an_event_is_taken_on_trust(whole, tmp_path, bomb):
    """All the values of one name at once, for every name that there is."""
    folder = shutil.copytree(whole, tmp_path / "run")
    names = {
        (event["kind"], path)
        for event in events(whole)
        for path in leaves(event["data"], ("data",))
    }
    assert len(names) >= 40
    for kind, path in sorted(names, key=str):
        told = []
        for event in events(whole):
            line = json.dumps(event)
            if event["kind"] == kind and path in leaves(event["data"], ("data",)):
                put(event, path, "HERE")
                line = json.dumps(event).replace('"HERE"', BOMBS[bomb])
            told.append(line)
        rewrite(folder, told)

        for command in commands(folder)[:5:2]:
            result = dux(*command)
            ended_in_words(result)


def hostile(value):
    """The same JSON value with every text replaced by what a terminal would obey."""
    if isinstance(value, str):
        return ESCAPES
    if isinstance(value, list):
        return [hostile(held) for held in value]
    if isinstance(value, dict):
        return {name: hostile(held) for name, held in value.items()}
    return value


@pytest.mark.parametrize("where", ["run.json", "trace.jsonl", "both"])
def test_no_escape_sequence_reaches_the_terminal_or_the_page(folder, where):
    if where != "trace.jsonl":
        facts = run_json(folder)
        (folder / "run.json").write_text(json.dumps({**hostile(facts), "format": 1}))
    if where != "run.json":
        told = events(folder)
        for event in told:
            event["data"] = hostile(event["data"])
        rewrite(folder, map(json.dumps, told))

    for command in commands(folder):
        if where == "trace.jsonl" and command[0] in ("replay", "run"):
            continue  # other prompts and digests: they train, and show none of it
        ended_in_words(dux(*command))

    page = (folder.parent / "report.html").read_text()
    assert "<script>x" not in page
    assert not set("\x1b\x07\x9b\u202e\u2066\x08") & set(page)


def test_a_source_with_escape_sequences_is_shown_without_them(whole, tmp_path):
    file = tmp_path / "rule.py"
    file.write_text(f"# {ESCAPES}\n" + run_folders.source(1))

    for command in (("check", file), ("check", file, "--static"), ("fuzz", file)):
        result = dux(*command)

        ended_in_words(result)
        assert "U+001B" in result.output.replace("\n", "")


def test_a_source_changed_under_its_name_is_no_part_of_an_export(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    for each in (folder / "sources").iterdir():
        each.write_text(each.read_text().replace("-group", "+group"))

    for more in ((), ("--schedule",)):
        refused_in_one_line(dux("export", folder, *more), "under its digest")


def test_a_source_changed_with_its_name_is_said_to_be_strange(whole, tmp_path, caplog):
    from dux_sandbox.findings import digest_of

    folder = shutil.copytree(whole, tmp_path / "run")
    text = (folder / "trace.jsonl").read_text()
    for each in list((folder / "sources").iterdir()):
        changed = each.read_text().replace("-group", "+group")
        each.unlink()
        text = text.replace(each.stem, digest_of(changed))
        (folder / "sources" / f"{digest_of(changed)}.py").write_text(changed)
    (folder / "trace.jsonl").write_text(text)

    for more in ((), ("--schedule",)):
        result = dux("export", folder, *more)

        assert 0 == result.exit_code, result.output
        assert "no reply in the trace proposes the source" in result.stdout
        assert "somebody may have changed the run folder" in caplog.text


def test_what_a_folder_says_of_execution_runs_no_rule_in_this_process(folder):
    from dux_agent.run_folder.run_facts import read_facts
    from dux_agent.runs.plan import Plan

    facts = read_facts(folder)
    facts["arguments"] |= {"execution": "inline", "task_description": None}
    facts["arguments"] |= {"every": None, "epochs": 2, "control": False}
    plan = Plan.of(folder, facts)

    assert "auto" == plan.running(None).execution
    assert "inline" == plan.running("inline").execution
