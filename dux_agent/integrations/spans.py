"""A run as OpenTelemetry spans, with the attributes of the GenAI conventions.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ (`gen_ai.*`, in development);
what it has no name for is called `dux.*`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dux_agent.errors import MissingExtra
from dux_agent.run_folder.trace import Event
from dux_agent.run_history.values import count, items, mapping, number, text

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

_AGENT = "dux"
_STAGES = ("static_check", "dry_run", "apply")


@dataclass
class _Open:
    """A decision that is being made.

    Attributes:
        span: the decision's own.
        before: time of its last event, seconds since 1970.
        chat: the span of a call that has no answer yet.
    """

    span: Span
    before: float
    chat: Span | None = None


class Spans:
    """Listens to a run's events and makes spans of them.

    One span a decision (`invoke_agent dux`), and in it one for each call to the model
    (`chat NAME`), static check, dry run and the apply. Times are the events' own, so
    that a finished run makes the same spans. Give it to `RunFolder.subscribe`, or to
    `dux_agent.integrations.playing.play`.
    """

    def __init__(
        self,
        *,
        model: str = "unknown",
        provider: TracerProvider | None = None,
        content: bool = False,
    ) -> None:
        """Begin to listen.

        Args:
            model: as `attach(lm=...)` or `run.json` names it: "openai:gpt-4o".
            provider: where the spans go; None: OpenTelemetry's global one.
            content: also prompts, replies, reasons and findings. Off: no text that a
                prompt or a reply holds leaves the process.

        Raises:
            MissingExtra: opentelemetry is not installed.
        """
        try:
            from opentelemetry import trace
        except ImportError:
            raise MissingExtra.of(
                "opentelemetry-sdk", extra="otel", purpose="a run as spans"
            ) from None
        self._otel: Any = trace
        self._tracer: Tracer = trace.get_tracer("dux_agent", tracer_provider=provider)
        maker, colon, name = model.partition(":")
        self._provider = maker if colon else "dux"
        self._model = name or model
        self._content = content
        self._open: dict[int, _Open] = {}
        self._made: dict[int, Any] = {}

    def __call__(self, event: Event) -> None:
        """Begin, end or fill a span."""
        number_of = event.decision
        if event.kind == "rollback":
            self._rollback(number_of, event)
            return
        if type(number_of) is not int:
            return
        held = self._open.get(number_of)
        if held is None:
            if event.kind == "error":
                return  # the echo of a decision that has failed
            held = self._open[number_of] = self._begin(number_of, event)
        if event.kind == "prompt":
            self._ask(held, event)
        elif event.kind in ("reply", "error"):
            self._answered(held, event)
        elif event.kind in _STAGES:
            self._stage(held, event)
        held.before = event.time
        if event.kind == "apply":
            self._end(number_of, held, event)

    def close(self) -> None:
        """End the spans of decisions that have no verdict."""
        for held in self._open.values():
            for span in filter(None, (held.chat, held.span)):
                span.end(end_time=_nanoseconds(held.before))
        self._open.clear()

    def _begin(self, number_of: int, event: Event) -> _Open:
        span = self._tracer.start_span(
            f"invoke_agent {_AGENT}",
            start_time=_nanoseconds(event.time),
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": _AGENT,
                "gen_ai.provider.name": self._provider,
                "gen_ai.request.model": self._model,
                "dux.decision": number_of,
                "dux.step": event.step,
            },
        )
        self._made[number_of] = span.get_span_context()
        return _Open(span, event.time)

    def _child(self, held: _Open, name: str, start: float, **options: Any) -> Span:
        return self._tracer.start_span(
            name,
            context=self._otel.set_span_in_context(held.span),
            start_time=_nanoseconds(start),
            **options,
        )

    def _ask(self, held: _Open, event: Event) -> None:
        if held.chat is not None:
            held.chat.end(end_time=_nanoseconds(event.time))
        held.chat = self._child(
            held,
            f"chat {self._model}",
            event.time,
            kind=self._otel.SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": self._provider,
                "gen_ai.request.model": self._model,
            },
        )
        if self._content:
            told = [
                _message(text(each.get("role")), text(each.get("content")))
                for each in map(mapping, items(event.data.get("messages")))
            ]
            held.chat.set_attribute("gen_ai.input.messages", json.dumps(told))

    def _answered(self, held: _Open, event: Event) -> None:
        span, held.chat = held.chat, None
        if span is None:
            return
        if event.kind == "error":
            self._fail(span, text(event.data.get("error")) or "error", event)
        else:
            _tell_tokens(span, event)
            if self._content:
                told = [_message("assistant", text(event.data.get("content")))]
                span.set_attribute("gen_ai.output.messages", json.dumps(told))
        span.end(end_time=_nanoseconds(event.time))

    def _stage(self, held: _Open, event: Event) -> None:
        data = event.data
        span = self._child(held, event.kind, held.before)
        span.set_attribute("dux.digest", text(data.get("digest")))
        if event.kind == "apply":
            span.set_attribute("dux.verdict", text(data.get("verdict")))
        elif isinstance(data.get("ok"), bool):
            span.set_attribute("dux.ok", data["ok"])
        found = [mapping(each) for each in items(data.get("findings"))]
        if found:
            span.set_attribute(
                "dux.findings", [text(each.get("rule")) for each in found]
            )
        if found and self._content:
            told = [text(each.get("message")) for each in found]
            span.set_attribute("dux.findings.messages", told)
        for name in ("losses", "incumbent_losses"):
            losses = items(data.get(name))
            last = number(losses[-1]) if losses else None
            if last is not None:
                span.set_attribute(f"dux.{name}.last", last)
        span.end(end_time=_nanoseconds(event.time))

    def _end(self, number_of: int, held: _Open, event: Event) -> None:
        data = event.data
        verdict = text(data.get("verdict"))
        if held.chat is not None:
            held.chat.end(end_time=_nanoseconds(event.time))
        held.span.set_attribute("dux.verdict", verdict)
        held.span.set_attribute("dux.digest", text(data.get("digest")))
        _tell_tokens(held.span, event)
        if self._content:
            held.span.set_attribute("dux.reason", text(data.get("reason")))
        if verdict == "failed":
            self._fail(held.span, "failed", event)
        held.span.end(end_time=_nanoseconds(event.time))
        del self._open[number_of]

    def _rollback(self, number_of: int | None, event: Event) -> None:
        """A span of its own, linked to the decision that it undoes, if to any."""
        attributes = {"dux.step": event.step}
        context = None
        if type(number_of) is int:
            attributes["dux.decision"] = number_of
            context = self._made.get(number_of)
        links = [] if context is None else [self._otel.Link(context)]
        span = self._tracer.start_span(
            "rollback",
            start_time=_nanoseconds(event.time),
            links=links,
            attributes=attributes,
        )
        if self._content:
            span.set_attribute("dux.reason", text(event.data.get("reason")))
        span.end(end_time=_nanoseconds(event.time))

    def _fail(self, span: Span, kind: str, event: Event) -> None:
        span.set_attribute("error.type", kind)
        told = text(event.data.get("message")) if self._content else None
        span.set_status(self._otel.Status(self._otel.StatusCode.ERROR, told))


def _tell_tokens(span: Span, event: Event) -> None:
    """A reply's usage is that of its call, an apply's that of the whole decision."""
    usage = mapping(event.data.get("usage"))
    for name in ("input_tokens", "output_tokens"):
        total = count(usage.get(name))
        if total is not None:
            span.set_attribute(f"gen_ai.usage.{name}", total)


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
