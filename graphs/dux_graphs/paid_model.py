"""Language models whose calls are paid: a budget, what they cost, what is known."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dux_graphs.budget import Budget
from dux_graphs.deadline import Deadline
from dux_graphs.language_model import LanguageModel
from dux_graphs.prices import Prices
from dux_graphs.prompt_digest import digest_of_chat
from dux_graphs.trouble import text_of
from dux_graphs.writing import Messages, NobodyWaits, NoMoreCalls, Reply, WriteOptions

_NAME_CHARACTERS = 200
_TOKENS = ("input_tokens", "output_tokens", "total_tokens")


@dataclass(repr=False)
class PaidModel:
    """The calls of one decision, or of one trial of a study, of any graph.

        paid = PaidModel({"openai:gpt-4o": language_model("openai:gpt-4o")},
                         budget=Budget(money=0.5), prices=Prices.of(None))
        ports = Ports(**paid.ports(), check=..., dry_run=..., apply=...)
        ...
        paid.usage      # {"calls": 2, "input_tokens": ..., "money": 0.0123}

    It writes no trace: the graph tells of each prompt, reply and error. Calls may be
    made at the same time.

    Attributes:
        models: by name, in the order that they are asked in; a request may name one.
        budget: what all of them together may cost, also those of other decisions.
        deadline: when nobody is asked any more; None: never.
        prices: what tokens cost.
        recall: the reply that the run got to a prompt of that digest before it died,
            `{"content", "usage", "model"}`: it is not asked for, nor paid, again.
        usage: calls, tokens and, where there is a price, money of this one.
    """

    models: Mapping[str, LanguageModel]
    budget: Budget = field(default_factory=Budget)
    deadline: Deadline | None = None
    prices: Prices = field(default_factory=lambda: Prices.of(None))
    recall: Callable[[str], Mapping[str, Any] | None] = lambda digest: None
    usage: dict[str, int | float] = field(
        default_factory=lambda: dict.fromkeys(("calls", *_TOKENS), 0)
    )
    # What calls may use that are allowed and not over, by the digest of the prompt.
    _going_on: dict[str, dict[str, float]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _given_up: threading.Event = field(default_factory=threading.Event)
    _because: str = ""

    def ports(self) -> dict[str, Any]:
        """The ports of a graph that it answers for, by name."""
        others = range(len(self.models) - 1)
        ports: dict[str, Any] = {"write": self.write, "require": self.require}
        ports["fallback"] = [partial(self._write_with_another, each) for each in others]
        if self.deadline is not None:
            left = self.deadline.left_before_fallbacks
            ports["seconds_left"] = lambda: left(len(others))
        return ports

    def require(self, messages: Messages, options: WriteOptions) -> None:
        """See to it that a call may be made.

        Raises:
            NoMoreCalls: the budget has no room for it, the time is over, there is no
                model, or it was given up.
        """
        self._require_wanted()
        if not self.models:
            raise NoMoreCalls("no language model was given")
        digest = _digest(messages)
        if self.recall(digest) is not None:
            return
        if self.deadline is not None:
            self.deadline.require()
        name = self._asked(options)
        tokens = self.budget.expected(name, messages)
        money = self.prices.cost(name, tokens) or 0.0
        estimate = {"calls": 1, "tokens": tokens["total_tokens"], "money": money}
        with self._lock:
            self._going_on.pop(digest, None)
            others = Counter[str]()
            for each in self._going_on.values():
                others.update(each)
            self.budget.require(estimate, others)
            self._going_on[digest] = estimate

    def write(self, messages: Messages, options: WriteOptions) -> Reply:
        """The reply of the model that is named, or of the first.

        Raises:
            NoMoreCalls: see `require`.
            Whatever the model raises.
        """
        self.require(messages, options)
        digest = _digest(messages)
        with self._lock:
            self._going_on.get(digest, {}).pop("calls", None)
            self._count({"calls": 1})
        try:
            return self._written(messages, options, self.recall(digest))
        finally:
            self._going_on.pop(digest, None)

    def _written(
        self, messages: Messages, options: WriteOptions, known: Mapping[str, Any] | None
    ) -> Reply:
        name = self._asked(options)
        if known is not None:  # paid before the run died
            usage = tokens_in(known.get("usage"))
            said = str(known.get("model") or "")
            return self._paid(name, messages, Reply(str(known["content"]), usage, said))

        def again(error: Exception, names: Sequence[str]) -> None:
            options.again(error, names)
            self._require_wanted()
            self.budget.require()
            self._count({"calls": 1})

        warm = options.temperature
        answer = self.models[name].ask(
            messages,
            seconds=None if self.deadline is None else self.deadline.left(),
            again=again,
            options={} if warm is None else {"temperature": warm},
            asker=self,
        )
        usage = tokens_in(getattr(answer, "usage_metadata", None))
        said, reason = _said_of(answer, "model_name"), _said_of(answer, "finish_reason")
        # Also a reply that was cut short has its price.
        paid = self._paid(name, messages, Reply("", usage, said, reason))
        return Reply(text_of(answer), paid.usage, paid.model, paid.finish_reason)

    def adopt(self, usage: Mapping[str, Any] | None) -> None:
        """Count a call that a run which died has made, as its trace tells of it."""
        self._count({"calls": 1, **tokens_in(usage)})

    def give_up(self, because: str) -> None:
        """Nobody waits for its replies any more: end its calls, and make no other.

        Other decisions go on, also those that share its models and its budget.

        Args:
            because: in a sentence; what ends the decision says so.
        """
        self._because = because
        self._given_up.set()
        for model in self.models.values():
            model.cancel(self)

    def wait(self, seconds: float) -> bool:
        """Wait so many seconds, or until it is given up; whether it is."""
        return self._given_up.wait(seconds)

    def _require_wanted(self) -> None:
        if self._given_up.is_set():
            raise NobodyWaits(self._because)

    def _asked(self, options: WriteOptions) -> str:
        """The name of the model that is meant.

        Raises:
            ValueError: there is none of that name.
        """
        if options.model is None:
            return next(iter(self.models))
        if options.model not in self.models:
            raise ValueError(
                f"a request names the model {options.model!r}; one of "
                f"{', '.join(self.models)} was wanted"
            )
        return options.model

    def _write_with_another(
        self, place: int, messages: Messages, options: WriteOptions
    ) -> Reply:
        """As `write`, by the model at that place among those that are not asked."""
        others = [name for name in self.models if name != self._asked(options)]
        instead = WriteOptions(options.temperature, others[place], options.again)
        return self.write(messages, options=instead)

    def _paid(self, name: str, messages: Messages, reply: Reply) -> Reply:
        """The reply, counted, with its price."""
        characters = sum(len(message["content"]) for message in messages)
        usage = dict(reply.usage)
        cost = self.prices.cost(name, usage) if usage else None
        if cost:
            usage["money"] = cost
        if not any(usage.values()):  # a server that counts nothing is paid all the same
            expected = self.budget.expected(name, messages)
            self.budget.spend(
                tokens=expected["total_tokens"],
                money=self.prices.cost(name, expected) or 0.0,
            )
        else:
            self.budget.learn(name, characters, usage)
        self._count(usage)
        return Reply(reply.text, usage, reply.model, reply.finish_reason)

    def _count(self, used: Mapping[str, float]) -> None:
        self.budget.spend(
            calls=used.get("calls", 0),
            tokens=used.get("total_tokens", 0),
            money=used.get("money", 0.0),
        )
        with self._lock:
            for name, number in used.items():
                self.usage[name] = self.usage.get(name, 0) + number


def _said_of(answer: Any, name: str) -> str:
    metadata = getattr(answer, "response_metadata", None)
    said = metadata.get(name) if isinstance(metadata, Mapping) else None
    return said[:_NAME_CHARACTERS] if isinstance(said, str) else ""


def tokens_in(usage: Any) -> dict[str, float]:
    """Tokens and money in what a provider, or a trace, says of a call."""
    if not isinstance(usage, Mapping):
        return {}
    found: dict[str, float] = {
        name: int(usage[name]) for name in _TOKENS if usage.get(name)
    }
    money = usage.get("money")
    if isinstance(money, (int, float)) and money > 0:
        found["money"] = float(money)
    return found


def _digest(messages: Messages) -> str:
    return digest_of_chat([(each["role"], each["content"]) for each in messages])
