import importlib.util
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import RetryPolicy

from dux_graphs.decision import Ports, PortsError, build_graph, decide
from dux_graphs.models import ReplyTrouble
from dux_graphs.state import NoMoreCalls
from dux_prompts.observation import ObservationError
from dux_sandbox.findings import CheckReport, DryRunReport, Finding, digest_of
from tests.observations import first

ROOT = Path(__file__).parents[2]
QUICK = RetryPolicy(initial_interval=0.001, max_attempts=4, jitter=False)
FAULT = Finding("name", 1, "it is bad", "write it well")


class Status(Exception):
    """An error of a provider's client, as far as anybody looks at it."""

    def __init__(self, status_code):
        super().__init__(f"status {status_code}, key sk-verysecret123")
        self.status_code = status_code


class Play:
    """Ports that follow a script and count what is asked of them.

    A reply is a source, or an exception to raise. A source with "bad" in it fails the
    static check, one with "slow" the dry run; "loss=N" is its final loss.
    """

    def __init__(self, *replies, **options):
        self.replies = list(replies)
        self.asked = []
        self.checked = []
        self.tried = []
        self.applied = []
        self.answer = None
        self.options = options
        self.busy = threading.Lock()

    def ports(self):
        return Ports(self.write, self.check, self.dry_run, self.apply, **self.options)

    def write(self, messages):
        self.asked.append(messages)
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return f"```python\n{reply}\n```"

    def check(self, source):
        self.checked.append(source)
        ok = "bad" not in source
        return CheckReport(ok, digest_of(source), () if ok else (FAULT,))

    def dry_run(self, source):
        assert self.busy.acquire(blocking=False), "two dry runs at a time"
        self.tried.append(source)
        loss = float(source.split("loss=")[1].split()[0]) if "loss=" in source else 1.0
        self.busy.release()
        ok = "slow" not in source
        return DryRunReport(
            ok, (3.0, loss), (3.0, 2.0), findings=() if ok else (FAULT,)
        )

    def apply(self, source):
        self.applied.append(source)
        return FAULT if "unbuilt" in source else self.answer

    def run(self, observation=None, thread_id="t", graph=None):
        graph = graph or build_graph(retry=QUICK)
        return decide(graph, observation or first(), self.ports(), thread_id)


def test_a_good_proposal_is_applied_after_one_call():
    play = Play("good = 1")

    out = play.run()

    assert "applied" == out["verdict"]
    assert "good = 1\n" == out["source"] == play.applied[0]
    assert digest_of("good = 1\n") == out["digest"]
    assert 1 == len(play.asked) == len(play.checked) == len(play.tried)
    assert ["system", "user"] == [message["role"] for message in play.asked[0]]
    assert ["user", "assistant"] == [message["role"] for message in out["messages"]]


def test_the_final_state_is_plain_data():
    out = Play("bad", "slow", "good").run()

    assert out == json.loads(json.dumps(out))


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
@pytest.mark.parametrize("fault", ["bad", "slow"])
def test_a_faulty_proposal_costs_exactly_max_attempts_calls(attempts, fault):
    replies = [f"{fault} = {n}" for n in range(attempts)]
    play = Play(*replies, max_attempts=attempts)

    out = play.run()

    assert "kept" == out["verdict"]
    assert attempts == len(play.asked) == len(out["attempts"])
    assert out["source"] is None
    assert "[name] it is bad" in out["reason"]
    assert [] == play.applied


def test_findings_go_back_into_the_next_prompt():
    play = Play("bad = 1", "slow = 2", "good = 3")

    out = play.run()

    after_check, after_trial = play.asked[1][-1], play.asked[2][-1]
    assert "applied" == out["verdict"]
    assert "refused by the static check" in after_check["content"]
    assert "line 1: [name] it is bad. Instead: write it well" in after_check["content"]
    assert "refused by the dry run" in after_trial["content"]
    assert 6 == len(play.asked[2])


