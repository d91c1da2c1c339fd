"""Run folders as the tests of reports, exports and other tools want them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from dux_agent.run_folder.folder import RunFolder
from dux_sandbox.findings import digest_of

SOURCE = '''
import torch


class Plain(torch.optim.Optimizer):
    """Plain steps, number {number}."""

    def __init__(self, params, lr={rate}):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])
'''.lstrip()

BASE = {"name": "SGD", "groups": [{"lr": 0.1, "momentum": 0.9}]}


def source(number: int, rate: float = 0.01) -> str:
    """A rule's source."""
    return SOURCE.format(number=number, rate=rate)


def fenced(text: str) -> str:
    """A reply that proposes it."""
    return f"Here it is.\n```python\n{text}```\n"


class Writer:
    """Writes a run folder, decision by decision; a context manager."""

    def __init__(self, path: Path, **facts: Any) -> None:
        given = {
            "task": "digits",
            "seed": 0,
            "model": "test-model",
            "arguments": {"epochs": 2, "control": True},
        }
        self.folder = RunFolder.create(path, given | facts)
        self.path = self.folder.path

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.close()

    def event(self, kind: str, decision: int | None, step: int, **data: Any) -> None:
        """One event."""
        self.folder.event(kind, step=step, decision=decision, data=data)

    def losses(self, first: int, last: int, begin: float = 2.0) -> None:
        """Losses of the steps `first` to `last`, falling."""
        for step in range(first, last + 1):
            self.event("loss", None, step, loss=begin / step)

    def epoch(self, number: int, step: int, val: float, scope: str = "epoch") -> None:
        """An epoch's losses."""
        self.event(
            "loss",
            None,
            step,
            scope=scope,
            epoch=number,
            loss=val + 0.1,
            val=val,
            test=val + 0.2,
            seconds=1.0,
        )

    def ask(self, number: int, step: int, live: str | None = None) -> None:
        """The beginning of a decision: observation and prompt."""
        self.event("observation", number, step, base_optimizer=BASE, source=live)
        self.event(
            "prompt",
            number,
            step,
            messages=[
                {"role": "system", "content": "You write optimizers."},
                {"role": "user", "content": f"Step {step}: what now?"},
            ],
        )

    def propose(
        self, number: int, step: int, text: str, *, ok: bool = True, **extra: Any
    ) -> str:
        """A reply, its static check and its dry run; returns the digest."""
        with contextlib.suppress(UnicodeEncodeError):
            self.folder.keep_source(text)
        digest = digest_of(text)
        usage = {
            "calls": 1,
            "input_tokens": 1000,
            "output_tokens": 200,
            "total_tokens": 1200,
        }
        self.event("reply", number, step, content=fenced(text), usage=usage)
        self.event("static_check", number, step, digest=digest, ok=True, findings=[])
        finding = {
            "rule": "harm",
            "line": 3,
            "message": "the loss rose",
            "instead": "smaller steps",
        }
        self.event(
            "dry_run",
            number,
            step,
            **{
                "digest": digest,
                "ok": ok,
                "losses": [1.0, 0.9, 0.8],
                "incumbent_losses": [1.0, 0.95, 0.9],
                "seconds": 0.1,
                "peak_bytes": 1_000_000,
                "findings": [] if ok else [finding],
            }
            | extra,
        )
        return digest

    def conclude(
        self,
        number: int,
        step: int,
        digest: str | None,
        verdict: str = "applied",
        **extra: Any,
    ) -> None:
        """The verdict."""
        data = {
            "digest": digest,
            "verdict": verdict,
            "reason": "passed after 1 try",
            "seconds": 1.5,
            "usage": {
                "calls": 1,
                "input_tokens": 1000,
                "output_tokens": 200,
                "total_tokens": 1200,
            },
            "carry": {"carried": {"exp_avg": 2}, "dropped": {"step": 2}},
            "learning_rates_before": [0.1],
            "learning_rates": [0.01],
        }
        self.event("apply", number, step, **data | extra)

    def applied(self, number: int, step: int, text: str, live: str | None) -> str:
        """A whole decision whose first proposal goes live."""
        self.ask(number, step, live)
        digest = self.propose(number, step, text)
        self.conclude(number, step, digest)
        return digest


def usual(path: Path, *, seed: int = 0, model: str = "test-model") -> Path:
    """Two epochs, a control, two decisions that are applied."""
    with Writer(path, seed=seed, model=model) as run:
        for number in (1, 2):
            run.epoch(number, 10 * number, 3.0 - number / 10 + seed / 100, "control")
        run.losses(1, 10)
        run.epoch(1, 10, 2.0 + seed / 100)
        run.applied(1, 10, source(1), None)
        run.losses(11, 15)
        run.applied(2, 15, source(2, 0.02), source(1))
        run.losses(16, 20)
        run.epoch(2, 20, 1.0 + seed / 100)
    return run.path
