"""Plays attacks through the whole product, each in a process of its own.

Run as `python -m tests.attacks.stage JOBS`, where JOBS is a file of JSON lines
`{"key", "file", "mode", "closure", "port"}`. torch is imported once; every
attack gets a fork, under a supervisor that ends it when it is late and counts what it
leaves behind. For every job one JSON line of observables comes out, as soon as it is
there.
"""

from __future__ import annotations

import atexit
import builtins
import copy
import ctypes
import glob
import io
import json
import os
import pickle
import resource
import signal
import socket
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)

from tests import models  # noqa: E402
from tests.attacks import nursery  # noqa: E402
from tests.sources import SGD  # noqa: E402
from tests.talking import scripted  # noqa: E402

AT_ONCE = 2
SECONDS = 1.5  # what a rule may use in a dry run, and in one step
LATEST = 250.0  # then the supervisor ends the play
# What is on its way out may take so long on a busy machine; seconds.
PATIENCE = 30.0
_SUBREAPER = 36
PASSWORDS = "root:x:"


def base_of(model):
    """The trusted optimizer of every play."""
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)


def world() -> dict[str, Any]:
    """State of the process that no rule may change, by the corpus's names."""
    from torch.nn.modules import module
    from torch.optim import optimizer

    tables = [n for n in vars(module) if n.startswith("_global_") and "hook" in n]
    return {
        "default_dtype": str(torch.get_default_dtype()),
        "default_device": str(torch.get_default_device()),
        "grad_mode": [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
        "num_threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "modes": torch._C._len_torch_function_stack(),
        "hooks": [str(getattr(module, name)) for name in tables]
        + [
            str(value)
            for name, value in vars(optimizer).items()
            if name.startswith("_global_optimizer")
        ],
        "environ": hash(tuple(sorted(os.environ.items()))),
        "sys_path": list(sys.path),
        "cwd": os.getcwd(),
        "warnings": [str(each) for each in warnings.filters],
        "recursionlimit": sys.getrecursionlimit(),
        "stdout_replaced": [id(sys.stdout), id(sys.stderr)],
        "tracing": [str(sys.gettrace()), str(sys.getprofile())],
        "builtins": {name: id(value) for name, value in vars(builtins).items()},
    }


def patched(before: dict[str, Any] | None = None) -> Any:
    """Names of torch that stand for something else than before."""
    spaces = {
        "torch": torch,
        "Tensor": torch.Tensor,
        "functional": torch.nn.functional,
        "Module": torch.nn.Module,
        "Optimizer": torch.optim.Optimizer,
        "SGD": torch.optim.SGD,
    }
    now = {
        f"{space}.{name}": id(value)
        for space, owner in spaces.items()
        for name, value in vars(owner).items()
    }
    if before is None:
        return now
    # torch.optim wraps `step` of each class when it is first used.
    mine = {"SGD.step", "torch._dynamo"}
    return [n for n, v in before.items() if now.get(n, v) != v and n not in mine]


class Play:
    """One training with one attack; `seen` fills with what could be observed."""

    def __init__(self, source: str, mode: str, closure: bool) -> None:
        self.source = source
        self.mode = mode
        self.closure = closure
        self.seen: dict[str, Any] = {"raised": [], "held": 0.0, "closure_calls": 0}

    def call(self, name: str, function, *arguments):
        """Call the product; note how long it held us and what came out of it."""
        began = time.monotonic()
        try:
            return function(*arguments)
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            text = f"{name}: {type(error).__name__}: {error!s:.120} ({where})"
            if text not in self.seen["raised"]:
                self.seen["raised"].append(text)
            return None
        finally:
            took = time.monotonic() - began
            if took > self.seen["held"]:
                self.seen["held"], self.seen["holder"] = round(took, 2), name

    def run(self) -> dict[str, Any]:
        """Train, decide, train on, and look at everything."""
        from dux_agent import attach
        from dux_sandbox import check
        from dux_sandbox.process import spawning

        seen = self.seen
        seen["static"] = check(self.source).ok
        if seen["static"]:
            # The start of a warm process is no rule's fault, nor time held by one.
            spawning.zygote().layers()
        torch.manual_seed(0)
        self.model, self.batches = models.mlp(), models.batches()
        self.agent = attach(
            self.model,
            base_of(self.model),
            models.objective,
            lm=scripted(self.source, SGD),
            execution=self.mode,
            dry_run_steps=3,
            max_attempts=1,
            limits={
                "seconds": SECONDS,
                "step_seconds": SECONDS,
                "memory": 512 << 20,
            },
        )
        self.live = self.agent.optimizer
        # It changes nothing but calculates with what it finds in the groups.
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.live, 1.0)
        # Everything that is imported at first use is imported before `world`.
        repr(self.live), copy.deepcopy(self.live.state_dict())
        made = self.make()
        before, names = world(), patched()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        losses = [self.train(step) for step in range(5)]
        at_swap = sum(losses) / len(losses)
        decision = self.call("decide", self.agent.decide)
        seen["verdict"] = getattr(decision, "verdict", None)
        seen["reason"] = str(getattr(decision, "reason", ""))[:200]
        losses = [self.train(step) for step in range(5, 65)]
        if seen["verdict"] != "applied":
            seen["twin"] = self.like_a_twin(losses)
        seen["after"] = [each.verdict for each in self.agent.decisions]
        self.look_at_state()
        recent = [loss for loss in losses[-10:] if loss is not None]
        seen["loss_worse"] = not (
            recent and sum(recent) / len(recent) <= 1.5 * at_swap + 0.05
        )
        if seen["verdict"] == "applied":
            self.call("second decide", self.agent.decide)
            for step in range(65, 70):
                self.train(step)
        self.grow()
        self.call("close", self.agent.close)
        after = world()
        seen["changed"] = [name for name in before if before[name] != after[name]]
        seen["patched"] = patched(names)
        seen["make"] = [n for n, now in self.make().items() if now != made[n]]
        seen["nonfinite"] = not self.finite() or seen.pop("was_nonfinite", False)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
        seen["megabytes"] = peak // 1024
        return seen

    def train(self, step: int) -> float | None:
        """One ordinary step of training; the loss before it."""
        batch = self.batches[step % len(self.batches)]
        calls = [0]

        def closure():
            calls[0] += 1
            self.live.zero_grad()
            loss = models.objective(self.model, batch)
            loss.backward()
            return loss

        if self.closure:
            loss = models.objective(self.model, batch).detach()
            self.call("step", self.live.step, closure)
            self.seen["closure_calls"] = max(self.seen["closure_calls"], calls[0])
        else:
            self.call("zero_grad", self.live.zero_grad)
            loss = models.objective(self.model, batch)
            loss.backward()
            kept = [p.grad.clone() for p in self.model.parameters()]
            self.call("step", self.live.step)
            for gradient, p in zip(kept, self.model.parameters(), strict=True):
                if p.grad is None or not torch.equal(gradient, p.grad):
                    self.seen["grad_mutated"] = True
        self.call("scheduler", self.scheduler.step)
        self.call("observe", self.agent.observe, loss.detach(), batch)
        if not self.finite():
            self.seen["was_nonfinite"] = True
        for group in self.live.param_groups:
            if group.get("dux_leak"):
                self.seen["leak"] = str(group["dux_leak"])[:100]
        return float(loss.detach())

    def like_a_twin(self, losses: list[float | None]) -> bool:
        """Whether a run without an agent has the same losses and weights."""
        torch.manual_seed(0)
        twin = models.mlp()
        optimizer, theirs = base_of(twin), []
        state = None
        for step in range(65):
            batch = self.batches[step % len(self.batches)]
            optimizer.zero_grad()
            loss = models.objective(twin, batch)
            loss.backward()
            optimizer.step()
            theirs.append(float(loss.detach()))
        state = twin.state_dict()
        same = [torch.equal(v, state[k]) for k, v in self.model.state_dict().items()]
        return losses == theirs[5:] and all(same)

    def make(self) -> dict[str, Any]:
        """Identity, shape, dtype and hooks of the parameters, and their groups."""
        parameters = list(self.model.parameters())
        groups = self.live.param_groups
        return {
            "param_identity": [
                [id(p), list(p.shape), str(p.dtype), list(p.stride())]
                for p in parameters
            ],
            "params_dropped": [
                [id(p) for group in groups[:1] for p in group["params"]],
                type(groups[0]["params"]).__name__,
            ],
            "requires_grad": [p.requires_grad for p in parameters],
            "param_hooks": [len(p._backward_hooks or ()) for p in parameters],
        }

    def finite(self) -> bool:
        return all(bool(torch.isfinite(p).all()) for p in self.model.parameters())

    def look_at_state(self) -> None:
        """Everything that a training loop does with an optimizer's state."""
        call = self.call
        call("repr", repr, self.live)
        call("state", lambda: dict(self.live.state))
        state = call("state_dict", self.live.state_dict)
        if state is not None:
            text = call("pickle", pickle.dumps, state)
            if text is not None:
                call("unpickle", pickle.loads, text)
                self.seen["secret"] = PASSWORDS.encode() in text
            held = io.BytesIO()
            call("torch.save", torch.save, state, held)
            held.seek(0)
            call("torch.load", torch.load, held)
            copied = call("deepcopy", copy.deepcopy, state)
            if copied is not None:
                call("load_state_dict", self.live.load_state_dict, copied)
        whole = call("agent.state_dict", self.agent.state_dict)
        if whole is not None:
            call("agent.load_state_dict", self.agent.load_state_dict, whole)
        for step in range(3):
            self.train(step)

    def grow(self) -> None:
        """A new group and a scheduler, as a loop may have them."""
        more = torch.nn.Parameter(torch.ones(2))
        self.call("add_param_group", self.live.add_param_group, {"params": [more]})
        self.train(0)
        scheduler = self.call(
            "scheduler",
            lambda: torch.optim.lr_scheduler.LambdaLR(self.live, lambda step: 0.5),
        )
        if scheduler is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.call("scheduler.step", scheduler.step)
        self.train(1)
        self.call("zero_grad to zero", self.live.zero_grad, False)


