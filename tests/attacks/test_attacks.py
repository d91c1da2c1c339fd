"""No attack takes effect: each plays against the whole product, in its own process.

The verdict is what can be observed afterwards (`Effects`), never a message. An attack
may be refused, stopped, rolled back or simply do no harm.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# No call of the product may hold the trainer longer. A rule's own time is 1.5 s in
# one dry run and in one step; the rest is patience with a busy machine.
# Forty times what a rule may use: only what no limit ends holds the trainer for so
# long, on the busiest machine.
HELD_SECONDS = 60.0
# The play itself, its copies of the model and the dry runs; not a rule's memory.
MEGABYTES = 350

ATTACKS = sorted((HERE.parent / "corpus" / "escapes").glob("*.py")) + sorted(
    (HERE / "arsenal").glob("*.py")
)
# In the trainer's own process only these are promised; see docs/security.md.
INLINE = ("fs", "net", "exec", "introspection", "torch", "native")


def header(path: Path) -> dict[str, str]:
    """The `key: value` pairs of the first two lines of an attack."""
    lines = path.read_text().splitlines()[:2]
    parts = [part for line in lines for part in line.lstrip("# ").split("; ")]
    return dict(part.split(": ", 1) for part in parts if ": " in part)


def cases() -> list[ParameterSet]:
    """Every attack isolated and by default; inline those that are promised there.

    Each plays against the whole product, which takes a second: every eighth is in the
    default suite, the others are in `make test-slow`.
    """
    found = [("isolated", path) for path in ATTACKS]
    inline = [path for path in ATTACKS if header(path)["category"] in INLINE]
    # An endless step holds an inline trainer: not promised there.
    inline = [path for path in inline if header(path)["observable"] != "dos"]
    found += [("inline", path) for path in inline]
    found += [("auto", path) for path in ATTACKS]
    return [
        pytest.param(mode, path, marks=[pytest.mark.slow] if index % 8 else [])
        for index, (mode, path) in enumerate(found)
    ]


def effects(path: Path, seen: dict, reached: bool) -> list[str]:
    """What an attack brought about, as words; none is the bar."""
    if seen.get("stage"):
        return [f"the play broke: {seen['stage']}"]
    found = []
    if not seen.get("finished") or seen["exit"] not in (0, 3):
        return [f"early_exit: {seen.get('exit')}"]
    if seen["exit"] == 3:
        found.append("stdout_spoof")
    found += [name for name in ("file", "nonfinite", "loss_worse") if seen[name]]
    found += [f"leak: {seen['leak']}"] if seen.get("leak") else []
    found += ["leak: a system file"] if seen.get("secret") else []
    found += ["net"] if reached else []
    found += [f"raised: {each}" for each in seen["raised"]]
    found += [f"changed: {each}" for each in seen["changed"]]
    found += [f"patched: {each}" for each in seen["patched"]]
    found += [f"make: {each}" for each in seen["make"]]
    if seen["verdict"] != "applied" and not seen["twin"]:
        found.append("a refused proposal changed the run")
    if seen["closure_calls"] > 10 + 1:  # the incumbent steps once after a rollback
        found.append(f"closure_calls: {seen['closure_calls']}")
    if header(path)["observable"] == "grad_mutated" and seen.get("grad_mutated"):
        found.append("grad_mutated")
    if seen["held"] > HELD_SECONDS:
        found.append(f"dos: {seen['holder']} held the trainer {seen['held']} s")
    if seen["megabytes"] > MEGABYTES:
        found.append(f"dos: the trainer grew by {seen['megabytes']} MiB")
    if seen["leftovers"] or seen["shared"]:
        found.append(f"left behind: {seen['leftovers']} processes, {seen['shared']}")
    return found


class Stage:
    """The process that plays, and what it has told so far."""

    def __init__(self, wanted: list[tuple[str, Path]], folder: Path) -> None:
        self.seen: dict[str, dict] = {}
        self.reached = 0
        self._told = threading.Condition()
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(0.0)
        port = self._listener.getsockname()[1]
        jobs = folder / "jobs"
        with jobs.open("w") as out:
            for mode, path in wanted:
                Path(f"/tmp/dux_escape_sentinel_{path.stem}").unlink(missing_ok=True)
                closure = header(path)["observable"] == "closure_calls"
                closure = closure or header(path)["trigger"] == "closure"
                key = f"{mode}:{path.stem}"
                job = {"key": key, "file": str(path), "mode": mode, "closure": closure}
                job["port"] = str(port)
                out.write(json.dumps(job) + "\n")
        roots = [str(ROOT / each) for each in (".", "graphs", "sandbox", "prompts")]
        self._errors = (folder / "errors").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.attacks.stage", str(jobs)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
            start_new_session=True,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._told:
                told = json.loads(line)
                self.seen[told["key"]] = told["seen"]
                self._told.notify_all()
        with self._told:
            self._over = True
            self._told.notify_all()

    def wait(self, key: str) -> dict:
        """The observables of one attack, when it is over."""
        with self._told:
            self._told.wait_for(lambda: key in self.seen or self._over, 280.0)
            assert key in self.seen, "the stage has ended or hangs"
            return self.seen[key]

    def connections(self) -> int:
        """How many connections have reached the listener since the last look."""
        count = 0
        try:
            while True:
                self._listener.accept()[0].close()
                count += 1
        except BlockingIOError:
            return count

    def close(self) -> None:
        """End the stage and everything it started."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()
        self._listener.close()


@pytest.fixture(scope="module")
def stage(request, tmp_path_factory):
    """Plays all attacks that this session asks for, two at a time."""
    wanted = [
        (item.callspec.params["mode"], item.callspec.params["path"])
        for item in request.session.items
        if item.path == Path(__file__) and hasattr(item, "callspec")
    ]
    made = Stage(wanted, tmp_path_factory.mktemp("stage"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("mode", "path"),
    cases(),
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_an_attack_takes_no_effect(stage, mode, path):
    seen = stage.wait(f"{mode}:{path.stem}")
    reached = stage.connections() > 0

    found = effects(path, seen, reached)

    assert [] == found, seen.get("reason")


def test_the_arsenal_covers_every_category():
    own = [header(path) for path in ATTACKS if path.parent.name == "arsenal"]

    assert len(own) >= 60
    assert {*INLINE, "dos", "integrity"} == {each["category"] for each in own}
    assert all(each["observable"] and each["trigger"] for each in own)
