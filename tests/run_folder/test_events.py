"""Each kind of event has a class, and what is read back is held to it."""

import dataclasses
import json
import math
from typing import get_args

import pytest

from dux_agent.run_folder import trace
from dux_agent.run_folder.events import BODY, Body, LossEvent, RollbackEvent, TrialEvent
from dux_agent.run_folder.trace import Event
from dux_agent.run_folder.trace_schema import FILE, as_text
from dux_graphs.events import (
    ApplyEvent,
    CarriedOver,
    DryRunEvent,
    ErrorEvent,
    Message,
    ObservationEvent,
    PromptEvent,
    ReplyEvent,
    StaticCheckEvent,
)
from dux_prompts.observation import Observation
from dux_sandbox.findings import DryRunReport, Finding

FOUND = Finding("harm", 3, "the loss rose", "smaller steps")
USAGE = {"calls": 1, "total_tokens": 1200}
BODIES = [
    ObservationEvent(model={"kind": "MLP"}, step=7, losses=((1.0, 0.5),), source="x"),
    PromptEvent(messages=(Message("user", "?"),), same=0, digest="0" * 64),
    ReplyEvent(content="!", prompt="0" * 64, usage=USAGE, model="some-model"),
    StaticCheckEvent(digest="0" * 64, ok=False, findings=(FOUND,)),
    DryRunEvent(digest="", ok=True, losses=(1.0, math.inf), seconds=0.5),
    ApplyEvent(digest=None, verdict="kept", reason="why", seconds=1.0, usage=USAGE),
    ApplyEvent(
        digest="0" * 64,
        verdict="applied",
        carry=CarriedOver({"exp_avg": 2}, {"step": 1}),
        learning_rates=(0.01,),
    ),
    RollbackEvent(digest=None, reason="it rose", number=1, steps=9, factor=0.5),
    LossEvent(loss=0.5),
    LossEvent(scope="control", epoch=2, loss=0.5, val=0.4, test=0.6, seconds=1.0),
    TrialEvent(config={"C": 0.5}, value=0.1, measured=0.1, by="lm", seconds=1.0),
    TrialEvent(scope="control", number=3, state="failed", error="ValueError"),
    ErrorEvent(error="failed", message="no answer"),
]


def told(body, decision=1):
    return Event(1.0, 7, decision, body.kind, trace.plain(body.entries()))


def test_there_is_a_class_for_each_kind_and_no_other():
    assert set(trace.KINDS) == {body.kind for body in BODIES}
    assert {body for body in get_args(Body)} == {type(body) for body in BODIES}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.kind)
def test_what_is_told_reads_back_the_same_from_its_line(body):
    assert body == Event.from_line(told(body).line()).body


@pytest.mark.parametrize("kind", trace.KINDS)
def test_an_event_without_entries_is_still_one_of_its_kind(kind):
    assert kind == Event(1.0, 1, 1, kind, {}).body.kind


@pytest.mark.parametrize(
    ("body", "name"),
    [(body, name) for body in BODIES for name in body.entries()],
    ids=lambda each: each if isinstance(each, str) else each.kind,
)
def test_an_entry_of_another_type_is_said_in_three_parts(body, name):
    damaged = dataclasses.replace(told(body), data={**body.entries(), name: b"\x1b"})
    free = isinstance(body, ObservationEvent) and name == "learning_rates"

    assert damaged.body is None or free
    found, wanted, remedy = damaged.fault.split("; ") if not free else ("", "", "")
    assert free or (
        name in found
        and "is b'" in found
        and wanted.endswith("was wanted")
        and "restore the file" == remedy
    )


def test_an_observation_has_the_entries_of_the_class_that_the_prompts_are_made_of():
    ours = {each.name for each in dataclasses.fields(ObservationEvent)} - {"kind"}

    assert ours == {each.name for each in dataclasses.fields(Observation)}


def test_a_report_of_a_dry_run_fits_into_its_event():
    report = DryRunReport(False, (1.0,), (0.9,), 0.1, 5, (FOUND,), 0.2)

    body = BODY.validate_python(report.as_dict() | {"kind": "dry_run", "digest": ""})

    assert ((FOUND,), 0.2) == (body.findings, body.step_seconds)


def test_the_file_of_the_schema_is_made_of_the_classes():
    assert as_text() == FILE.read_text(encoding="utf-8")
    assert json.loads(as_text()) == trace.schema()


@pytest.mark.parametrize("number", [10**400, "NaN", "Infinity", -1, True, [1]])
def test_what_a_call_used_is_a_number_that_can_be_added_up(number):
    event = Event(1.0, 7, 1, "reply", {"content": "!", "usage": {"calls": number}})

    assert event.body is None
    assert "usage.calls" in event.fault
