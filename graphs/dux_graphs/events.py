"""What happens in a decision, one frozen class for each kind of event.

An event that was read back may be anybody's: each entry is checked by its type, and one
that is missing has the value that says so. `always` names the entries of a kind that we
always write.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, Strict, WithJsonSchema

from dux_sandbox.findings import Finding


def number_in(value: Any) -> float:
    """A number as JSON holds it: "NaN", "Infinity", "-Infinity" are some, too.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


_COUNT = {"type": "integer", "minimum": 0}
_DIGEST = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}

Number = Annotated[
    float,
    BeforeValidator(number_in),
    WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
    ),
]
Count = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Text = Annotated[str, Strict()]
Claim = Annotated[bool, Strict()]
Named = dict[Text, Any]
Digest = Annotated[
    Text,
    WithJsonSchema(
        _DIGEST
        | {"description": "SHA-256 of a source, the stem of its file in sources/"}
    ),
]
PromptDigest = Annotated[
    Text, WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{64}$"})
]
Numbers = tuple[Number, ...]
Pairs = Annotated[
    tuple[tuple[Number, Number], ...], Field(description="[step, loss] each")
]


@dataclass(frozen=True, kw_only=True)
class EventBody:
    """What belongs to one event beside its time, step and decision."""

    always: ClassVar[tuple[str, ...]] = ()
    kind: str

    def entries(self) -> dict[str, Any]:
        """As the trace holds it; entries that say nothing are left out."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name in self.always or (name != "kind" and value not in (None, ()))
        }


@dataclass(frozen=True)
class Message:
    """One message of a chat."""

    role: Annotated[Text, WithJsonSchema({"enum": ["system", "user", "assistant"]})] = (
        "?"
    )
    content: Text = ""


Money = Annotated[float, Strict(), Field(ge=0, lt=1e12)]  # dollars
_USAGE = ("calls", "input_tokens", "output_tokens", "total_tokens")
Usage = Annotated[
    dict[Text, Count | Money],
    WithJsonSchema(
        {
            "description": "calls of the model, the tokens and the dollars they cost; "
            "seconds where a search of several models counts them",
            "type": "object",
            "properties": dict.fromkeys(_USAGE, _COUNT)
            | dict.fromkeys(("money", "seconds"), {"type": "number", "minimum": 0}),
            "additionalProperties": _COUNT,
        }
    ),
]


@dataclass(frozen=True, kw_only=True)
class ObservationEvent(EventBody):
    """What training looked like: `dux_prompts.observation.Observation`.

    Attributes:
        source: of the live rule; None while the base optimizer is live; "" in an event
            that does not tell it.
    """

    always = (
        *("model", "base_optimizer", "step", "interval", "decision"),
        *("losses", "source"),
    )
    kind: Literal["observation"] = "observation"
    model: Named = field(default_factory=dict)
    base_optimizer: Named = field(default_factory=dict)
    step: Count = 0
    interval: Count = 0
    decision: Annotated[Count, Field(ge=1)] = 1
    loss_name: Text | None = None
    task: Text | None = None
    total_steps: Count | None = None
    decisions_left: Count | None = None
    losses: Pairs = ()
    loss_fifths: Numbers = ()
    gradient_norm: Number | None = None
    gradient_norm_fifths: Numbers = ()
    gradient_clip: Number | None = None
    validation_losses: Pairs = ()
    validation_error: Number | None = None
    evaluated_loss: Number | None = None
    learning_rates: tuple[Any, ...] = ()
    groups: tuple[Named, ...] = ()
    schedule: Named | None = None
    closures: Claim | None = None
    kinds: tuple[Text, ...] = ()
    accumulated: Count = 1
    source: Annotated[
        Text | None,
        Field(description="of the live rule; null while the base optimizer is live"),
    ] = ""
    history: tuple[Named, ...] = ()
    last: Annotated[
        Named | None, Field(description="what became of the last proposal")
    ] = None
    experience: Annotated[
        tuple[Named, ...], Field(description="shown of other trainings")
    ] = ()

    def entries(self) -> dict[str, Any]:
        """All of them, as `Observation.as_dict` gives them."""
        return {name: value for name, value in asdict(self).items() if name != "kind"}


@dataclass(frozen=True, kw_only=True)
class PromptEvent(EventBody):
    """What the model was asked.

    In the file it lacks the first `same` messages, which are those of the prompt before
    and the reply to it.
    """

    always = ("messages", "same", "digest")
    kind: Literal["prompt"] = "prompt"
    messages: tuple[Message, ...] = ()
    same: Count = 0
    digest: Annotated[
        PromptDigest,
        Field(description="SHA-256 of the JSON text of [[role, content], ...]"),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class ReplyEvent(EventBody):
    """What the model answered."""

    always = ("content", "prompt", "usage")
    kind: Literal["reply"] = "reply"
    content: Text = ""
    prompt: Annotated[PromptDigest, Field(description="digest of the prompt")] = ""
    usage: Usage = field(default_factory=dict)
    model: Annotated[
        Text | None, Field(description="what its server calls the model")
    ] = None


@dataclass(frozen=True, kw_only=True)
class StaticCheckEvent(EventBody):
    """Whether the source of a reply may run.

    Also of a reply without one, and of a source refused before in the decision.

    Attributes:
        number: of the try and of the proposal in it.
        model, parents, usage: who was asked for it, where several may be; digests that
            it was to be made of; what that call cost.
    """

    always = ("digest", "ok", "findings")
    kind: Literal["static_check"] = "static_check"
    digest: Digest = ""
    ok: Claim | None = None
    findings: tuple[Finding, ...] = ()
    number: tuple[Count, ...] = ()
    model: Text | None = None
    parents: tuple[Digest, ...] = ()
    usage: Usage | None = None


@dataclass(frozen=True, kw_only=True)
class DryRunEvent(EventBody):
    """How a source did on a copy of the model, beside the incumbent.

    Attributes:
        number: as of a static check.
        steps: of a dry run that was not a whole one.
    """

    always = ("digest", "ok", "losses", "incumbent_losses", "seconds", "findings")
    kind: Literal["dry_run"] = "dry_run"
    digest: Digest = ""
    ok: Claim | None = None
    losses: Numbers = ()
    incumbent_losses: Numbers = ()
    seconds: Number | None = None
    step_seconds: Number | None = None
    peak_bytes: Count | None = None
    findings: tuple[Finding, ...] = ()
    number: tuple[Count, ...] = ()
    steps: Count | None = None


@dataclass(frozen=True)
class CarriedOver:
    """What a rule took over of its predecessor's state, and what not.

    Attributes:
        carried, dropped: by name of the state's entry, for how many parameters.
    """

    carried: dict[Text, Count] = field(default_factory=dict)
    dropped: dict[Text, Count] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ApplyEvent(EventBody):
    """What a decision came to; the last of its kind counts.

    Attributes:
        models: where each proposal is asked of one of several, how each had done before
            this decision: `{"asked", "wins", "cost", "odds"}` by name.
        dry_runs_at: of a decision in the background, the step at which each of its dry
            runs began.
        mode: where a rule that was to be recorded runs: "recorded" or "isolated".
        unrecorded: why it is not recorded.
        by_itself: steps of the rule, from the swap on, that move weights without a
            gradient: average them, put them back, rescale.
    """

    always = ("digest", "verdict", "reason", "seconds", "usage")
    kind: Literal["apply"] = "apply"
    digest: Digest | None = None
    verdict: Literal["", "applied", "kept", "failed", "rolled_back"] = ""
    reason: Text = ""
    seconds: Annotated[Number | None, Field(description="of the whole decision")] = None
    usage: Usage = field(default_factory=dict)
    carry: CarriedOver | None = None
    learning_rates_before: Annotated[Numbers, Field(description="of each group")] = ()
    learning_rates: Numbers = ()
    rows_not_watched: Text | None = None
    models: Named | None = None
    dry_runs_at: tuple[int, ...] = ()
    mode: Text | None = None
    unrecorded: Text | None = None
    by_itself: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ErrorEvent(EventBody):
    """Trouble, mended or not.

    Attributes:
        error: the name of the exception, or "failed", "contradiction" and the like.
        prompt: digest of the prompt whose call it was.
        digest: of the source that it is about.
        mode: where a rule runs that could not be recorded any more.
    """

    always = ("error", "message")
    kind: Literal["error"] = "error"
    error: Text = ""
    message: Text = ""
    prompt: PromptDigest | None = None
    digest: Digest | None = None
    mode: Text | None = None
