"""Writes the prompts: Markdown templates rendered with an observation's figures.

A user's folder may hold a file of the same name as any template here; it is then
used in its place and gets the same names.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import jinja2

from dux_prompts.experience import experience_section
from dux_prompts.figures import FILTERS
from dux_prompts.may_use import MAY, MAY_NOT
from dux_prompts.observation import Observation
from dux_prompts.quoting import quotes_for
from dux_prompts.reply import cleaned
from dux_sandbox.language.vocabulary import ALLOWED

HOME = Path(__file__).parent / "templates"
NAMES = ("system.md", "update.md", "repair.md", "another.md", "earlier.md")

# A prompt stays readable and affordable however large the model and long the run.
MOST_LAYERS = 60
MOST_GROUPS = 8
MOST_LOSSES = 40
MOST_VALIDATION_LOSSES = 30
MOST_HISTORY = 30
MOST_FINDINGS = 12
TASK_CHARACTERS = 2000

_VERDICTS = {
    "applied": "applied: it is the live optimizer now",
    "rolled_back": (
        "rolled back: it went live, did harm, and everything was put back as it was"
    ),
    "left": (
        "rolled back: it went live, did harm, and the optimizer before it goes on from"
        " the weights that it left"
    ),
    "kept": "refused: the live optimizer was kept",
    "failed": "not written: the language model could not be reached",
}
_STAGES = {
    "reply": "reader of replies",
    "static_check": "static check",
    "dry_run": "dry run",
    "apply": "trainer",
}


# What an entry of the history may lack.
_ROW: dict[str, Any] = {
    "decision": None,
    "step": None,
    "verdict": "",
    "loss_fifths": [],
    "validation_loss": None,
    "summary": "",
    "source": None,
    "score": None,
}


# What the prompt of a decision shows as it was observed.
_AS_OBSERVED = (
    *("step", "total_steps", "steps_left", "steps_to_next_decision", "interval"),
    *("decision", "decisions_left", "loss_fifths", "gradient_norm", "gradient_clip"),
    *("gradient_norm_fifths", "validation_error", "evaluated_loss", "source"),
)

Vocabulary = Literal["short", "full"]
"""How a prompt says what a source may use: in sentences, or name by name."""

Reasoning = Literal["first", "none"]
"""Whether a reply begins with reasons, or is the code alone."""


class BriefError(ValueError):
    """The prompts cannot be written: a folder or a template is wrong."""


def render_system(
    observation: Observation,
    *,
    folder: str | Path | None = None,
    vocabulary: Vocabulary = "short",
    reasoning: Reasoning = "first",
) -> str:
    """The system prompt: the model, the base optimizer and the contract of a rule.

    Args:
        folder: where templates of the user's own are, if any.
        vocabulary: "short": what a source may use in some sentences; "full": every name
            of the sandbox's own table, some 12,000 characters.
        reasoning: "first": reasons in comments, and then the code; "none": the code
            alone.

    Raises:
        BriefError: the folder or one of its templates cannot be used.
    """
    layers = [
        {"name": "", "kind": "", "detail": "", "parameters": {}, "count": 1} | layer
        for layer in observation.model.get("layers", [])
    ]
    task = observation.task
    unknown = {"tensors": None, "parameters": None, "rate": 1.0, "decay": 1.0}
    groups = [unknown | group for group in observation.groups]
    return _render(
        "system.md",
        folder,
        model={"kind": "a network", "parameters": None} | observation.model,
        layers=layers[:MOST_LAYERS],
        layers_left_out=max(0, len(layers) - MOST_LAYERS),
        base_optimizer=_base_optimizer(observation),
        groups=groups[:MOST_GROUPS],
        groups_left_out=max(0, len(groups) - MOST_GROUPS),
        split_decay=len({group["decay"] for group in groups}) > 1,
        loss_name=observation.loss_name,
        task=None if task is None else task[:TASK_CHARACTERS],
        closures=observation.closures,
        kinds=observation.kinds,
        accumulated=observation.accumulated,
        reasoning=reasoning == "first",
        may=[sentence.says for sentence in MAY] if vocabulary == "short" else [],
        may_not=MAY_NOT,
        allowed=list(ALLOWED.items()),
    )


def render_update(
    observation: Observation,
    *,
    folder: str | Path | None = None,
    reasoning: Reasoning = "first",
    zoo: bool = False,
) -> str:
    """The prompt of one decision: how training goes, and the live source.

    Args:
        folder: where templates of the user's own are, if any.
        reasoning: as for `render_system`.
        zoo: quote sources of the zoo that fit, see `dux_prompts.quoting`.

    Raises:
        BriefError: the folder or one of its templates cannot be used.
    """
    history = [_ROW | entry for entry in observation.history]
    last = observation.last
    if last is not None:
        last = {"verdict": "", "reason": "", "findings": []} | last
        last["findings"] = list(last["findings"] or ())[:MOST_FINDINGS]
    return _render(
        "update.md",
        folder,
        **{name: getattr(observation, name) for name in _AS_OBSERVED},
        losses=observation.losses[:MOST_LOSSES],
        validation_losses=observation.validation_losses[-MOST_VALIDATION_LOSSES:],
        learning_rates=observation.learning_rates[:MOST_GROUPS],
        schedule=_schedule(observation),
        history=history[-MOST_HISTORY:],
        history_left_out=max(0, len(history) - MOST_HISTORY),
        experience=experience_section(observation.experience),
        last=last,
        verdicts=_VERDICTS,
        reasoning=reasoning == "first",
        base_optimizer=_base_optimizer(observation),
        quotes=quotes_for(observation) if zoo else [],
    )


def render_repair(
    attempts: Sequence[Mapping[str, Any]],
    *,
    tries_left: int,
    folder: str | Path | None = None,
) -> str:
    """The prompt after a refusal: what was found, and the demand for a whole class.

    Args:
        attempts: what became of each proposal of the last try: `{"stage",
            "findings": [...], "losses": [...], "incumbent_losses": [...]}`.
        tries_left: tries that remain, the coming one included.

    Raises:
        BriefError: the folder or one of its templates cannot be used.
    """
    shown = []
    for attempt in attempts:
        findings = list(attempt.get("findings") or ())
        told = {"stage": attempt.get("stage", ""), "findings": findings[:MOST_FINDINGS]}
        told["findings_left_out"] = max(0, len(findings) - MOST_FINDINGS)
        for losses in ("losses", "incumbent_losses"):
            told[losses] = list(attempt.get(losses) or ())[:MOST_LOSSES]
        shown.append(told)
    return _render(
        "repair.md", folder, attempts=shown, tries_left=tries_left, stages=_STAGES
    )


def render_another(
    number: int, candidates: int, *, folder: str | Path | None = None
) -> str:
    """The prompt for one more proposal of the same try, when several compete.

    Raises:
        BriefError: the folder or one of its templates cannot be used.
    """
    return _render("another.md", folder, number=number, candidates=candidates)


def render_earlier(
    rows: Sequence[Mapping[str, Any]], *, count: int, folder: str | Path | None = None
) -> str:
    """What stands in place of decisions whose chat is left out of a prompt.

    Args:
        rows: one a decision, oldest first, as in `Observation.history`; the newest
            are shown.
        count: how many decisions are left out, those without a row included.

    Raises:
        BriefError: the folder or one of its templates cannot be used.
    """
    shown = [_ROW | dict(row) for row in rows][-MOST_HISTORY:]
    return _render(
        "earlier.md",
        folder,
        count=count,
        history=shown,
        history_left_out=max(0, count - len(shown)),
    )


def _schedule(observation: Observation) -> dict[str, Any] | None:
    """The schedule, with the factor that it will put on a rule's rate, if known."""
    if observation.schedule is None:
        return None
    unknown: dict[str, Any] = {"names": [], "owner": "proposal", "now": []}
    unknown |= {"ahead": None, "initial": None}
    schedule = unknown | observation.schedule
    now, ahead = list(schedule["now"]), list(schedule["ahead"] or ())
    known = bool(ahead) and len(now) == len(ahead) and max(now) > 0
    schedule["factor"] = max(ahead) / max(now) if known else None
    schedule["standing"] = bool(now) and max(now) == 0
    return schedule


