import pytest
from pydantic import PrivateAttr

from dux_agent.benchmarks.evolve import cheap
from dux_agent.errors import BadArgument
from dux_agent.evolving.asking import OPERATORS
from dux_agent.evolving.evolve import evolve, resume
from dux_agent.evolving.reading import read_search
from dux_agent.report.page import write_report
from dux_agent.tuning.judging import StudyPaused
from dux_graphs.offline.model import WrittenModel
from dux_sandbox.zoo import entry
from tests.evolving.test_evolve import _found, _plan

_RUBBISH = (
    "I would rather not.",
    "```python\nimport os\n```",
    "```python\nclass A:\n    pass\n```",
    f"A twin.\n```python\n{entry('adam').source}```",
    f"It raises.\n```python\n{entry('sgd').source.replace('grad.add', 'grad.ad')}```",
    "Wrong way.\n```python\n"
    + entry("sgd").source.replace('alpha=-group["lr"]', 'alpha=9 * group["lr"]')
    + "```",
)


class _Scripted(WrittenModel):
    """Gives replies in turn; counts them, and can be told to fail."""

    model_name: str = "scripted"
    replies: tuple[str, ...] = _RUBBISH
    most: int = 10**9
    _asked: int = PrivateAttr(0)

    @property
    def asked(self):
        return self._asked

    def answer(self, chat):
        if self._asked >= self.most:
            raise PermissionError("401: no more")
        self._asked += 1
        return self.replies[(self._asked - 1) % len(self.replies)]


@pytest.mark.wall
@pytest.mark.timeout(900)  # two whole searches
def test_no_reply_is_paid_twice_and_a_search_that_paused_ends_as_it_would_have(
    tmp_path,
):
    plan = _plan(model="scripted", budget=12, execution="inline")
    whole, paused, rest = _Scripted(), _Scripted(most=4), _Scripted()
    rest._asked = 4  # its script goes on where the other's ended

    evolve(plan, tmp_path / "whole", lm=whole)
    with pytest.raises(StudyPaused, match="no more"):
        evolve(plan, tmp_path / "paused", lm=paused)
    resume(tmp_path / "paused", lm=rest)

    assert whole.asked > 4
    assert whole.asked == rest.asked
    assert _found(tmp_path / "whole") == _found(tmp_path / "paused")


@pytest.mark.wall
def test_rubbish_is_evaluated_within_its_limits_and_never_wins(tmp_path):
    plan = _plan(model="scripted", budget=16, execution="inline")

    told = read_search(evolve(plan, tmp_path / "run", lm=_Scripted()))

    asked = [row for row in told.rows if row.operator in OPERATORS]
    assert asked
    assert told.reported()["search"].row not in asked
    assert "baseline, adamw" in told.verdict()


class _Thinking(_Scripted):
    """Writes Adam with a rate of its own each time; its tokens are counted."""

    model_name: str = "thinking"
    best: float = 0.1

    def answer(self, chat):
        self._asked += 1
        rate = self.best / (1 + self._asked % 40)
        source = entry("adam").source.replace("lr=1e-3", f"lr={rate}")
        assert source != entry("adam").source
        return f"Faster.\n```python\n{source}```"


def _two():
    return _plan(
        model=("mine:rubbish", "mine:thinking"), budget=120, execution="inline"
    )


def test_a_search_that_asks_two_models_asks_the_better_one_more_often(tmp_path):
    rubbish, thinking = _Scripted(replies=_RUBBISH[:3]), _Thinking()
    said = []

    folder = evolve(
        _two(), tmp_path / "run", said.append, lm=[rubbish, thinking], engine=cheap
    )

    told = read_search(folder)
    bred = told.bred_by_models()
    assert (0, 0) == bred["mine:rubbish"]
    assert bred["mine:thinking"][0] > 0
    tries = rubbish.asked / 3  # of a draft that is refused
    assert thinking.asked > 1.25 * tries > 0
    assert any("new@mine:thinking was asked" in line for line in said)
    assert "bred by mine:thinking" in write_report([folder]).read_text()


def test_a_search_that_asks_two_models_asks_for_no_reply_again_when_it_goes_on(
    tmp_path,
):
    first, second = _Scripted(), _Thinking()
    folder = evolve(_two(), tmp_path / "run", lm=[first, second], engine=cheap)
    before = _found(folder)
    nobody = [_Scripted(most=0), _Scripted(most=0)]
    trace = folder / "trace.jsonl"
    lines = trace.read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"kind":"trial"' not in line.replace(" ", "")]
    assert len(kept) < len(lines)
    trace.write_text("".join(kept))

    resume(folder, lm=nobody, engine=cheap)

    assert before == _found(folder)


def test_as_many_models_are_given_as_named(tmp_path):
    with pytest.raises(BadArgument, match="holds 1 language models"):
        evolve(_two(), tmp_path / "run", lm=[_Scripted()], engine=cheap)


def test_one_model_in_a_tuple_is_one_model():
    assert "mine:x" == _plan(model=("mine:x",)).model
    with pytest.raises(BadArgument, match="without 'offline'"):
        _plan(model=("mine:x", "offline"))
