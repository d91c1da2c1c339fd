import pytest
from pydantic import PrivateAttr

from dux_agent.evolving.asking import OPERATORS
from dux_agent.evolving.evolve import evolve, resume
from dux_agent.evolving.reading import read_search
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
