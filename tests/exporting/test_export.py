import ast
import copy
import importlib.util
import math

import pytest
import torch
from typer.testing import CliRunner

from dux_agent import tasks
from dux_agent.cli import app
from dux_agent.errors import BadArgument, DuxError
from dux_agent.exporting.best import best_rule
from dux_agent.exporting.module_text import export
from dux_agent.exporting.placing import indented, without_script
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.swap import swap
from dux_agent.run_history.reading import read_story
from dux_agent.runs.training import train
from dux_agent.training.structure import describe_optimizer
from tests.run_folders import Writer, source, usual

MOMENTUM = '''from __future__ import annotations
import torch


def decayed(old, new, beta):
    return old.mul_(beta).add_(new)


class Heavy(torch.optim.Optimizer):
    """Momentum with a rate that falls with its own count of steps.
  not indented"""

    carry = {carry}

    def __init__(self, params, lr={rate}, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))
        self.taken = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.taken += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "m" not in state:
                    state["m"] = torch.zeros_like(p)
                m = decayed(state["m"], p.grad, group["beta"])
                p.add_(m, alpha=-group["lr"] / self.taken**0.5)
'''


def heavy(rate, carry=True):
    return MOMENTUM.format(rate=rate, carry=carry)


def module(tmp_path, text):
    path = tmp_path / "exported.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def imports(text):
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found


def run_with(tmp_path, *switches, **facts):
    """A run folder with these `(step, source, carried)`, over SGD with momentum."""
    with Writer(tmp_path / "run", **facts) as run:
        live = None
        for number, (step, text, carried) in enumerate(switches, start=1):
            run.ask(number, step, live)
            digest = run.propose(number, step, text)
            carry = {"carried": {"m": 2} if carried else {}, "dropped": {}}
            run.conclude(number, step, digest, carry=carry)
            live = text
        run.losses(1, 30)
    return run.path


def test_the_best_rule_is_a_module_that_needs_only_torch(tmp_path):
    text = export(usual(tmp_path / "run"))

    rule = module(tmp_path, text).Plain

    assert {"torch"} == imports(text)
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    rule([weight]).step()
    assert pytest.approx(0.98) == weight.item()


def test_its_docstring_says_where_it_comes_from(tmp_path):
    story = read_story(usual(tmp_path / "run"))

    told = ast.get_docstring(ast.parse(export(story.path)))

    for part in (
        "run: run",
        "task: digits, seed 0",
        "model: test-model",
        "decision: 2, at step 15",
        "lowest validation loss, 1 (after epoch 2)",
        story.decisions[1].digest,
        "test 1.2",
        "Read it before you import it.",
    ):
        assert part in told


def test_the_best_rule_is_the_one_with_the_lowest_validation_loss(tmp_path):
    with Writer(tmp_path / "run") as run:
        for number, val in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 0.5)):
            digest = run.applied(number, 10 * number, source(number), None)
            run.epoch(number, 10 * number + 5, val)
        run.event("rollback", 4, 47, digest=digest, reason="harm")

    best = best_rule(read_story(run.path))

    assert (2, "validation loss", 1.0) == (
        best.decision.number,
        best.measure,
        best.loss,
    )


def test_without_validation_the_training_loss_decides(tmp_path):
    with Writer(tmp_path / "run") as run:
        for number, loss in ((1, 0.5), (2, 0.7)):
            run.applied(number, 10 * number, source(number), None)
            for step in range(10 * number + 1, 10 * number + 6):
                run.event("loss", None, step, loss=loss)

    best = best_rule(read_story(run.path))

    assert (1, "training loss") == (best.decision.number, best.measure)
    # The loss of step 21, before it was taken, still came of the first rule.
    assert pytest.approx((4 * 0.5 + 0.7) / 5) == best.loss


