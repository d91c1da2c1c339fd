"""Operators that ask language models: new, explore, repair."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from dux_agent.arguments import language_models
from dux_agent.errors import BadArgument
from dux_agent.evolving.plan import OFFLINE, EvolvePlan
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.trace import iterate
from dux_agent.tuning.judging import StudyPaused
from dux_graphs.evolution.individual import Draft, Operator, Standing
from dux_graphs.evolution.search import BY
from dux_graphs.language_model import LanguageModel, by_name
from dux_graphs.paid_model import PaidModel
from dux_graphs.prices import Prices
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
_SECONDS = 60.0  # of waiting for replies that count as one more
_OF_A_CALL = {"input_tokens": 4_000, "output_tokens": 1_500}  # about
_THOUGHT = 300  # characters
_TIMEOUT = 600.0  # seconds until the first token


def models_of(plan: EvolvePlan, lm: Any) -> dict[str, LanguageModel]:
    """The models that a search asks, by the plan's names; none is called.

    Args:
        lm: as `dux_agent.attach` takes it, one for each name of the plan where it has
            several; None: those that the plan names.

    Raises:
        BadArgument: a name means nothing, or there are more or fewer than names.
        MissingExtra: the package of one is not installed.
    """
    if plan.model == OFFLINE:
        return {}
    asked = lm or list(plan.models)
    made = language_models(asked, None, seed=plan.seed, timeout=_TIMEOUT) or ()
    if len(plan.models) == 1:  # others of a list are asked where the first fails
        return by_name(made)
    if len(made) != len(plan.models):
        raise BadArgument(
            f"lm holds {len(made)} language models and the plan names "
            f"{len(plan.models)}; one for each was wanted; pass as many."
        )
    return dict(zip(plan.models, made, strict=True))


def asked_operators(
    plan: EvolvePlan, lm: Any, folder: RunFolder
) -> dict[str, Operator]:
    """Each by its name; where several models are asked, one for each of them.

    Args:
        lm: as of `models_of`.
        folder: what is asked and answered is recorded there, and replies that stand
            there are not asked for again.

    Raises:
        BadArgument: as of `models_of`.
    """
    models, known = models_of(plan, lm), _replies_in(folder)
    if len(plan.models) == 1:
        return Asking(models, folder, known, zoo=plan.zoo).operators() if models else {}
    dear = dearness_of(plan.models)
    return {
        f"{kind}{BY}{name}": operator
        for name, model in models.items()
        for kind, operator in Asking(
            {name: model}, folder, known, zoo=plan.zoo, dear=dear[name]
        )
        .operators()
        .items()
    }


def dollars_of_call(model: str) -> float | None:
    """What a call of some size costs; None where the price is not known."""
    return Prices.of(None).cost(model, _OF_A_CALL)


def dearness_of(models: Sequence[str]) -> dict[str, float]:
    """The price of each beside the mean of all; 1 where not every price is known.

    >>> dearness_of(["openai:gpt-4o", "ollama:qwen3"])
    {'openai:gpt-4o': 2.0, 'ollama:qwen3': 0.0}
    """
    prices = {name: dollars_of_call(name) for name in models}
    known = [each for each in prices.values() if each is not None]
    if len(known) < len(models) or not sum(known):
        return dict.fromkeys(models, 1.0)
    mean = math.fsum(known) / len(known)
    return {name: (price or 0.0) / mean for name, price in prices.items()}


def _replies_in(folder: RunFolder) -> dict[str, list[dict[str, Any]]]:
    """By the digest of the prompt, in the order in which they came."""
    known: dict[str, list[dict[str, Any]]] = {}
    for event in iterate(folder.path) if folder.opened else ():
        if event.kind == "reply":
            known.setdefault(event.data["prompt"], []).append(event.data)
    return known


class Asking:
    """A language model that breeds; every reply is kept, and none is paid twice."""

    def __init__(
        self,
        models: Mapping[str, LanguageModel],
        folder: RunFolder,
        known: dict[str, list[dict[str, Any]]],
        *,
        zoo: bool = False,
        dear: float | None = None,
    ) -> None:
        """One that is asked.

        Args:
            models: by name; those after the first are asked where it fails.
            folder: what is asked and answered is recorded there.
            known: replies of before; each is taken out when it was given again.
            zoo: each request quotes a source of the zoo.
            dear: what its tokens cost, 1 for the mean of all that are asked beside it.
                Then the seconds of its replies cost too, and are recorded with them.
                None: there is no other, and all that costs is tokens.
        """
        self._zoo, self._known, self._dear = zoo, known, dear
        self._paid = PaidModel(models, recall=self._recalled)
        self._folder, self._graph = folder, build_graph()
        self._seconds, self._asked_at = 0.0, 0.0
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
        before, self._seconds = self._paid.usage["total_tokens"], 0.0
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
        cost = (self._paid.usage["total_tokens"] - before) / _TOKENS
        if self._dear is not None:
            cost = cost * self._dear + self._seconds / _SECONDS
        if out["by"] == FALLBACK:
            # Of one alone this is not counted: its searches go on as they began.
            return None if self._dear is None else Draft("", name, cost)
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
        if kind == "prompt":
            self._asked_at = time.monotonic()
        if kind == "reply" and self._dear is not None:
            seconds = known[0]["usage"].get("seconds", 0.0) if known else self._waited()
            self._seconds += seconds
            data = {**data, "usage": {**data["usage"], "seconds": seconds}}
        if not known:
            self._folder.event(kind, step=0, data=data)
        elif kind == "reply":
            known.pop(0)

    def _waited(self) -> float:
        return round(time.monotonic() - self._asked_at, 3)


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