def _base_optimizer(observation: Observation) -> dict[str, Any]:
    base = {"name": "an optimizer", "groups": []} | observation.base_optimizer
    base["groups"] = list(base["groups"])[:MOST_GROUPS]
    return base


@lru_cache(maxsize=8)
def _environment(folder: Path | None, home: Path) -> jinja2.Environment:
    loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(home)]
    if folder is not None:
        loaders.insert(0, jinja2.FileSystemLoader(folder))
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Prompts are Markdown for a language model, not HTML.
        autoescape=False,
    )
    environment.filters.update(FILTERS)
    return environment


def check_folder(folder: str | Path, names: Sequence[str] = NAMES) -> Path:
    """The folder of a user's templates as a path.

    Args:
        names: what the templates are called that it may override.

    Raises:
        BriefError: it is no folder, or a Markdown file in it overrides nothing.
    """
    path = Path(folder)
    if not path.is_dir():
        raise BriefError(
            f"prompts folder {str(path)!r} is not a folder; pass one that holds any of"
            f" {', '.join(names)}"
        )
    unknown = sorted({entry.name for entry in path.glob("*.md")} - {*names})
    if unknown:
        raise BriefError(
            f"prompts folder {str(path)!r} holds {unknown[0]!r}, which overrides"
            f" nothing; the templates are called {', '.join(names)}"
        )
    if not any((path / name).is_file() for name in names):
        raise BriefError(
            f"prompts folder {str(path)!r} holds no template; put at least one of"
            f" {', '.join(names)} there"
        )
    return path


def _render(name: str, folder: str | Path | None, **names: Any) -> str:
    own = None if folder is None else check_folder(folder)
    return render_template(name, own, HOME, names)


def render_template(
    name: str, folder: Path | None, home: Path, names: Mapping[str, Any]
) -> str:
    """A template of `folder`, where it holds one of this name, else of `home`.

    Args:
        names: what the template may use.

    Raises:
        BriefError: the template is wrong.
    """
    environment = _environment(folder, home)
    try:
        text = environment.get_template(name).render(names)
    except jinja2.TemplateSyntaxError as error:
        raise BriefError(
            f"template {error.filename or name}, line {error.lineno}: {error.message}"
        ) from error
    except jinja2.UndefinedError as error:
        raise BriefError(
            f"template {name}: {error.message}; the names it may use are"
            f" {', '.join(sorted(names))}"
        ) from error
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise BriefError(f"template {name}: {error}") from error
    return cleaned(text).strip() + "\n"
