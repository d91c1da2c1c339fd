"""A dry run judges a proposal on a copy and leaves the live model as it was."""

import copy
import random
import re

import pytest
import torch

from dux_sandbox import Limits, dry_run
from dux_sandbox.dry_runs.twin_training import patience
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.running import InlineRule
from tests import models, sources


def picture(model, optimizer):
    """Everything of the live side that a dry run must not change."""
    return copy.deepcopy(
        {
            "weights": dict(model.state_dict()),
            "gradients": [
                None if each.grad is None else each.grad.clone()
                for each in model.parameters()
            ],
            "optimizer": optimizer.state_dict(),
            "random": (torch.get_rng_state(), random.getstate()),
            "modes": [module.training for module in model.modules()],
        }
    )


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other


def trained(kind):
    model = models.make(kind)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in models.batches():
        optimizer.zero_grad()
        models.objective(model, batch).backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("source", [sources.MOMENTUM, sources.EXPLODES])
def test_the_live_model_is_bit_identical_afterwards(kind, source):
    model, optimizer = trained(kind)
    before = picture(model, optimizer)

    report = dry_run(source, model, optimizer, models.objective, models.batches())

    assert_same(before, picture(model, optimizer))
    assert (source == sources.MOMENTUM) == report.ok
    assert report.incumbent_losses


def test_the_incumbents_losses_are_those_of_training_on():
    model, optimizer = trained("mlp")
    batches = models.batches()

    report = dry_run(sources.SGD, model, optimizer, models.objective, batches, steps=5)
    expected = []
    for step in range(6):
        batch = batches[step % 3]
        optimizer.zero_grad()
        loss = models.objective(model, batch)
        expected.append(loss.item())
        loss.backward()
        optimizer.step()

    assert expected == list(report.incumbent_losses)
    assert 6 == len(report.losses)


@pytest.mark.parametrize("execution", [InlineRule, IsolatedRule])
def test_a_generated_incumbent_goes_on_with_its_state(execution):
    model = models.make("mlp")
    batches = models.batches()
    groups = [{"params": list(model.parameters())}]
    rule = execution.build(sources.MOMENTUM, groups)
    groups[0].update(rule.options[0])
    rule.bind(groups)

    class Live:
        param_groups = groups
        running = rule

    for batch in batches:
        rule.zero_grad()
        models.objective(model, batch).backward()
        rule.step()
    report = dry_run(sources.SGD, model, Live, models.objective, batches, steps=3)
    expected = []
    for step in range(4):
        rule.zero_grad()
        loss = models.objective(model, batches[step % 3])
        expected.append(loss.item())
        loss.backward()
        rule.step()
    rule.close()

    assert expected == list(report.incumbent_losses)


def tried(source, **limits):
    model, optimizer = trained("mlp")
    limits = Limits(**limits) if limits else None
    batches = models.batches()
    return dry_run(source, model, optimizer, models.objective, batches, limits=limits)


@pytest.mark.parametrize("kind", sources.ENDLESS)
def test_a_proposal_without_an_end_is_refused_by_the_limit_on_time(kind):
    source = sources.endless(kind)

    report = tried(source, seconds=0.5)

    assert not report.ok
    [finding] = report.findings
    assert "time" == finding.rule  # what it may take is more where all is slow
    assert re.search(r"used more than [\d.]+ s$", finding.message)
    assert "turns are known and few" in finding.instead
    # A process that is ended in a long call of C says no line.
    silent = [None] if kind in ("one call", "matrices") else []
    assert finding.line in [*sources.lines_of_body(source), *silent]


def test_a_proposal_that_turns_too_often_is_refused_by_the_limit_on_turns():
    report = tried(sources.TURNS, seconds=600.0)

    assert not report.ok
    [finding] = report.findings
    assert ("turns", "more than 100000 turns") == (finding.rule, finding.message[-22:])
    assert "for _ in range(a_small_number)" in finding.instead
    assert "while" in sources.TURNS.split("\n")[finding.line - 1]


def test_a_proposal_that_hangs_later_has_the_losses_up_to_there():
    report = tried(sources.HANGS_LATE, seconds=2.0)

    assert 6 == len(report.losses)
    assert "time" == report.findings[0].rule


