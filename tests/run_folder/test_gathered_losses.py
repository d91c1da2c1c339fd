"""Losses are written together, and none is lost but by what kills the process."""

import math
import subprocess
import sys
import textwrap
from io import FileIO

import pytest

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder import trace_file
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.recorder import Recorder
from dux_agent.run_folder.trace import read


@pytest.fixture
def clock(monkeypatch):
    """A hand that is moved by hand: a list of one number, seconds."""
    now = [100.0]
    monkeypatch.setattr(trace_file.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def disk(monkeypatch):
    """The disk under every trace that is opened from here on; may be `full`."""

    class Disk(FileIO):
        full = False

        def write(self, content):
            if Disk.full:
                raise OSError(28, "No space left on device")
            return super().write(content)

    monkeypatch.setattr(trace_file, "FileIO", Disk)
    return Disk


@pytest.fixture
def folder(tmp_path, clock, disk):
    with RunFolder.create(tmp_path / "run", {"task": "t", "seed": 0}) as folder:
        yield folder


def steps_in(folder):
    return [event.step for event in read(folder.path)]


def test_losses_of_one_second_are_written_together(folder, clock):
    folder.loss(1, 0.5)
    assert [1] == steps_in(folder)

    clock[0] += 0.6
    folder.loss(2, 0.4)
    assert [1] == steps_in(folder)

    clock[0] += 0.6
    folder.loss(3, 0.3)
    assert [1, 2, 3] == steps_in(folder)


def test_any_other_event_comes_after_the_losses_before_it(folder):
    folder.loss(1, 0.5)
    folder.loss(2, 0.4)
    folder.event("error", step=2, data={"error": "e", "message": "m"})

    assert ["loss", "loss", "error"] == [event.kind for event in read(folder.path)]


def test_a_loss_is_told_at_once_and_read_as_told(folder):
    told = []
    folder.subscribe(told.append)

    for step, loss in enumerate([0.5, math.nan, -math.inf], start=1):
        folder.loss(step, loss)

    assert [0.5, "NaN", "-Infinity"] == [event.data["loss"] for event in told]
    folder.close()
    assert told == read(folder.path)


def test_the_position_is_the_length_of_the_whole_trace(folder):
    folder.loss(1, 0.5)
    folder.loss(2, 0.4)

    position = folder.position

    assert [1, 2] == steps_in(folder)
    assert (folder.path / "trace.jsonl").stat().st_size == position


def test_losses_of_a_script_that_closes_nothing_are_written_when_it_ends(tmp_path):
    script = f"""
        import os, sys
        from dux_agent.run_folder.folder import RunFolder
        folder = RunFolder.create({str(tmp_path / "run")!r}, {{}})
        for step in range(40):
            folder.loss(step, 0.5)
        if os.fork() == 0:
            folder.close()
            sys.exit()
        os.wait()
        raise RuntimeError("the training is broken")
    """

    ended = run_script(script)

    assert ended.stderr.endswith("RuntimeError: the training is broken\n")
    assert list(range(40)) == [event.step for event in read(tmp_path / "run")]


def test_losses_that_the_disk_refuses_are_lost_with_one_warning(folder, disk, caplog):
    recorder = Recorder(folder, owned=True)
    recorder.loss(1, 0.5)
    recorder.loss(2, 0.4)
    disk.full = True
    recorder.event("error", step=3, decision=None, data={"error": "e", "message": "m"})
    recorder.event("error", step=4, decision=None, data={"error": "e", "message": "m"})
    disk.full = False
    recorder.loss(5, 0.2)
    recorder.close()

    assert [1, 5] == steps_in(folder)
    assert 1 == caplog.text.count("Training goes on without the record.")


def test_a_position_is_told_also_when_the_disk_refuses_what_was_gathered(
    folder, disk, monkeypatch, caplog
):
    folder.loss(1, 0.5)
    folder.loss(2, 0.4)
    length = (folder.path / "trace.jsonl").stat().st_size
    disk.full = True

    assert length == folder.position
    assert 1 == caplog.text.count("The last losses are lost.")
    monkeypatch.setattr(trace_file.os, "fsync", fail)
    assert length == folder.position


def test_a_run_that_goes_back_meets_the_losses_that_were_gathered(folder):
    folder.loss(1, 0.5)
    position = folder.position
    folder.loss(2, 0.4)
    folder.loss(3, 0.3)

    folder.go_on_from(position)
    for step in (2, 3, 4):
        folder.loss(step, 0.2)

    folder.close()
    assert [1, 2, 3, 4] == steps_in(folder)


def test_an_event_that_cannot_be_written_takes_no_loss_with_it(folder):
    folder.loss(1, 0.5)
    folder.loss(2, 0.4)

    with pytest.raises(TypeError):
        folder.event("error", step=2, decision=object(), data={})

    folder.close()
    assert [1, 2] == steps_in(folder)


def test_threads_that_go_on_while_the_interpreter_ends_write_every_event_once(
    tmp_path,
):
    script = f"""
        import threading
        from dux_agent.run_folder.folder import RunFolder
        folder = RunFolder.create({str(tmp_path / "run")!r}, {{}})
        begun = threading.Event()
        def write():
            for step in range(100_000):
                folder.loss(step, 0.5)
                folder.event("error", step=step, data={{}})
                begun.set()
        threading.Thread(target=write, daemon=True).start()
        begun.wait()
    """

    ended = run_script(script)

    assert (0, "") == (ended.returncode, ended.stderr)
    told = [(event.step, event.kind) for event in read(tmp_path / "run")]
    assert len(told) >= 2
    assert [(at // 2, ("loss", "error")[at % 2]) for at in range(len(told))] == told


def test_what_cannot_be_synced_is_taken_back(folder, monkeypatch):
    reply = {"content": "!", "prompt": "p", "usage": {}}
    folder.loss(1, 0.5)
    with monkeypatch.context() as patched:
        patched.setattr(trace_file.os, "fsync", fail)
        with pytest.raises(RunFolderUnusable, match="Input/output error"):
            folder.event("reply", step=1, decision=1, data=reply)
    folder.event("reply", step=2, decision=1, data=reply)

    assert [1, 2] == steps_in(folder)


def test_a_disk_that_refuses_the_last_losses_does_not_stop_the_closing(
    folder, disk, caplog
):
    folder.loss(1, 0.5)
    folder.loss(2, 0.4)
    disk.full = True

    folder.close()
    folder.close()

    assert [1] == steps_in(folder)
    assert 1 == caplog.text.count("The last losses are lost.")


def fail(handle):
    raise OSError(5, "Input/output error")


def run_script(text):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
