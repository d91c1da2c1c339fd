"""A child that has been taken over: an attacker's code in the place of the worker's.

`install` is called in a warm process of the tests' own, before it forks. From then on
a source that says `# takeover: NAME` gets `ATTACKS[NAME]` instead of its own step, in
the real jail, behind the real channel. An attack returns what it found out, which
comes out in a finding; one that returns None has done its worst and goes on.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from tests.attacks import takeover; takeover.install(); "
    "from dux_sandbox.process.zygote import main; main(int(sys.argv[2]))"
)
_NAME = re.compile(r"# takeover: (\w+)")


def install() -> None:
    """Put the attacker's server in the place of the worker's."""
    from dux_sandbox.process import worker

    class Taken(worker._Server):
        attack: Callable[[Any, dict[str, Any]], Any] | None = None

        def answer(self, message: dict[str, Any], blob: bytearray) -> None:
            named = _NAME.search(message.get("source", ""))
            if named is not None:
                self.attack = ATTACKS[named[1]]
            if message["op"] != "step" or self.attack is None:
                super().answer(message, blob)
                return
            self._number = message["id"]
            self._hear(message)
            try:
                found = self.attack(self, message)
            except OSError as error:
                found = f"errno {error.errno}"
            except (RuntimeError, MemoryError) as error:
                found = f"refused {error}"
            if found is not None:
                finding = {"rule": "raised", "message": f"found: {found}"}
                self.say({"id": self._number, "error": finding})

        def say(self, message: dict[str, Any], blobs: Any = ()) -> None:
            """Send whatever it likes: the nonce is known in here."""
            self._channel.send(message, list(blobs))

        def fine(self, **more: Any) -> None:
            """Answer the step as an honest rule would, and say `more`."""
            self.say({"id": self._number, **more})

    worker._Server = Taken  # type: ignore[misc]


_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: Any) -> str:
    """One system call by its number on x86_64; its errno, or what it returned."""
    ready = [
        ctypes.create_string_buffer(each, 4096)
        if isinstance(each, bytes)
        else ctypes.c_long(each)
        for each in arguments
    ]
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *ready)
    if result < 0:
        return f"errno {ctypes.get_errno()}"
    return f"carried out: {result}"


def _trainer() -> int:
    return 1  # the first process of the machine will do as well as any


def _many_threads(taken: Any, _: Any) -> str:
    started = 0
    try:
        for _ in range(3000):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            started += 1
    except RuntimeError as error:
        return f"refused after {started}: {error}"
    return f"carried out: {started}"


def _write_weights(taken: Any) -> None:
    for parameter in taken._parameters:
        parameter.data.fill_(1e6)


def _write_after_the_answer(taken: Any, _: Any) -> None:
    taken.fine()
    for _ in range(5_000):
        _write_weights(taken)


def _write_in_standby(taken: Any, _: Any) -> None:
    taken.fine()
    while True:
        _write_weights(taken)
        time.sleep(0.001)


def _options(**values: Any) -> list[Any]:
    return [[0, {"dict": [[name, value] for name, value in values.items()]}]]


def _colliding(taken: Any, _: Any) -> None:
    modulus = 2**61 - 1
    keys = [[{"int": f"{at * modulus:x}"}, 0] for at in range(1, 40_000)]
    taken.fine(options=[[0, {"dict": [["lr", 0.1], ["d", {"dict": keys}]]}]])


def _drip(taken: Any, _: Any) -> None:
    """One message, a byte at a time."""
    text = json.dumps({"id": taken._number}).encode()
    whole = struct.pack("<16sIQ", taken._channel._nonce, len(text), 0) + text
    for at in range(len(whole)):
        taken._channel.socket.send(whole[at : at + 1])
        time.sleep(0.5)


def _flood(taken: Any, _: Any) -> None:
    taken.fine()
    taken._channel.socket.sendall(b"x" * (1 << 20))


def _ask_for_ever(taken: Any, _: Any) -> None:
    for _ in range(100_000):
        taken.say({"id": taken._number, "call": "closure"})
        taken._channel.receive(None)


def _pass_descriptor(taken: Any, _: Any) -> None:
    text = json.dumps({"id": taken._number}).encode()
    whole = struct.pack("<16sIQ", taken._channel._nonce, len(text), 0) + text
    socket.send_fds(taken._channel.socket, [whole], [0, 1])


ATTACKS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    # What it may look at.
    "stat_a_path": lambda *_: _call(262, -100, b"/etc/passwd", b"", 0),
    "stat_its_own_socket_by_path": lambda *_: _call(262, 100, b"", b"", 0x1000),
    "statx": lambda *_: _call(332, -100, b"/etc/passwd", 0, 0xFFF, b""),
    "access": lambda *_: _call(21, b"/etc/passwd", 0),
    "read_a_link": lambda *_: _call(89, b"/proc/self/exe", b"", 4096),
    "working_directory": lambda *_: _call(79, b"", 4096),
    "open_memory": lambda *_: _call(2, b"/proc/self/mem", 2),
    "network_interfaces": lambda *_: _call(16, 100, 0x8912, b""),
    "terminal_size": lambda *_: _call(16, 0, 0x5413, b""),
    "parent_process": lambda *_: _call(110),
    "host_name": lambda *_: _call(63, b""),
    "pages_in_memory": lambda *_: _call(27, 0x400000, 4096, b""),
    "system_load": lambda *_: _call(99, b""),
    # Whom it may disturb.
    "own_signals": lambda *_: fcntl.fcntl(100, fcntl.F_SETOWN, _trainer()),
    "signal_number": lambda *_: fcntl.fcntl(100, 10, int(signal.SIGUSR1)),
    "asynchronous": lambda *_: fcntl.fcntl(100, fcntl.F_SETFL, os.O_ASYNC),
    "lease": lambda *_: fcntl.fcntl(100, fcntl.F_SETLEASE, fcntl.F_WRLCK),
    "duplicate": lambda *_: fcntl.fcntl(100, fcntl.F_DUPFD, 3),
    "push_input": lambda *_: _call(16, 0, 0x5412, b"x"),
    "signal_everybody": lambda *_: _call(62, -1, 9),
    "queue_a_signal": lambda *_: _call(129, _trainer(), 10, b""),
    # What it may start.
    "three_thousand_threads": _many_threads,
    "raw_thread": lambda *_: _call(56, 0x10F00, 0, 0, 0, 0),
    "raw_process": lambda *_: _call(56, 17, 0, 0, 0, 0),
    "third_clone": lambda *_: _call(435, b"", 88),
    "program": lambda *_: _call(59, b"/bin/true", 0, 0),
    "undo_the_filter": lambda *_: _call(317, 0, 0, 0),
    "become_dumpable": lambda *_: _call(157, 4, 1, 0, 0, 0),
    "new_namespace": lambda *_: _call(272, 0x10000000),
    # What it may write.
    "write_after_the_answer": _write_after_the_answer,
    "write_in_standby": _write_in_standby,
    "poison_and_fail": lambda taken, _: (_write_weights(taken), "poisoned")[1],
    "poison_and_die": lambda taken, _: (_write_weights(taken), os._exit(0)),
    "poison_and_crash": lambda taken, _: (
        _write_weights(taken),
        ctypes.string_at(0),
    ),
    # What it may say.
    "huge_rate": lambda taken, _: taken.fine(options=_options(lr=1e300)),
    "endless_rate": lambda taken, _: taken.fine(options=_options(lr={"float": "inf"})),
    "rate_of_text": lambda taken, _: taken.fine(options=_options(lr="fast")),
    "rate_of_a_thousand_bits": lambda taken, _: taken.fine(
        options=_options(lr={"int": "f" * 1000})
    ),
    "no_rate": lambda taken, _: taken.fine(options=_options(momentum=0.5)),
    "many_keys": lambda taken, _: taken.fine(
        options=_options(lr=0.1, **{f"k{at}": at for at in range(46_000)})
    ),
    "keys_step_by_step": lambda taken, message: taken.fine(
        options=_options(lr=0.1, **{f"k{message['id']}_{at}": at for at in range(1000)})
    ),
    "colliding_keys": _colliding,
    "names_of_the_trainers": lambda taken, _: taken.fine(
        options=_options(lr=0.1, params={"list": []})
    ),
    "groups_that_are_not": lambda taken, _: taken.fine(options=[[99, {"dict": []}]]),
    "gradients_that_are_not": lambda taken, _: taken.fine(gradients=[0, 1, 99]),
    "answer_twice": lambda taken, _: (taken.fine(), taken.fine())[0],
    "answer_another_question": lambda taken, _: taken.say({"id": taken._number + 1}),
    "drip": _drip,
    "flood": _flood,
    "silence": lambda *_: time.sleep(3600),
    "closures_for_ever": _ask_for_ever,
    "pass_a_descriptor": _pass_descriptor,
    "loss_of_another_kind": lambda taken, _: taken.fine(loss={"dict": [["a", 1]]}),
    "deep": lambda taken, _: taken.fine(loss=json.loads("[" * 900 + "]" * 900)),
    "bytes_nobody_asked_for": lambda taken, _: taken.say(
        {"id": taken._number}, [b"x" * (1 << 16)]
    ),
}

REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)