@pytest.mark.parametrize("carry", [True, False])
def test_a_schedule_takes_the_very_steps_that_the_live_optimizer_took(tmp_path, carry):
    switches = [(4, heavy(0.05, carry), False), (9, heavy(0.2, carry), carry)]
    path = run_with(tmp_path, *switches)
    text = export(path, schedule=True)
    exported = module(tmp_path, text)
    torch.manual_seed(3)
    models = [torch.nn.Linear(4, 3) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    live = DuxOptimizer(torch.optim.SGD(models[0].parameters(), lr=0.1, momentum=0.9))
    scheduled = exported.Schedule(models[1].parameters())

    for step in range(15):
        for due, rule, _ in switches:
            if due == step:
                swap(live, rule)
        batch = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        for model, optimizer in zip(models, (live, scheduled), strict=True):
            optimizer.zero_grad()
            (model(batch) - 1).square().mean().backward()
            optimizer.step()

        for ours, theirs in zip(*(m.parameters() for m in models), strict=True):
            assert torch.equal(ours, theirs), step
    assert {"torch", "copy", "collections", "typing", "__future__"} == imports(text)


def stepped_beside(live, exported, steps):
    """Whether an optimizer of an exported module steps as a live one does."""
    for step in range(steps):
        draw = torch.randn(40, generator=torch.Generator().manual_seed(step))
        for optimizer in (live, exported):
            (weight,) = optimizer.param_groups[0]["params"]
            weight.grad = draw.clone()
            optimizer.step()
    pairs = zip(live.param_groups, exported.param_groups, strict=True)
    return all(torch.equal(*(g["params"][0] for g in pair)) for pair in pairs)


@pytest.mark.parametrize("schedule", [True, False])
def test_state_that_is_kept_in_bfloat16_is_kept_so_in_a_module(tmp_path, schedule):
    halved = heavy(0.05).replace("carry = True", "carry = bfloat16_state = True")
    # A helper of the rule's has the name of one that rounds.
    halved = halved.replace("decayed(", "_alone(")
    path = run_with(tmp_path, (0, halved, False))
    exported = module(tmp_path, export(path, schedule=schedule))
    weights = [torch.nn.Parameter(torch.ones(40)) for _ in range(2)]
    live = DuxOptimizer(torch.optim.SGD([weights[0]], lr=0.1))
    swap(live, halved)

    made = (exported.Schedule if schedule else exported.Heavy)([weights[1]])

    assert stepped_beside(live, made, 12)
    assert torch.bfloat16 is made.state[weights[1]]["m"].dtype
    torch.save(made.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt")  # there are plain values in it alone


def test_a_schedule_reproduces_the_losses_of_a_run_of_digits(tmp_path):
    train("digits", epochs=3, execution="inline", run_dir=tmp_path / "run")
    story = read_story(tmp_path / "run")
    text = export(story.path, schedule=True, name="WholeRun")
    exported = module(tmp_path, text)
    task = tasks.build("digits", 0)
    optimizer = exported.WholeRun(task.model.parameters())

    got = []
    for epoch in range(3):
        losses = []
        for batch in task.train_batches(epoch):
            optimizer.zero_grad()
            loss = task.objective(task.model, batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        got.append((math.fsum(losses) / len(losses), task.evaluate("val")))

    assert "applied" in [decision.verdict for decision in story.decisions]
    # Bit for bit on one thread; sums that are split over threads differ in the last
    # bits.
    assert [pytest.approx((e.train, e.val), rel=1e-5) for e in story.epochs] == got


def test_a_schedule_goes_on_from_its_own_state(tmp_path):
    path = run_with(tmp_path, (2, heavy(0.05), False), (4, heavy(0.2), True))
    exported = module(tmp_path, export(path, schedule=True))
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    first, second = (exported.Schedule([weight]) for weight in weights)

    def step(optimizer, weight):
        weight.grad = weight.detach().clone()
        optimizer.step()

    for _ in range(6):
        step(first, weights[0])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    weights[1].data.copy_(weights[0])
    for weight, optimizer in zip(weights, (first, second), strict=True):
        step(optimizer, weight)

    assert torch.equal(*weights)
    assert 7 == second.steps


def test_a_scheduler_may_drive_a_schedule_across_its_switches(tmp_path):
    path = run_with(tmp_path, (2, heavy(0.05), False))
    exported = module(tmp_path, export(path, schedule=True))
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = exported.Schedule([weight])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    rates = []

    for _ in range(4):
        weight.grad = torch.ones(1)
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])

    assert pytest.approx([0.05, 0.025, 0.025, 0.0125]) == rates


def test_a_schedule_names_the_rules_that_it_leaves_out(tmp_path):
    path = run_with(tmp_path, (2, heavy(0.05), False), (4, heavy(0.2), True))
    story = read_story(path)
    with (path / "trace.jsonl").open("a") as trace:
        trace.write(
            f'{{"time":1,"step":7,"decision":2,"kind":"rollback","data":'
            f'{{"digest":"{story.decisions[1].digest}","reason":"harm"}}}}\n'
        )

    exported = module(tmp_path, export(path, schedule=True))

    assert [2] == [switch[0] for switch in exported.SWITCHES]
    assert "left out: decision 2" in exported.__doc__


def test_a_rule_that_was_asked_for_in_the_background_takes_over_where_it_did(tmp_path):
    with Writer(tmp_path / "run") as run:
        run.ask(1, 4)
        digest = run.propose(1, 4, heavy(0.1))
        run.losses(5, 7)
        run.conclude(1, 7, digest)
        run.losses(8, 9)

    exported = module(tmp_path, export(run.path, schedule=True))

    assert [7] == [switch[0] for switch in exported.SWITCHES]


def test_a_base_optimizer_that_is_not_torchs_has_to_be_given(tmp_path):
    with Writer(tmp_path / "run") as run:
        base = {"name": "Mine", "groups": [{"lr": 1}]}
        run.event("observation", 1, 2, base_optimizer=base, source=None)
        run.conclude(1, 2, run.propose(1, 2, source(1)))
    exported = module(tmp_path, export(run.path, schedule=True))
    weight = torch.nn.Parameter(torch.ones(1))

    with pytest.raises(NotImplementedError, match="pass base="):
        exported.Schedule([weight])
    exported.Schedule([weight], base=torch.optim.SGD)


def test_a_base_optimizer_of_more_groups_than_are_recorded_has_to_be_given(tmp_path):
    groups = [{"lr": 0.1 / (place + 1)} for place in range(10)]
    base = describe_optimizer("SGD", groups, {"lr": 0.1})
    with Writer(tmp_path / "run") as run:
        run.event("observation", 1, 2, base_optimizer=base, source=None)
        run.conclude(1, 2, run.propose(1, 2, source(1)))
    exported = module(tmp_path, export(run.path, schedule=True))
    weight = torch.nn.Parameter(torch.ones(1))

    with pytest.raises(NotImplementedError, match="had more groups than the 8"):
        exported.Schedule([weight])
    exported.Schedule([weight], base=torch.optim.SGD)


def test_what_a_source_does_as_a_script_is_not_exported(tmp_path):
    script = '\nif __name__ == "__main__":\n    raise SystemExit("ran")\n'
    path = run_with(tmp_path, (2, source(1) + script, False))

    for text in (export(path), export(path, schedule=True)):
        assert "SystemExit" not in text
        module(tmp_path, text)
    assert "a = 1\npass\n" == without_script(
        'a = 1\nif __name__ == "__main__":\n    b = 2\n'
    )


@pytest.mark.parametrize(
    "hostile",
    [
        '"""\nraise SystemExit\n"""',
        "\\",
        'x"',
        "\\N{bad}",
        "a\x00b\u202e\ud800",
        "\n\n",
    ],
)
def test_a_hostile_fact_stays_in_the_docstring(tmp_path, hostile):
    path = run_with(
        tmp_path,
        (2, source(1), False),
        task=hostile,
        seed=hostile,
        model=hostile,
        created=hostile,
        versions={"dux-agent": hostile, "torch": hostile},
    )

    for schedule in (False, True):
        text = export(path, schedule=schedule)

        assert module(tmp_path, text).__doc__
        assert "raise SystemExit\n" not in text
        assert not {"\x00", "\u202e"} & set(text)


def test_texts_over_several_lines_are_not_indented():
    held = "a = '''x\n  y'''\nif a:\n    b = f'''{a}\n{a!r:>3}'''\nc = (\n1)\n"

    deeper = f"if True:\n{indented(held)}"

    names = {}
    exec(deeper, names)
    assert ("x\n  y", "x\n  y\n'x\\n  y'", 1) == (names["a"], names["b"], names["c"])


def test_without_a_rule_that_was_applied_there_is_nothing_to_export(tmp_path):
    with Writer(tmp_path / "run") as run:
        run.ask(1, 2)
        run.conclude(1, 2, None, "kept")

    for schedule in (False, True):
        with pytest.raises(DuxError, match="holds no rule to export"):
            export(run.path, schedule=schedule)


def test_a_source_that_was_changed_is_not_exported(tmp_path):
    path = usual(tmp_path / "run")
    for kept in (path / "sources").iterdir():
        kept.write_text(kept.read_text() + "# changed\n")

    with pytest.raises(DuxError, match="under its digest"):
        export(path)


def test_a_source_that_the_static_check_refuses_is_not_exported(tmp_path):
    path = run_with(tmp_path, (2, "import os\n" + source(1), False))

    with pytest.raises(DuxError, match="the static check refuses"):
        export(path)


@pytest.mark.parametrize("name", ["class", "a b", "", "torch", "decayed", "dict"])
def test_a_name_that_a_rule_cannot_have_is_refused(tmp_path, name):
    path = run_with(tmp_path, (2, heavy(0.05), False))

    with pytest.raises(BadArgument, match="write for instance --name"):
        export(path, name=name)


@pytest.mark.parametrize(
    "name", ["class", "a b", "", "1st", "torch", "Heavy", "rule_1", "dict", "Any"]
)
def test_a_name_that_a_schedule_cannot_have_is_refused(tmp_path, name):
    path = run_with(tmp_path, (2, heavy(0.05), False))

    with pytest.raises(BadArgument, match="write for instance --name"):
        export(path, schedule=True, name=name)


def test_a_schedule_is_named_as_it_is_asked_and_nothing_else_is(tmp_path):
    path = str(run_with(tmp_path, (2, heavy(0.05), False)))
    target = tmp_path / "whole.py"

    written = CliRunner().invoke(
        app, ["export", path, "--schedule", "--name", "Whole", "-o", str(target)]
    )
    alone = CliRunner().invoke(app, ["export", path, "--name", "Whole"])

    assert 0 == written.exit_code
    whole = module(tmp_path, target.read_text("utf-8")).Whole
    assert issubclass(whole, torch.optim.Optimizer)
    assert whole([torch.nn.Parameter(torch.ones(1))]).steps == 0
    assert 0 == alone.exit_code
    assert issubclass(module(tmp_path, alone.stdout).Whole, torch.optim.Optimizer)


def test_the_command_prints_or_writes_and_errors_are_one_line(tmp_path):
    path = usual(tmp_path / "run")
    target = tmp_path / "rule.py"

    printed = CliRunner().invoke(app, ["export", str(path)])
    written = CliRunner().invoke(app, ["export", str(path), "-o", str(target)])
    refused = CliRunner().invoke(app, ["export", str(tmp_path), "-o", "nothing.py"])

    assert (0, target.read_text("utf-8")) == (printed.exit_code, printed.stdout)
    assert (0, f"{target}\n") == (written.exit_code, written.stdout)
    assert 2 == refused.exit_code
    assert 1 == len(refused.stderr.strip().splitlines())


def test_the_best_rule_is_printed_as_a_program(tmp_path):
    folder = run_with(tmp_path, (10, heavy(0.1), False))

    result = CliRunner().invoke(app, ["export", str(folder), "--program"])

    assert 0 == result.exit_code, result.output
    assert "# first step of decision 1" in result.stdout
    assert "# step 3 of decision 1" in result.stdout
    for part in ("state[0]['m'] <- ", "parameter[1] <- ", "['taken'] <- "):
        assert part in result.stdout


def test_a_rule_that_cannot_be_recorded_is_printed_as_no_program(tmp_path):
    drawn = heavy(0.1).replace("m = decayed(", "p.unique(); m = decayed(")
    folder = run_with(tmp_path, (10, drawn, False))

    result = CliRunner().invoke(app, ["export", str(folder), "--program"])

    assert 2 == result.exit_code
    assert "hangs on values" in " ".join(result.output.split())