def test_a_source_refused_once_is_never_checked_or_tried_again():
    play = Play("slow = 1")

    out = play.run()

    assert "kept" == out["verdict"]
    assert 3 == len(play.asked)
    assert 1 == len(play.checked) == len(play.tried)
    rules = [attempt["findings"][0]["rule"] for attempt in out["attempts"]]
    assert ["name", "repeated", "repeated"] == rules
    assert "[repeated]" in play.asked[2][-1]["content"]
    assert "refused in all 3 tries, the last time by [name] it is bad" == out["reason"]


def test_the_reason_is_the_one_of_the_source_that_came_last():
    play, slow = Play(), "```python\nslow = 1\n```"
    replies = iter([slow, "I would rather not.", slow])
    play.write = lambda messages: next(replies)

    out = play.run()

    assert ["name", "repeated"] == [
        out["attempts"][at]["findings"][0]["rule"] for at in (0, 2)
    ]
    assert "the last time by [name] it is bad" in out["reason"]


def test_a_reply_without_a_source_is_a_finding_and_nothing_is_checked():
    play = Play()
    play.write = lambda messages: "I would rather not."

    out = play.run()

    assert "kept" == out["verdict"]
    assert [] == play.checked
    assert {"reply"} == {attempt["stage"] for attempt in out["attempts"]}


@pytest.mark.parametrize(
    ("answer", "verdict", "said"),
    [
        (None, "applied", "passed after 1 try"),
        (True, "applied", "passed after 1 try"),
        (False, "kept", "did not take the source: no reason was given"),
        ("the run is over", "kept", "did not take the source: the run is over"),
    ],
)
def test_the_trainer_has_the_last_word(answer, verdict, said):
    play = Play("good")
    play.answer = answer

    out = play.run()

    assert verdict == out["verdict"]
    assert said in out["reason"]
    assert 1 == len(play.asked)


# --- trouble with the language model


@pytest.mark.parametrize(
    "trouble",
    [
        TimeoutError("60 s"),
        ConnectionError("reset"),
        Status(429),
        Status(500),
        Status(503),
        ReplyTrouble("truncated reply"),
        json.JSONDecodeError("no JSON", "<html>", 0),
    ],
)
def test_trouble_is_retried_and_costs_no_try(trouble):
    play = Play(trouble, trouble, "good", max_attempts=1)

    out = play.run()

    assert "applied" == out["verdict"]
    assert 3 == len(play.asked)
    assert 1 == len(out["attempts"])


def test_trouble_that_lasts_ends_the_decision_when_the_retries_are_spent():
    play = Play(Status(503))

    out = play.run()

    assert "failed" == out["verdict"]
    assert 4 == len(play.asked)
    assert "failed 4 times: server error (503)" in out["reason"]
    assert out["source"] is None
    assert [] == play.applied


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_a_retry_cannot_mend_fails_after_one_call(status):
    play = Play(Status(status))

    out = play.run()

    assert "failed" == out["verdict"]
    assert 1 == len(play.asked)
    assert f"({status})" in out["reason"]


def test_no_key_stands_in_the_reason_of_a_failure():
    out = Play(Status(401)).run()

    assert "verysecret" not in json.dumps(out)
    assert "[redacted]" in out["reason"]


def test_an_empty_reply_is_trouble():
    play = Play()
    calls = []
    play.write = lambda messages: calls.append(messages) or " \n"

    out = play.run()

    assert "failed" == out["verdict"]
    assert 4 == len(calls)
    assert "empty reply" in out["reason"]


def test_the_fallback_is_asked_once_the_retries_are_spent():
    spare = Play("good")
    play = Play(Status(503), fallback=spare.write)

    out = play.run()

    assert "applied" == out["verdict"]
    assert (4, 1) == (len(play.asked), len(spare.asked))