def _play(job: dict[str, Any], into: int, warm: socket.socket) -> None:
    """The fresh process: play, leave like any program, write down what was seen."""
    os.setsid()
    zygotes = nursery.use(warm)
    said = os.memfd_create("said")
    os.dup2(said, 1)
    os.dup2(said, 2)
    # Where the attacks on the network find somebody who counts them.
    source = Path(job["file"]).read_text().replace("47113", job["port"])
    play = Play(source, job["mode"], job["closure"])
    try:
        play.run()
    except BaseException:
        play.seen["stage"] = traceback.format_exc()[-1500:]
    seen = play.seen
    del play
    atexit._run_exitfuncs()
    patience = time.monotonic() + PATIENCE
    while any(z.poll() is None for z in zygotes) and time.monotonic() < patience:
        time.sleep(0.01)
    seen["zygotes"] = sum(each.poll() is None for each in zygotes)
    with open(into, "w") as out:
        json.dump({**seen, "finished": True}, out)
    os.lseek(said, 0, 0)
    status = 3 if b"spoof" in os.read(said, 1 << 20) else 0
    os._exit(status)


def _supervise(job: dict[str, Any], warm: socket.socket) -> dict[str, Any]:
    """Fork the play, wait for it, and see what it leaves behind."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    sentinel = f"/tmp/dux_escape_sentinel_{Path(job['file']).stem}"
    shared = set(glob.glob("/dev/shm/*"))
    reading, writing = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            _play(job, writing, warm)
        finally:
            os._exit(9)
    os.close(writing)
    status = None
    ended: float | None = None
    leftovers = 0
    while True:
        done, code = 0, 0
        try:
            done, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if done == pid:
            status, ended = os.waitstatus_to_exitcode(code), time.monotonic()
        now = time.monotonic()
        if status is None and now - began > LATEST:
            os.kill(pid, signal.SIGKILL)
        if ended is not None and now - ended > PATIENCE and not done:
            leftovers = max(leftovers, _end_children())
        if not done:
            time.sleep(0.01)
    # Other tests on this machine have files there too, for a moment.
    while set(glob.glob("/dev/shm/*")) - shared and now - ended < PATIENCE:
        time.sleep(0.01)
        now = time.monotonic()
    with open(reading) as held:
        text = held.read()
    seen = json.loads(text) if text else {}
    seen |= {
        "exit": status,
        "leftovers": leftovers + seen.get("zygotes", 0),
        "file": os.path.lexists(sentinel),
        "shared": sorted(set(glob.glob("/dev/shm/*")) - shared),
        "seconds": round(time.monotonic() - began, 1),
    }
    return seen


def _end_children() -> int:
    """Kill what was left to this process; how many there were."""
    with open(f"/proc/self/task/{os.getpid()}/children") as held:
        pids = [int(each) for each in held.read().split()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


def main(jobs: list[dict[str, Any]]) -> None:
    """Play all jobs, two at a time; one line for each."""
    warm = nursery.start()
    # What every play imports, once.
    import torch._dynamo  # noqa: F401  (a stock optimizer's first step wants it)

    from dux_agent import attach
    from dux_agent.live import swap  # noqa: F401

    model = models.mlp()
    agent = attach(
        model,
        base_of(model),
        models.objective,
        lm=scripted("import os"),
        execution="inline",
        max_attempts=1,
    )
    agent.step(models.batches()[0])
    agent.decide()
    agent.close()
    running: set[int] = set()
    waiting = list(jobs)
    while waiting or running:
        if waiting and len(running) < AT_ONCE:
            job = waiting.pop(0)
            pid = os.fork()
            if pid == 0:
                seen = _supervise(job, warm)
                line = json.dumps({"key": job["key"], "seen": seen}) + "\n"
                os.write(1, line.encode())  # short enough to be written whole
                os._exit(0)
            running.add(pid)
            continue
        pid, _ = os.waitpid(-1, 0)
        running.discard(pid)


if __name__ == "__main__":
    main([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()])
