"""Every kind of event that a trace holds, read back by its class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter

from dux_graphs.events import (
    ApplyEvent,
    Count,
    Digest,
    DryRunEvent,
    ErrorEvent,
    EventBody,
    Named,
    Number,
    ObservationEvent,
    PromptEvent,
    ReplyEvent,
    StaticCheckEvent,
    Text,
)

Scope = Literal["epoch", "control"]


@dataclass(frozen=True, kw_only=True)
class RollbackEvent(EventBody):
    """The rule of a decision did harm later, and everything was put back.

    Without a decision the base optimizer did, in a run without a language model.

    Attributes:
        number: without a decision, which rollback it is, from 1.
        steps: without a decision, how many steps of training were undone.
        factor: without a decision, what the rates are times from then on.
    """

    always = ("digest", "reason")
    kind: Literal["rollback"] = "rollback"
    digest: Digest | None = None
    reason: Text = ""
    number: Count | None = None
    steps: Count | None = None
    factor: Number | None = None


@dataclass(frozen=True, kw_only=True)
class LossEvent(EventBody):
    """The loss of one step; with a scope, the means of a whole epoch.

    Attributes:
        seconds: wall time of the steps of the epoch.
    """

    __pydantic_config__ = ConfigDict(
        json_schema_extra={"dependentRequired": {"scope": ["epoch", "val", "test"]}}
    )
    always = ("loss",)
    kind: Literal["loss"] = "loss"
    loss: Number | None = None
    scope: Scope | None = None
    epoch: Annotated[Count, Field(ge=1)] | None = None
    val: Number | None = None
    test: Number | None = None
    seconds: Number | None = None


@dataclass(frozen=True, kw_only=True)
class TrialEvent(EventBody):
    """One evaluation of a study; with a scope, of the random search beside it.

    Attributes:
        config: name of a hyperparameter to its value.
        value: as the model was shown it; None where it failed.
        measured: before noise was put on it.
        report: what else the objective gave; never shown to the model.
        by: who proposed it.
        error: why it failed.
        proposed: the JSON object of the reply, where it was written otherwise.
    """

    always = (
        *("number", "config", "value", "measured", "report", "state"),
        *("by", "why", "error", "seconds", "proposed"),
    )
    kind: Literal["trial"] = "trial"
    scope: Literal["control"] | None = None
    number: Annotated[Count, Field(ge=1)] = 1
    config: Named = field(default_factory=dict)
    value: Number | None = None
    measured: Number | None = None
    report: JsonValue = None
    state: Literal["done", "failed"] = "done"
    by: Text = ""
    why: Text = ""
    error: Text = ""
    seconds: Number = 0.0
    proposed: Named | None = None


Body = (
    ObservationEvent
    | PromptEvent
    | ReplyEvent
    | StaticCheckEvent
    | DryRunEvent
    | ApplyEvent
    | RollbackEvent
    | LossEvent
    | TrialEvent
    | ErrorEvent
)
KINDS: tuple[str, ...] = tuple(body.kind for body in get_args(Body))
BODY: TypeAdapter[Body] = TypeAdapter(Annotated[Body, Field(discriminator="kind")])


def body_of(kind: str, data: Mapping[str, Any]) -> Body:
    """The data of an event as the class of its kind.

    Raises:
        ValidationError: they are not what that kind holds, or there is no such kind.
    """
    return BODY.validate_python({**data, "kind": kind})