def test_the_fallback_can_fail_too():
    play = Play(Status(503), fallback=Play(Status(404)).write)

    out = play.run()

    assert "failed" == out["verdict"]
    assert "(503)" in out["reason"] and "the fallback: not found (404)" in out["reason"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_the_fallback_is_asked_at_once_where_a_retry_mends_nothing(status):
    spare = Play("good")
    play = Play(Status(status), fallback=spare.write)

    out = play.run()

    assert "applied" == out["verdict"]
    assert (1, 1) == (len(play.asked), len(spare.asked))


def test_fallbacks_are_asked_one_after_the_other_until_one_answers():
    first, second, third = Play(Status(503)), Play("good"), Play("never asked")
    play = Play(Status(401), fallback=[first.write, second.write, third.write])

    out = play.run()

    assert "applied" == out["verdict"]
    assert [1, 1, 1, 0] == [len(p.asked) for p in (play, first, second, third)]


def test_nobody_is_asked_any_more_where_no_more_calls_are_to_be_made():
    spare = Play("good")
    play = Play(NoMoreCalls("the budget is used up"), fallback=spare.write)

    out = play.run()

    assert "failed" == out["verdict"]
    assert (1, 0) == (len(play.asked), len(spare.asked))
    assert "the budget is used up" in out["reason"]


def slow_down(seconds):
    """A rate limit that says how long to wait."""
    error = Status(429)
    error.response = type("Response", (), {"headers": {"retry-after": str(seconds)}})
    return error


def test_a_server_is_given_the_time_that_it_asks_for():
    waited = []
    play = Play(slow_down(20), slow_down(3), "good", wait=waited.append)

    out = play.run()

    assert "applied" == out["verdict"]
    assert [20.0, 3.0] == waited


@pytest.mark.parametrize(
    ("seconds", "left"), [(3600, None), (20, 15.0), (0, 0.0), (0, -1.0)]
)
def test_no_retry_is_waited_for_that_there_is_no_time_for(seconds, left):
    spare, waited = Play("good"), []
    play = Play(
        slow_down(seconds),
        fallback=spare.write,
        wait=waited.append,
        seconds_left=lambda: left,
    )

    out = play.run()

    assert "applied" == out["verdict"]
    assert (1, 1, []) == (len(play.asked), len(spare.asked), waited)


def test_any_error_of_a_client_ends_as_a_verdict():
    out = Play(RuntimeError("the client is confused")).run()

    assert "failed" == out["verdict"]
    assert "RuntimeError: the client is confused" in out["reason"]


def test_a_bug_in_the_dry_run_is_not_taken_for_a_verdict():
    play = Play("loss=none")

    with pytest.raises(ValueError, match="none"):
        play.run()


def test_a_decision_leaves_the_random_numbers_of_training_alone():
    import random

    from dux_graphs.decision import RETRY

    random.seed(3)
    before = random.getstate()
    Play(Status(503), "good").run()

    assert before == random.getstate()
    assert RETRY.jitter is False


# --- several candidates


def test_of_several_candidates_the_one_with_the_lowest_final_loss_is_applied():
    play = Play("loss=0.9 ", "loss=0.3 ", "loss=0.5 ", candidates=3)

    out = play.run()

    assert ["loss=0.3\n"] == play.applied
    assert 3 == len(play.asked) == len(play.tried) == len(out["attempts"])
    assert "Now proposal 3 of 3" in play.asked[2][-1]["content"]


def test_faulty_candidates_do_not_hold_up_the_good_one():
    play = Play("bad = 1", "slow = 2", "loss=0.5 ", candidates=3)

    out = play.run()

    assert "applied" == out["verdict"]
    assert ["loss=0.5\n"] == play.applied
    assert 3 == len(play.asked)
    stages = sorted(attempt["stage"] for attempt in out["attempts"])
    assert ["dry_run", "dry_run", "static_check"] == stages


def test_a_try_counts_once_however_many_candidates_it_has():
    replies = [f"{kind} = {n}" for n in range(3) for kind in ("bad", "slow")]
    play = Play(*replies, candidates=2, max_attempts=3)

    out = play.run()

    assert "kept" == out["verdict"]
    assert 6 == len(play.asked) == len(out["attempts"])
    assert (
        "Proposal 1 of 2 was refused by the static check"
        in (play.asked[2][-1]["content"])
    )
    assert "Proposal 2 of 2 was refused by the dry run" in play.asked[2][-1]["content"]


def test_equal_candidates_are_tried_once():
    play = Play("good", candidates=3)

    out = play.run()

    assert "applied" == out["verdict"]
    assert 1 == len(play.tried)


def test_trouble_with_one_candidate_leaves_those_that_were_paid_for():
    play = Play(Status(503), "good", Status(429), candidates=3)

    out = play.run()

    assert "applied" == out["verdict"]
    assert 3 == len(play.asked)


# --- being invoked


def test_without_a_context_the_error_says_what_to_pass():
    with pytest.raises(PortsError, match=r"context=None; pass context=Ports\(write="):
        build_graph().invoke({"observation": first().as_dict()})


@pytest.mark.parametrize("state", [{}, {"observation": None}])
def test_without_an_observation_the_error_says_what_to_pass(state):
    with pytest.raises(ObservationError, match=r"pass \{\"observation\": Observation"):
        build_graph().invoke(state, context=Play("good").ports())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"write": None}, "Ports.write is None; wanted a callable"),
        ({"max_attempts": 0}, "Ports.max_attempts is 0; wanted a whole number"),
        ({"candidates": True}, "Ports.candidates is True"),
    ],
)
def test_ports_that_cannot_work_are_refused_at_once(options, said):
    ports = Play("good").ports()
    given = {name: getattr(ports, name) for name in ("check", "dry_run", "apply")}

    with pytest.raises(PortsError, match=said):
        Ports(**({"write": ports.write} | given | options))


