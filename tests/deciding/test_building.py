from dataclasses import replace

import pytest

from dux_agent.deciding.building import Builder
from dux_agent.settings import Settings
from dux_sandbox.executions import Recorded
from dux_sandbox.findings import DryRunReport

REPORTS = [
    None,
    DryRunReport(ok=True),
    DryRunReport(ok=True, step_seconds=0.02),
    DryRunReport(ok=True, step_seconds=9.0),
]


@pytest.mark.parametrize("report", REPORTS)
def test_a_rule_is_prepared_within_the_limits_that_it_is_built_with(
    monkeypatch, report
):
    held = []
    monkeypatch.setattr(
        Recorded, "prepare", lambda *_, limits, **more: held.append(limits)
    )
    settings = replace(Settings(), execution="recorded")
    builder = Builder(settings)

    builder.prepare("a source", report)
    builder.expect(report)

    assert [builder.limits] == held
