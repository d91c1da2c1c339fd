"""A run as OpenTelemetry spans, with the attributes of the GenAI conventions.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ (`gen_ai.*`, in development);
what it has no name for is called `dux.*`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dux_agent.errors import MissingExtra
from dux_agent.run_folder.events import RollbackEvent
from dux_agent.run_folder.trace import Event
from dux_graphs.events import (
    ApplyEvent,
    DryRunEvent,
    ErrorEvent,
    PromptEvent,
    ReplyEvent,
    StaticCheckEvent,
)

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

_AGENT = "dux"


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
        if isinstance(event.body, RollbackEvent):
            self._rollback(event, event.body)
            return
        if number_of is None:
            return
        opened = self._open.get(number_of)
        if opened is None:
            if event.kind == "error":
                return  # the echo of a decision that has failed
            opened = self._open[number_of] = self._begin(number_of, event)
        body = event.body
        if isinstance(body, PromptEvent):
            self._ask(opened, event.time, body)
        elif isinstance(body, ReplyEvent | ErrorEvent):
            self._answered(opened, event.time, body)
        elif isinstance(body, StaticCheckEvent | DryRunEvent | ApplyEvent):
            self._stage(opened, event.time, body)
        opened.before = event.time
        if isinstance(body, ApplyEvent):
            self._end(opened, event.time, body)
            del self._open[number_of]

    def close(self) -> None:
        """End the spans of decisions that have no verdict."""
        for opened in self._open.values():
            for span in filter(None, (opened.chat, opened.span)):
                span.end(end_time=_nanoseconds(opened.before))
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

    def _child(self, opened: _Open, name: str, start: float, **options: Any) -> Span:
        return self._tracer.start_span(
            name,
            context=self._otel.set_span_in_context(opened.span),
            start_time=_nanoseconds(start),
            **options,
        )

    def _ask(self, opened: _Open, moment: float, body: PromptEvent) -> None:
        if opened.chat is not None:
            opened.chat.end(end_time=_nanoseconds(moment))
        opened.chat = self._child(
            opened,
            f"chat {self._model}",
            moment,
            kind=self._otel.SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": self._provider,
                "gen_ai.request.model": self._model,
            },
        )
        if self._content:
            messages = [_message(each.role, each.content) for each in body.messages]
            opened.chat.set_attribute("gen_ai.input.messages", json.dumps(messages))

    def _answered(
        self, opened: _Open, moment: float, body: ReplyEvent | ErrorEvent
    ) -> None:
        span, opened.chat = opened.chat, None
        if span is None:
            return
        if isinstance(body, ErrorEvent):
            self._fail(span, body.error or "error", body.message)
        else:
            _tell_tokens(span, body.usage)
            if self._content:
                messages = [_message("assistant", body.content)]
                span.set_attribute("gen_ai.output.messages", json.dumps(messages))
        span.end(end_time=_nanoseconds(moment))

    def _stage(
        self,
        opened: _Open,
        moment: float,
        body: StaticCheckEvent | DryRunEvent | ApplyEvent,
    ) -> None:
        span = self._child(opened, body.kind, opened.before)
        span.set_attribute("dux.digest", body.digest or "")
        if isinstance(body, ApplyEvent):
            span.set_attribute("dux.verdict", body.verdict)
        else:
            self._judged(span, body)
        if isinstance(body, DryRunEvent):
            for name in ("losses", "incumbent_losses"):
                for last in getattr(body, name)[-1:]:
                    span.set_attribute(f"dux.{name}.last", last)
        span.end(end_time=_nanoseconds(moment))

    def _judged(self, span: Span, body: StaticCheckEvent | DryRunEvent) -> None:
        if body.ok is not None:
            span.set_attribute("dux.ok", body.ok)
        if body.findings:
            span.set_attribute("dux.findings", [each.rule for each in body.findings])
        if body.findings and self._content:
            messages = [each.message for each in body.findings]
            span.set_attribute("dux.findings.messages", messages)

    def _end(self, opened: _Open, moment: float, body: ApplyEvent) -> None:
        if opened.chat is not None:
            opened.chat.end(end_time=_nanoseconds(moment))
        opened.span.set_attribute("dux.verdict", body.verdict)
        opened.span.set_attribute("dux.digest", body.digest or "")
        _tell_tokens(opened.span, body.usage)
        if self._content:
            opened.span.set_attribute("dux.reason", body.reason)
        if body.verdict == "failed":
            self._fail(opened.span, "failed", None)
        opened.span.end(end_time=_nanoseconds(moment))

    def _rollback(self, event: Event, body: RollbackEvent) -> None:
        """A span of its own, linked to the decision that it undoes, if to any."""
        attributes = {"dux.step": event.step}
        context = None
        if event.decision is not None:
            attributes["dux.decision"] = event.decision
            context = self._made.get(event.decision)
        links = [] if context is None else [self._otel.Link(context)]
        span = self._tracer.start_span(
            "rollback",
            start_time=_nanoseconds(event.time),
            links=links,
            attributes=attributes,
        )
        if self._content:
            span.set_attribute("dux.reason", body.reason)
        span.end(end_time=_nanoseconds(event.time))

    def _fail(self, span: Span, kind: str, message: str | None) -> None:
        span.set_attribute("error.type", kind)
        message = (message or "") if self._content else None
        span.set_status(self._otel.Status(self._otel.StatusCode.ERROR, message))


def _tell_tokens(span: Span, usage: Mapping[str, float]) -> None:
    """A reply's usage is that of its call, an apply's that of the whole decision."""
    for name in ("input_tokens", "output_tokens"):
        if name in usage:
            span.set_attribute(f"gen_ai.usage.{name}", usage[name])


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