def test_one_thread_id_used_again_is_a_decision_of_its_own():
    graph = build_graph(InMemorySaver(), retry=QUICK)
    Play("bad = 1").run(graph=graph)
    play = Play("bad = 2", "good = 3")

    out = play.run(graph=graph)

    assert "applied" == out["verdict"]
    assert 2 == len(out["attempts"]) == out["tries"]
    assert 4 == len(out["messages"])


def test_a_decision_goes_on_where_a_crash_left_it_without_a_second_paid_call():
    graph = build_graph(InMemorySaver(), retry=QUICK)
    play = Play("good")
    play.dry_run = crash
    with pytest.raises(KeyboardInterrupt):
        play.run(graph=graph)
    resumed = Play("another")

    out = resumed.run(graph=graph)

    assert "applied" == out["verdict"]
    assert ["good\n"] == resumed.tried == resumed.applied
    assert [] == resumed.asked


def crash(source):
    raise KeyboardInterrupt


def test_the_sqlite_saver_holds_a_whole_decision(tmp_path):
    sqlite = pytest.importorskip("langgraph.checkpoint.sqlite")
    with sqlite.SqliteSaver.from_conn_string(str(tmp_path / "d.sqlite")) as saver:
        graph = build_graph(saver, retry=QUICK)

        Play("bad", "slow", "good").run(graph=graph, thread_id="run:5")

        config = {"configurable": {"thread_id": "run:5"}}
        kept = graph.get_state(config).values
    assert "applied" == kept["verdict"]
    assert 3 == len(kept["attempts"])


def test_what_happens_is_streamed_as_events():
    graph = build_graph(retry=QUICK)
    play = Play(Status(503), "bad", "good")

    events = list(
        graph.stream(
            {"observation": first().as_dict()},
            context=play.ports(),
            stream_mode="custom",
        )
    )

    kinds = [event["kind"] for event in events]
    told = ["prompt", "error"] + 2 * ["prompt", "reply", "static_check"]
    assert [*told, "dry_run", "apply"] == kinds
    assert "server error (503)" in events[1]["data"]["message"]


# --- a source that passes and cannot be built


