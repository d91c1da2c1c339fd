import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.run_folder.folder import RunFolder
from tests import sources

REPOSITORY = Path(__file__).parents[2]
COMMANDS = "run check fuzz trace replay report export doctor bench".split()

GOOD = sources.SGD
FORBIDDEN = "import os\n" + GOOD
HARMFUL = GOOD.replace('alpha=-group["lr"]', "alpha=1e6")


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dux(*arguments):
    return CliRunner().invoke(app, list(arguments))


def in_a_process(*arguments, **options):
    path = os.pathsep.join(
        str(REPOSITORY / root) for root in (".", "graphs", "sandbox", "prompts")
    )
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """`dux run digits` over two epochs, with the control, and its output."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    result = dux(
        "run", "digits", "--epochs", "2", "--control", "--run-dir", str(folder)
    )
    return result, folder


def test_a_run_ends_well_and_prints_what_it_came_to(finished):
    result, folder = finished

    assert 0 == result.exit_code, result.output
    assert "Decisions" in result.stdout
    assert "control" in result.stdout
    assert "final test loss" in result.stdout
    assert f"run folder: {folder}" in result.stdout


def test_every_summary_says_that_the_offline_rules_are_no_language_model(finished):
    result, folder = finished
    said = "offline rules (rule-based, not a language model)"

    assert said in result.stdout
    assert said in dux("trace", str(folder)).stdout


def test_no_table_is_wider_than_80_columns(finished):
    result, folder = finished
    tables = [
        line
        for text in (result.stdout, dux("trace", str(folder)).stdout)
        for line in text.splitlines()
        if line.startswith(" ")
    ]

    assert tables
    assert max(map(len, tables)) <= 80


def test_without_a_terminal_progress_is_a_line_an_epoch_on_stderr(finished):
    result, _ = finished

    lines = [line for line in result.stderr.splitlines() if "epoch" in line]

    assert ["control epoch 1/2", "control epoch 2/2"] == [x[:17] for x in lines[:2]]
    assert ["agent epoch 1/2", "agent epoch 2/2"] == [x[:15] for x in lines[2:]]
    assert "\x1b" not in result.output


def test_the_trace_of_a_run_shows_its_decisions_and_losses(finished):
    _, folder = finished

    result = dux("trace", str(folder))

    assert 0 == result.exit_code
    assert "applied" in result.stdout
    assert "val" in result.stdout


def test_the_default_run_folder_lies_below_the_working_directory(
    empty_working_directory,
):
    result = dux("run", "sine", "--epochs", "1", "--seed", "7")

    (folder,) = (empty_working_directory / "runs").iterdir()
    assert 0 == result.exit_code, result.output
    assert folder.name.startswith("sine-2")
    assert folder.name.endswith("Z-7")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "cifar"], "there is no task 'cifar'"),
        (["run", "../../etc"], "there is no task '../../etc'"),
        (["run", "sine", "--lm", "nobody"], "no language model is called 'nobody'"),
        (["run", "sine", "--epochs", "0"], "epochs is 0"),
        (["run", "sine", "--every", "0"], "every is 0"),
        (["run", "mnist"], "is no folder"),
        (["trace", "nowhere"], "nowhere is no run folder"),
        (["check", "nowhere.py"], "nowhere.py cannot be read"),
        (["check", "."], "is no ordinary file"),
        (["bench", "speed"], "there is no benchmark 'speed'"),
        (["bench", "evolv"], "another that dux bench --help names"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(
    empty_working_directory, monkeypatch, arguments, message
):
    monkeypatch.setenv("DUX_DATA", "/nowhere/at/all")

    result = dux(*arguments)

    assert 2 == result.exit_code
    assert message in result.stderr
    assert 1 == len(result.stderr.splitlines())
    assert result.stderr.startswith("dux: ")
    assert "" == result.stdout
    assert [] == list(empty_working_directory.iterdir())


def test_a_run_folder_that_exists_is_left_as_it_is(empty_working_directory):
    (empty_working_directory / "mine").mkdir()
    (empty_working_directory / "mine" / "note").touch()

    result = dux("run", "sine", "--run-dir", "mine")

    assert 2 == result.exit_code
    assert "is not empty" in result.stderr
    assert ["note"] == [path.name for path in Path("mine").iterdir()]


def test_a_folder_that_cannot_be_written_is_said_in_one_line(empty_working_directory):
    Path("file").touch()

    result = dux("run", "sine", "--run-dir", "file/run")

    assert 2 == result.exit_code
    assert "cannot be made" in result.stderr
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_in_its_help(command):
    result = dux(command, "--help")

    assert 0 == result.exit_code
    assert f"dux {command}" in result.stdout


def test_check_accepts_a_good_rule_after_a_dry_run():
    Path("good.py").write_text(GOOD)

    result = dux("check", "good.py")

    assert 0 == result.exit_code, result.output
    assert "good.py: accepted; dry run: loss" in result.stdout


@pytest.mark.parametrize(("name", "source"), [("os", FORBIDDEN), ("big", HARMFUL)])
def test_check_refuses_what_is_forbidden_or_does_harm(name, source):
    Path(f"{name}.py").write_text(source)
    Path("good.py").write_text(GOOD)

    result = dux("check", "good.py", f"{name}.py")

    assert 1 == result.exit_code
    assert f"{name}.py: refused" in result.stdout
    assert "good.py: accepted" in result.stdout


def test_a_finding_has_its_file_and_line():
    Path("os.py").write_text(FORBIDDEN)

    result = dux("check", "--static", "os.py")

    assert 1 == result.exit_code
    assert "os.py:1" in result.stdout


def test_static_runs_nothing():
    Path("big.py").write_text(HARMFUL)

    result = dux("check", "--static", "big.py")

    assert 0 == result.exit_code
    assert "dry run" not in result.stdout


def test_json_is_one_list_with_a_report_a_file():
    Path("good.py").write_text(GOOD)
    Path("os.py").write_text(FORBIDDEN)

    result = dux("check", "--json", "good.py", "os.py")
    good, bad = json.loads(result.stdout)

    assert 1 == result.exit_code
    assert ("good.py", True, []) == (good["file"], good["ok"], good["findings"])
    assert good["dry_run"]["losses"]
    assert (False, None) == (bad["ok"], bad["dry_run"])
    assert 1 == bad["findings"][0]["line"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n"])
def test_a_binary_file_is_said_to_be_no_text(content):
    Path("picture.py").write_bytes(content)

    result = dux("check", "picture.py")

    assert 2 == result.exit_code
    assert "picture.py is no UTF-8 text" in result.stderr


@pytest.mark.parametrize(
    "content", ["", "\0", "class", "(" * 100_000, "x = 1\n" * 400_000, "é" * (1 << 22)]
)
def test_whatever_text_a_file_holds_is_refused_and_not_a_crash(content):
    Path("odd.py").write_text(content, encoding="utf-8")

    result = dux("check", "odd.py")

    assert 1 == result.exit_code
    assert "odd.py: refused" in result.stdout


def test_a_byte_order_mark_and_other_line_ends_are_no_fault():
    Path("windows.py").write_bytes(
        b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    )

    assert 0 == dux("check", "--static", "windows.py").exit_code


def test_doctor_lists_the_layers_of_the_jail():
    result = dux("doctor")

    assert 0 == result.exit_code, result.output
    assert "rlimits" in result.stdout


def test_the_trace_of_a_run_that_died_shows_what_there_is(tmp_path):
    facts = {"task": "sine", "seed": 0, "model": "openai:x"}
    with RunFolder.create(tmp_path / "run", facts) as folder:
        folder.event("observation", step=25, decision=1, data={"step": 25})
        folder.event("prompt", step=25, decision=1, data={"messages": []})
    with (tmp_path / "run" / "trace.jsonl").open("a") as trace:
        trace.write('{"time":')

    result = dux("trace", str(tmp_path / "run"))

    assert 0 == result.exit_code
    assert "unfinished" in result.stdout
    assert "the last event is prompt" in result.stdout


def test_no_escape_sequence_of_a_trace_reaches_the_terminal(tmp_path):
    facts = {"task": "sine\x1b[2J", "seed": 0, "model": "a\x1b[31m"}
    with RunFolder.create(tmp_path / "run", facts) as folder:
        data = {
            "verdict": "kept\x1b[5m",
            "reason": "b\x1b]0;title\x07",
            "digest": "\x1b",
        }
        folder.event("apply", step=25, decision=1, data=data)

    result = dux("trace", str(tmp_path / "run"))

    assert 0 == result.exit_code
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout


def test_help_imports_neither_torch_nor_langgraph():
    code = (
        "import sys\n"
        "from dux_agent.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'langgraph', 'langchain_core', 'numpy', 'datasets'}\n"
        "heavy |= {'pydantic'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))\n"
    )

    process = in_a_process("-c", code)
    output, errors = process.communicate(timeout=120)

    assert "imported: []" in output, errors


def test_ctrl_c_ends_in_130_with_a_trace_that_can_be_read(tmp_path):
    # A shell starts what runs behind it with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = in_a_process(
            "-m", "dux_agent", "run", "sine", "--epochs", "500", "--run-dir", "run",
            "--every", "100000", cwd=tmp_path,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    trace = tmp_path / "run" / "trace.jsonl"
    waited = time.monotonic() + 120
    while not (trace.exists() and trace.stat().st_size) and time.monotonic() < waited:
        time.sleep(0.1)

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)

    assert 130 == process.returncode, errors
    assert "dux: interrupted; what was recorded so far is kept." in errors
    assert "Traceback" not in errors
    assert 0 == dux("trace", str(tmp_path / "run")).exit_code
