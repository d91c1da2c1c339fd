"""Programs that mean harm run in the real jail, and none of it takes effect."""

import ctypes
import os
import platform
import signal
import socket
import struct

import numpy as np
import pytest

from dux_sandbox.jailed_programs import ProgramFailed, Rows, predict, require_jail
from dux_sandbox.process.spawning import zygote
from tests.attacks.hostile_programs import ANSWERING, REACHING, WRAPPED
from tests.waiting import children_of, wait_until

pytestmark = [
    pytest.mark.wall,
    pytest.mark.skipif(
        (platform.system(), platform.machine()) != ("Linux", "x86_64"),
        reason="the layers are Linux's, the numbers of system calls a machine's",
    ),
]

SECONDS = 1.0  # for what never ends; the others are given all the time they want
SECRET = "open sesame 7391"
CANARY = struct.pack("<d", 7391.73917391)
ENDLESS = {
    "a flood of output",
    "no end",
    "no end, and no signal",
    "no end in C",
    "sleep",
    "an end in drops",
    "an end that says where it was",
}
WHICHEVER_COMES_FIRST = {"a stack without end", "all memory"}


def rows():
    draw = np.random.default_rng(0)
    return Rows(draw.normal(size=(50, 3)), draw.normal(size=50), np.ones((20, 3)))


@pytest.fixture
def world(tmp_path):
    """What a program may reach for, and whether any of it was touched."""
    secret, written = tmp_path / "secret", tmp_path / "written"
    secret.write_text(SECRET)
    held = ctypes.create_string_buffer(CANARY, len(CANARY))
    told = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: told.append(number))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        names = {
            "SECRET": secret,
            "WRITTEN": written,
            "PORT": server.getsockname()[1],
            "TRAINER": os.getpid(),
            "ADDRESS": ctypes.addressof(held),
        }
        yield names
        with pytest.raises(BlockingIOError):
            server.accept()
    signal.signal(signal.SIGUSR1, before)
    assert [] == told
    assert ["secret"] == os.listdir(tmp_path)
    assert SECRET == secret.read_text()
    assert zygote("programs").usable
    wait_until(lambda: not children_of(zygote("programs")._process.pid))


def placed(source, world):
    for name, value in world.items():
        source = source.replace(name, str(value))
    return source


@pytest.mark.parametrize("what", REACHING)
def test_a_program_that_reaches_out_reaches_nothing(what, world):
    source = placed(WRAPPED.format(body=REACHING[what]), world)

    try:
        said = predict(source, rows())
    except ProgramFailed as error:
        assert SECRET not in str(error)
    else:
        assert [0.0] == sorted(set(said))


@pytest.mark.parametrize("what", ANSWERING)
def test_a_program_that_answers_something_else_is_a_finding(what, world):
    source = placed(ANSWERING[what], world)
    seconds = SECONDS if what in ENDLESS | WHICHEVER_COMES_FIRST else 60.0

    try:
        said = predict(source, rows(), seconds=seconds, memory=1 << 30)
    except ProgramFailed as error:
        finding = error.finding
        assert len(str(error)) < 700
        assert str(error).isprintable()
        assert finding.line is None or 0 < finding.line < 1_000_000
        if what not in WHICHEVER_COMES_FIRST:
            assert ("time" == finding.rule) == (what in ENDLESS)
    else:
        # A forged answer is a prediction like any other, and numbers alone.
        assert what in ("two answers", "a pickle", "a module that lies")
        assert ((20,), np.dtype("float64")) == (said.shape, said.dtype)
        assert np.isfinite(said).all()


def test_a_secret_of_the_trainer_is_in_no_program():
    """The warm process and its forks never held what the trainer holds."""
    require_jail()
    held = np.full(1000, 7391.73917391)
    source = """
import ctypes
import numpy as np
NEEDLE = (7391.73917391).hex().encode()
def fit_predict(x, y, e, seed):
    C = ctypes.CDLL(None)
    C.sbrk.restype = ctypes.c_void_p
    top = C.sbrk(0)
    needle = np.float64(float.fromhex(NEEDLE.decode())).tobytes()
    found = ctypes.string_at(top - (1 << 20), 1 << 20).count(needle * 3)
    return np.full(len(e), float(found))
"""

    said = predict(source, rows())

    assert 1000 == len(held)
    assert [0.0] == sorted(set(said))


def test_the_warm_process_shares_no_memory_with_its_forks():
    """A program could leave there what another one reads."""
    require_jail()
    with open(f"/proc/{zygote('programs')._process.pid}/maps") as maps:
        shared = [line for line in maps if {"w", "s"} <= set(line.split()[1])]

    assert [] == shared


def test_the_warm_process_has_one_thread():
    """A fork has none of the others, and waits for ever for what they held."""
    require_jail()

    assert 1 == len(os.listdir(f"/proc/{zygote('programs')._process.pid}/task"))


def test_a_program_leaves_nothing_for_the_next():
    source = WRAPPED.format(
        body="import torch\n"
        "def attack(x, y, e):\n"
        "    left = hasattr(torch, 'left_behind')\n"
        "    torch.left_behind = True\n"
        "    return left\n"
    )

    said = [set(predict(source, rows())) for _ in range(2)]

    assert [{0.0}, {0.0}] == said