@pytest.mark.parametrize(
    ("passes", "spent", "one", "all_of_them"),
    [
        (0.001, 0.0, 4.0, 4.0),  # a small model: the limit as it stands
        (0.001, 3.0, 4.0, 1.0),
        (1.0, 0.0, 10.0, 100.0),  # training is slow: ten times its passes
        (1.0, 95.0, 10.0, 5.0),
        (0.001, 9.0, 4.0, 0.0),
    ],
)
def test_a_rule_may_take_its_time_where_training_does(passes, spent, one, all_of_them):
    assert (one, all_of_them) == patience(4.0, passes, steps=10, spent=spent)


def test_a_refused_source_comes_back_with_its_findings():
    model, optimizer = trained("mlp")

    report = dry_run(
        "import os\n" + sources.SGD,
        model,
        optimizer,
        models.objective,
        models.batches(),
    )

    assert not report.ok
    assert 1 == report.findings[0].line


def test_a_batch_that_comes_again_meets_the_same_dropout():
    model, optimizer = trained("dropout")
    still = sources.counting("p.add_(p.grad, alpha=0.0)")
    count = len(models.batches())

    report = dry_run(
        still, model, optimizer, models.objective, models.batches(), 2 * count
    )

    assert len(set(report.losses)) == count
    assert report.losses[:count] == report.losses[count : 2 * count]


def test_known_incumbent_losses_are_not_computed_again():
    model, optimizer = trained("dropout")
    first = dry_run(sources.SGD, model, optimizer, models.objective, models.batches())

    second = dry_run(
        sources.SGD,
        model,
        optimizer,
        models.objective,
        models.batches(),
        incumbent_losses=first.incumbent_losses,
    )

    assert first.losses == second.losses
    assert first.incumbent_losses == second.incumbent_losses


def test_a_compiled_model_is_tried_without_its_compiler():
    model, _ = trained("mlp")
    compiled = torch.compile(model, backend="eager")
    optimizer = torch.optim.SGD(compiled.parameters(), lr=0.01)

    report = dry_run(
        sources.SGD, compiled, optimizer, models.objective, models.batches()
    )

    assert report.ok


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda model, batch: model(batch[0]), r"shape \(12, 1\)"),
        (lambda model, batch: 3.0, "returned a float"),
    ],
)
def test_an_objective_that_is_no_scalar_is_the_callers_error(objective, message):
    model, optimizer = trained("mlp")

    with pytest.raises(ValueError, match=message):
        dry_run(sources.SGD, model, optimizer, objective, models.batches())


def test_an_objective_that_ignores_its_model_is_the_callers_error():
    model, optimizer = trained("mlp")
    before = picture(model, optimizer)

    with pytest.raises(ValueError, match="from its argument"):
        dry_run(
            sources.SGD,
            model,
            optimizer,
            lambda _, batch: models.objective(model, batch),
            models.batches(),
        )

    assert_same(before, picture(model, optimizer))


def test_no_batches_and_an_unknown_bar_are_the_callers_errors():
    model, optimizer = trained("mlp")

    with pytest.raises(ValueError, match="at least one batch"):
        dry_run(sources.SGD, model, optimizer, models.objective, [])
    with pytest.raises(ValueError, match="finite, harmless, not_worse"):
        dry_run(
            sources.SGD,
            model,
            optimizer,
            models.objective,
            models.batches(),
            accept="better",
        )


def test_a_clone_that_returns_the_model_itself_is_refused():
    model, optimizer = trained("mlp")

    with pytest.raises(TypeError, match="the model itself"):
        dry_run(
            sources.SGD,
            model,
            optimizer,
            models.objective,
            models.batches(),
            clone=lambda model: model,
        )


def test_a_rule_that_needs_a_closure_is_refused_where_none_is_passed():
    source = sources.SGD.replace(
        '    """Plain gradient descent."""', "    requires_closure = True"
    )
    model, optimizer = trained("mlp")

    without = dry_run(source, model, optimizer, models.objective, models.batches())
    with_closure = dry_run(
        source, model, optimizer, models.objective, models.batches(), closure=True
    )

    assert ["closure"] == [finding.rule for finding in without.findings]
    assert with_closure.ok


def test_lbfgs_can_be_the_incumbent():
    model = models.make("mlp")
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2)

    report = dry_run(
        sources.SGD,
        model,
        optimizer,
        models.objective,
        models.batches(),
        closure=True,
    )

    assert report.ok
    assert report.incumbent_losses[-1] < report.incumbent_losses[0]
