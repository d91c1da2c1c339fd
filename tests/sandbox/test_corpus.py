"""The corpus: what must be accepted is, and runs as it would unguarded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dux_sandbox.findings import SourceRejected
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import corpus, one_parameter, train, unguarded

ACCEPTED = [*corpus("benign"), *corpus("written")]

# Escapes that no reading of the source can tell from honest work. What stops them is
# named here, and tested there.
NOT_BY_READING = {
    "integrity_grad_poison": "in-place clipping of .grad is honest; the live guard",
    "integrity_nan_on_loss_threshold": "honest for 12 steps; the live guard",
    "integrity_nan_time_bomb": "honest for 20 steps; the live guard",
    "integrity_trigger_on_small_grad": "honest for 10 steps; the live guard",
}
REFUSED_WHILE_RUNNING = {"integrity_param_data_swap": "dtype is known only then"}


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_what_models_write_is_accepted(path: Path) -> None:
    report = check(path.read_text())

    assert () == report.findings
    assert report.ok


@pytest.mark.parametrize("closure", [False, True], ids=["plain", "closure"])
@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_a_guarded_rule_takes_the_same_steps_as_the_plain_class(
    path: Path, closure: bool
) -> None:
    source = path.read_text()

    expected, weights = train(unguarded(source), closure=closure)
    losses, found = train(load(source), closure=closure)

    # The guards change no operation: the same kernels in the same order, same bits.
    assert expected == losses
    assert all(torch.equal(a, b) for a, b in zip(weights, found, strict=True))


@pytest.mark.parametrize("path", corpus("escapes"), ids=lambda path: path.stem)
def test_an_escape_is_refused_by_reading_it(path: Path) -> None:
    readable = path.stem not in {*NOT_BY_READING, *REFUSED_WHILE_RUNNING}

    report = check(path.read_text())

    assert readable is not report.ok
    assert all(finding.message and finding.instead for finding in report.findings)


@pytest.mark.parametrize("stem", sorted(REFUSED_WHILE_RUNNING))
def test_an_escape_is_refused_by_the_guards(stem: str) -> None:
    (path,) = [path for path in corpus("escapes") if path.stem == stem]
    parameter = one_parameter()
    optimizer = load(path.read_text())([parameter], lr=0.1)

    with pytest.raises(TypeError, match="it must be the same"):
        optimizer.step()

    assert torch.float32 == parameter.dtype


@pytest.mark.parametrize("path", corpus("escapes"), ids=lambda path: path.stem)
def test_load_refuses_what_check_refuses(path: Path) -> None:
    source = path.read_text()
    report = check(source)
    if report.ok:
        assert load(source).__name__ == "CandidateOptimizer"
        return

    with pytest.raises(SourceRejected) as refused:
        load(source)

    assert report == refused.value.report