def test_a_source_that_cannot_be_built_goes_back_with_the_finding():
    play = Play("unbuilt = 1", "good = 2")

    out = play.run()

    stages = [(a["try"], a["stage"], a["ok"]) for a in out["attempts"]]
    assert "applied" == out["verdict"]
    assert "good = 2\n" == out["source"]
    assert [(1, "dry_run", True), (1, "apply", False), (2, "dry_run", True)] == stages
    assert "refused by the trainer" in play.asked[1][-1]["content"]
    assert "line 1: [name] it is bad" in play.asked[1][-1]["content"]


def test_a_decision_whose_every_source_cannot_be_built_is_kept():
    play = Play("unbuilt = 1", "unbuilt = 2", max_attempts=2)

    out = play.run()

    assert "kept" == out["verdict"]
    assert "[name] it is bad" in out["reason"]
    assert 2 == len(play.asked) == len(play.applied)


def test_of_several_that_passed_the_next_best_is_built():
    play = Play("unbuilt = 1 # loss=0.1 ", "good = 2 # loss=0.5 ", candidates=2)

    out = play.run()

    assert "applied" == out["verdict"]
    assert out["source"].startswith("good = 2")
    assert 2 == len(play.asked) == len(play.applied)


# --- the drawing, the served graph, the weight of an import


def test_the_nodes_have_the_names_of_the_contract():
    nodes = set(build_graph().get_graph().nodes)

    assert {"propose", "static_check", "dry_run", "apply"} == nodes - {
        "__start__",
        "__end__",
    }


def test_the_drawing_in_the_docs_is_the_graphs_own():
    drawing = build_graph().get_graph().draw_mermaid().strip()

    page = (ROOT / "docs" / "graph.md").read_text(encoding="utf-8")

    assert f"```mermaid\n{drawing}\n```" in page


def test_every_edge_of_the_machine_is_drawn():
    edges = {(edge.source, edge.target) for edge in build_graph().get_graph().edges}

    assert {
        ("__start__", "propose"),
        ("propose", "static_check"),
        ("propose", "__end__"),
        ("static_check", "dry_run"),
        ("static_check", "propose"),
        ("dry_run", "apply"),
        ("dry_run", "propose"),
        ("apply", "__end__"),
        ("apply", "propose"),
    } == edges


def served():
    """The graph that langgraph.json names, loaded by its path as a server does."""
    settings = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    path, name = settings["graphs"]["dux"].split(":")
    spec = importlib.util.spec_from_file_location("served_by_path", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def test_the_served_graph_loads_by_path_and_describes_its_context():
    schema = served().get_context_jsonschema()

    assert {"lm", "max_attempts", "approve"} == set(schema["properties"])


@pytest.mark.parametrize("context", [None, {}, {"lm": "offline"}])
def test_the_served_graph_proposes_and_checks_and_applies_nothing(context):
    out = served().invoke({"observation": first().as_dict()}, context=context)

    assert "kept" == out["verdict"]
    assert "nothing to apply to" in out["reason"]
    assert "class RuleBased" in out["source"]
    assert out["attempts"][0]["ok"]


@pytest.mark.parametrize(
    "context", [{"model": "offline"}, Play("good").ports()], ids=["name", "ports"]
)
def test_the_served_graph_says_what_its_context_is(context):
    with pytest.raises((PortsError, TypeError), match="lm|model"):
        served().invoke({"observation": first().as_dict()}, context=context)


def test_neither_importing_the_graphs_nor_a_whole_decision_brings_torch():
    code = (
        "import dux_graphs.decision, dux_graphs.models, dux_graphs.offline.model\n"
        "import sys; assert 'torch' not in sys.modules, 'imports'\n"
        "from dux_graphs.decision import graph\n"
        f"out = graph.invoke({{'observation': {first().as_dict()!r}}})\n"
        "assert out['attempts'], out\n"
        "assert 'torch' not in sys.modules, 'decision'\n"
    )
    roots = [str(ROOT / name) for name in ("graphs", "sandbox", "prompts")]

    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {roots}\n{code}"],
        timeout=200,
        capture_output=True,
        text=True,
    )

    assert (0, "") == (done.returncode, done.stderr)
