"""One decision on a task, made by a LangGraph server and asked for through its SDK.

    pip install 'langgraph-cli[inmem]'
    langgraph dev --no-browser          # in the folder that holds langgraph.json
    python examples/langgraph_client.py http://127.0.0.1:2024

The task, the steps and the chat model are named in JSON; the training is the server's.
"""

from __future__ import annotations

import sys
from typing import Any

from langgraph_sdk import get_sync_client

CONTEXT = {"task": "digits", "seed": 0, "steps": 30, "lm": "offline"}


def main(address: str = "http://127.0.0.1:2024") -> dict[str, Any]:
    """One decision; prints its verdict and the losses of every proposal."""
    client = get_sync_client(url=address)
    out: Any = client.runs.wait(None, "task", input={}, context=CONTEXT)
    if "verdict" not in out:
        raise SystemExit(f"the server made no decision: {out}")
    print(f"verdict: {out['verdict']} ({out['reason']})")
    for attempt in out["attempts"]:
        losses = attempt["losses"] or ["-"]
        print(f"  {attempt['stage']}: losses {losses[0]} -> {losses[-1]}")
    return dict(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
