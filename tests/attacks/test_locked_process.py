"""The jail alone: native code in a locked process reaches nothing, policy or not."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.attacks import locked

ROOT = Path(__file__).parent.parent.parent
# Requests on its own descriptors that lead nowhere by themselves; what they could
# lead to is a signal, and that is looked for.
HARMLESS = {"F_SETOWN", "F_SETSIG", "O_ASYNC", "FIOASYNC"}

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the system calls are named by their numbers on x86_64",
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the locked process reports, and the signals that reached this one."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "victim").write_text("whole")
    signals = []
    before = signal.signal(signal.SIGUSR1, lambda *_: signals.append("SIGUSR1"))
    on_io = signal.signal(signal.SIGIO, lambda *_: signals.append("SIGIO"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.attacks.locked", str(os.getpid()), folder],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sandbox")])},
            cwd=ROOT,
        )
        ours.settimeout(120.0)
        data = b""
        while not data.endswith(b"\n"):
            piece = ours.recv(65536)
            if not piece:
                break
            data += piece
        if data:
            ours.sendall(b"x")
            time.sleep(0.3)
        _, errors = process.communicate(timeout=120.0)
    signal.signal(signal.SIGUSR1, before)
    signal.signal(signal.SIGIO, on_io)
    assert data, errors.decode()
    return {**json.loads(data), "signals": signals, "folder": folder}


@pytest.mark.parametrize("name", sorted(locked.CALLS))
def test_a_locked_process_may_not(told, name):
    assert 0 != told["found"][name]


def test_a_locked_process_cannot_push_input_into_a_terminal(told):
    assert 0 != told["found"]["TIOCSTI"]


def test_a_locked_process_cannot_have_the_kernel_signal_the_trainer(told):
    assert HARMLESS <= set(told["found"])
    assert [] == told["signals"]


def test_a_locked_process_leaves_no_trace(told):
    assert [told["folder"] / "victim"] == list(told["folder"].iterdir())
    assert "whole" == (told["folder"] / "victim").read_text()


def test_every_layer_was_on(told):
    assert {name: True for name in told["held"]} == told["held"]
