"""The JSON Schema of a trace, made of the classes of its events.

python -m dux_agent.run_folder.trace_schema     writes `trace_schema.json` anew
"""

import json
from pathlib import Path
from typing import Any, get_args

from dux_agent.run_folder.events import BODY, Body, LossEvent, RollbackEvent, TrialEvent
from dux_graphs.events import ErrorEvent

FILE = Path(__file__).with_name("trace_schema.json")

_OF_NO_DECISION = (RollbackEvent, LossEvent, TrialEvent, ErrorEvent)
_HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:dux-agent:trace:1",
    "title": "One line of the trace.jsonl of a dux-agent run folder, format 1",
    "description": "docs/traces.md explains it. A number may be one of the strings "
    "NaN, Infinity, -Infinity. Writers may add further entries to data; readers pass "
    "over what they do not know.",
}


def schema() -> dict[str, Any]:
    """The JSON Schema of one line of a trace, as `docs/traces.md` explains it.

    >>> schema()["$id"]
    'urn:dux-agent:trace:1'
    """
    parts = _plain(BODY.json_schema())["$defs"]
    lines = []
    for body in get_args(Body):
        data = parts[body.__name__]
        data["required"] = list(body.always)
        kind = data["properties"].pop("kind")
        decision: dict[str, Any] = {"type": "integer", "minimum": 1}
        if body in _OF_NO_DECISION:
            decision = {"anyOf": [decision, {"type": "null"}]}
        lines.append(
            {
                "properties": {
                    "kind": kind,
                    "decision": decision,
                    "data": {"$ref": f"#/$defs/{body.__name__}"},
                }
            }
        )
    moment = {"description": "seconds since 1970-01-01 UTC", "type": "number"}
    step = {"description": "steps of the live optimizer so far", "type": "integer"}
    own = {"decision": {"description": "number of the decision it belongs to, from 1"}}
    own |= {"kind": {}, "data": {"type": "object"}}
    return _HEAD | {
        "type": "object",
        "required": ["time", "step", "decision", "kind", "data"],
        "additionalProperties": False,
        "properties": {"time": moment, "step": step | {"minimum": 0}} | own,
        "oneOf": lines,
        "$defs": parts,
    }


def _plain(part: Any) -> Any:
    """Without the titles that pydantic makes of names, and without defaults.

    What a reader takes a missing entry for is nothing that a writer may rely on.
    """
    if isinstance(part, list):
        return [_plain(each) for each in part]
    if not isinstance(part, dict):
        return part
    told = {key: each for key, each in part.items() if key not in ("title", "default")}
    if "description" in told and isinstance(told["description"], str):
        told["description"] = told["description"].partition("\n\nAttributes:")[0]
    return {key: _plain(each) for key, each in told.items()}


def as_text() -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
