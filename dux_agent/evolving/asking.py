"""Operators that ask a language model: new, explore, repair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from dux_agent.arguments import language_models
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.trace import iterate
from dux_agent.tuning.judging import StudyPaused
from dux_graphs.evolution.individual import Draft, Operator, Standing
from dux_graphs.language_model import LanguageModel, by_name
from dux_graphs.paid_model import PaidModel
from dux_graphs.tuning.graph import build_graph, run_trial
from dux_graphs.tuning.nodes import FALLBACK
from dux_graphs.tuning.state import TrialPorts
from dux_prompts.evolving import Shown, render_request, render_system
from dux_prompts.reply import read
from dux_prompts.tuning.config_reply import Configuration
from dux_prompts.tuning.program_prompts import render_repair
from dux_prompts.tuning.study_view import StudyView
from dux_sandbox.findings import Finding
from dux_sandbox.static_check import check

OPERATORS = ("new", "explore", "repair")

_TRIES = 3  # replies that a draft may cost
_TOKENS = 4_000.0  # that count as one full training, where a bandit compares costs
_THOUGHT = 300  # characters
_TIMEOUT = 600.0  # seconds until the first token


def models_of(lm: Any, seed: int) -> dict[str, LanguageModel]:
    """The models that a search asks, by name; none is called.

    Args:
        lm: as `dux_agent.attach` takes it.
        seed: of models that take one.

    Raises:
        BadArgument: the name means nothing.
        MissingExtra: its package is not installed.
    """
    return by_name(language_models(lm, None, seed=seed, timeout=_TIMEOUT) or ())


class Asking:
    """A language model that breeds; every reply is kept, and none is paid twice."""

    def __init__(
        self, lm: Any, folder: RunFolder, seed: int, *, zoo: bool = False
    ) -> None:
        """One that is asked.

        Args:
            lm: as `dux_agent.attach` takes it.
            folder: what is asked and answered is recorded there, and replies that
                stand there are not asked for again.
            seed: of models that take one.
            zoo: each request quotes a source of the zoo.

        Raises:
            BadArgument: the name means nothing.
        """
        self._zoo = zoo
        self._known: dict[str, list[dict[str, Any]]] = {}
        for event in iterate(folder.path) if folder.opened else ():
            if event.kind == "reply":
                self._known.setdefault(event.data["prompt"], []).append(event.data)
        self._paid = PaidModel(models_of(lm, seed), recall=self._recalled)
        self._folder, self._graph = folder, build_graph()
        shown = folder.facts.get("experience")
        self._experience = shown if isinstance(shown, list) else []

    def operators(self) -> dict[str, Operator]:
        """Each by its name."""
        return {name: partial(self._drafted, name) for name in OPERATORS}

    def _drafted(
        self, name: str, parents: Sequence[Standing], rng: Random
    ) -> Draft | None:
        shown = [_shown(one) for one in sorted(parents, key=lambda e: e.rank)[::-1]]
        prompt = render_request(
            name,
            shown,
            direction=rng.randrange(1 << 16),
            why=parents[0].why,
            zoo=self._zoo,
            experience=self._experience,
        )
        before = self._paid.usage["total_tokens"]
        ports = TrialPorts(
            **self._paid.ports(),
            check=_checked,
            draw=dict,
            brief=_Brief(prompt),
            max_attempts=_TRIES,
            on_event=self._event,
        )
        view = StudyView(number=1).as_dict()
        out = run_trial(self._graph, {"view": view}, ports)
        if out["verdict"] == "failed":
            raise StudyPaused(out["reason"])
        if out["by"] == FALLBACK:
            return None
        cost = (self._paid.usage["total_tokens"] - before) / _TOKENS
        thought = " ".join(out["why"].split())[:_THOUGHT]
        return Draft(str((out["config"] or {})["source"]), thought or name, cost)

    def _recalled(self, digest: str) -> Mapping[str, Any] | None:
        return next(iter(self._known.get(digest, ())), None)

    def _event(self, kind: str, data: dict[str, Any]) -> None:
        """Record what is said, but for what stands in the trace already."""
        if kind == "static_check":
            return
        digest = data.get("digest") if kind == "prompt" else data.get("prompt")
        known = self._known.get(str(digest), [])
        if not known:
            self._folder.event(kind, step=0, data=data)
        elif kind == "reply":
            known.pop(0)


@dataclass(frozen=True)
class _Brief:
    """Asks for one draft.

    Attributes:
        prompt: the first message.
    """

    prompt: str

    def system(self, observation: StudyView) -> str:
        return render_system()

    def update(self, observation: StudyView) -> str:
        return self.prompt

    def repair(self, attempts: Sequence[Mapping[str, Any]], tries_left: int) -> str:
        return render_repair(attempts, tries_left, prompts=None)

    def read(self, reply: str) -> Configuration | Finding:
        found = read(reply)
        if isinstance(found, Finding):
            return found
        return Configuration({"source": found.source}, found.why)


def _checked(proposed: Mapping[str, Any]) -> dict[str, Any] | Sequence[Finding]:
    report = check(str(proposed["source"]))
    return dict(proposed) if report.ok else report.findings


def _shown(one: Standing) -> Shown:
    draft, score = one.individual.draft, one.score()
    told = f"stopped by {one.stopped}" if not math.isfinite(score) else ""
    told = told or f"loss {100 * math.expm1(score - one.price):+.1f} % beside AdamW"
    return Shown(one.individual.number, told, draft.thought, draft.source)
