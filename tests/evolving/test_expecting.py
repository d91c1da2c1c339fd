import pytest

from dux_agent.benchmarks.evolve import cheap
from dux_agent.errors import BadArgument, RunFolderUnusable
from dux_agent.evolving.evolve import evolve, resume
from dux_agent.evolving.expecting import cost_lines, expected
from dux_agent.evolving.reading import read_search
from dux_agent.run_folder.folder import RunFolder
from tests.evolving.test_evolve import _found, _plan


def test_what_a_search_comes_to_is_no_less_than_what_it_did(tmp_path):
    plan = _plan(budget=40, tasks=(*_plan().tasks, "logistic"))

    told = read_search(evolve(plan, tmp_path / "run", engine=cheap))

    come = expected(plan)
    short = [r for r in told.rows if "short training" in r.answers]
    full = [len(r.values.get("full training", ())) for r in told.rows]
    assert come.examined >= sum(
        "examined" in r.answers and not r.why for r in told.rows
    )
    assert come.short >= len(plan.tasks) * len(short) > 0
    assert come.full >= sum(full) > 0


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("openai:gpt-4o", "at most 120 calls of openai:gpt-4o, some 3.00 dollars"),
        ("mine:x", "at most 120 calls of mine:x, whose price is not known"),
        (
            ("openai:gpt-4o", "openai:gpt-4o-mini"),
            "at most 120 calls of openai:gpt-4o or openai:gpt-4o-mini, up to 3.00 "
            "dollars",
        ),
        (
            ("openai:gpt-4o", "mine:x"),
            "at most 120 calls of openai:gpt-4o or mine:x, not all of whose prices are "
            "known",
        ),
    ],
)
def test_calls_are_told_with_their_price_where_it_is_known(model, words):
    assert words == cost_lines(_plan(model=model, budget=40))[0]


def test_where_it_is_and_how_long_it_will_take_is_told_before_it_begins(tmp_path):
    said = []

    evolve(_plan(), tmp_path / "run", said.append, engine=cheap)

    assert str(tmp_path / "run") in said[0] and "--resume" in said[0]
    cost = cost_lines(_plan())
    assert cost == said[1 : 1 + len(cost)]
    assert "with 1 worker, replies apart" in said[1 + len(cost)]


def test_what_a_search_compares_with_is_trained_at_once_so_that_no_worker_waits(
    tmp_path,
):
    asked = []

    def watched(count, **options):
        workers = cheap(count, **options)
        do = workers.map

        def told(jobs, done):
            trainings = [e for job, _ in jobs for e in job.get("trainings", ())]
            asked.append({each["task"] for each in trainings})
            return do(jobs, done)

        workers.map = told
        return workers

    evolve(_plan(workers=2), tmp_path / "run", engine=watched)

    plan = _plan()
    assert {*plan.tasks, *plan.validation, *plan.report} == next(filter(None, asked))


def test_a_higher_budget_goes_on_from_what_was_found(tmp_path):
    evolve(_plan(budget=6), tmp_path / "raised", engine=cheap)
    before = _found(tmp_path / "raised")

    resume(tmp_path / "raised", budget=24, engine=cheap)

    raised = read_search(tmp_path / "raised")
    assert 24 == raised.plan.budget
    found = _found(tmp_path / "raised")
    assert len(before) < len(found)
    assert [] == [each for each in before if each not in found]
    assert len(found) == len({repr(each[:3]) for each in found})
    evolve(_plan(budget=24), tmp_path / "whole", engine=cheap)
    whole = read_search(tmp_path / "whole").reported()
    for arm, each in raised.reported().items():
        assert whole[arm].row.digest == each.row.digest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": 5}, "budget is 5 and the search has 6"),
        ({"budget": 9, "workers": 0}, "workers is 0"),
        ({"budget": 9, "workers": -1}, "workers is -1"),
    ],
)
def test_what_a_search_cannot_go_on_with_is_refused_and_changes_nothing(
    given, said, tmp_path
):
    evolve(_plan(budget=6), tmp_path / "run", engine=cheap)
    before = (tmp_path / "run" / "run.json").read_bytes()

    with pytest.raises(BadArgument, match=said):
        resume(tmp_path / "run", **given, engine=cheap)

    assert before == (tmp_path / "run" / "run.json").read_bytes()


def test_the_folder_of_a_training_is_not_gone_on_with_and_stays_as_it_was(tmp_path):
    facts = {"task": "sine", "seed": 0, "model": "offline", "arguments": {}}
    RunFolder.create(tmp_path / "run", facts).close()
    with (tmp_path / "run" / "trace.jsonl").open("a") as trace:
        trace.write('{"time":')  # what is opened to be gone on with is mended

    with pytest.raises(RunFolderUnusable, match="one that `dux evolve` printed"):
        resume(tmp_path / "run", engine=cheap)

    assert '{"time":' == (tmp_path / "run" / "trace.jsonl").read_text()
