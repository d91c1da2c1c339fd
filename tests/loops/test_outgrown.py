"""A model that grows away from its rule gets its incumbent back, aloud and unharmed."""

import json
import logging

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_sandbox import load
from tests import models
from tests.executions import both
from tests.swapping import MOMENTUM, SGD, after
from tests.talking import scripted, sgd


def plain(model):
    """A base without state, so that the twin can follow to another shape too."""
    return torch.optim.SGD(model.parameters(), lr=0.02)


def agent_over(model, *sources, execution, base=plain, **options):
    return attach(
        model,
        base(model),
        models.objective,
        lm=scripted(*sources),
        execution=execution,
        dry_run_steps=1,
        **{"accept": "finite", **options},
    )


def backward(model, step, dtype=torch.float32):
    inputs, targets = models.batches()[step % 3]
    loss = models.objective(model, (inputs.to(dtype), targets.to(dtype)))
    loss.backward()
    return loss.detach()


def step_of(agent, model, step, dtype=torch.float32):
    agent.optimizer.zero_grad()
    loss = backward(model, step, dtype)
    agent.optimizer.step()
    agent.observe(loss, models.batches()[step % 3])


def to_double(model):
    model.double()
    return torch.float64


def to_bfloat16(model):
    model.to(torch.bfloat16)
    return torch.bfloat16


def one_layer_to_double(model):
    # A whole step in float32 cannot be taken any more; the gradients are given.
    model[0].weight.data = model[0].weight.data.double()
    return None


def fewer_hidden(model):
    model[0].weight.data = model[0].weight.data[:5]
    model[0].bias.data = model[0].bias.data[:5]
    model[2].weight.data = model[2].weight.data[:, :5]
    return torch.float32


def more_hidden(model):
    model[0].weight.data = torch.cat([model[0].weight.data, torch.ones(2, 6)])
    model[0].bias.data = torch.cat([model[0].bias.data, torch.ones(2)])
    model[2].weight.data = torch.cat([model[2].weight.data, torch.ones(1, 2)], 1)
    return torch.float32


def flattened(model):
    model[2].bias.data = model[2].bias.data.reshape(())
    return torch.float32


CHANGES = {
    to_double: "0.weight from torch.float32 to torch.float64",
    to_bfloat16: "0.weight from torch.float32 to torch.bfloat16",
    fewer_hidden: "0.weight from shape (8, 6) to shape (5, 6)",
    more_hidden: "0.weight from shape (8, 6) to shape (10, 6)",
    flattened: "2.bias from shape (1,) to shape ()",
}


@both
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_shape_or_dtype_gives_way_to_the_incumbent_aloud(
    change, execution, caplog
):
    model, twin = models.make("mlp"), models.make("mlp")
    optimizer = plain(twin)
    with agent_over(model, SGD, execution=execution) as agent:
        for step in range(12):
            if step == 3:
                decision = agent.decide()
                optimizer = load(SGD)(twin.parameters())
            if step == 6:
                dtype = change(model)
                assert dtype == change(twin)
                optimizer = plain(twin)
            kind = dtype if step >= 6 else torch.float32
            step_of(agent, model, step, kind)
            optimizer.zero_grad()
            backward(twin, step, kind)
            optimizer.step()

    assert "rolled_back" == decision.verdict
    assert CHANGES[change] in decision.reason
    assert CHANGES[change] in caplog.text
    assert all(map(torch.equal, twin.parameters(), model.parameters()))


@both
def test_a_gradient_given_by_hand_to_a_layer_of_another_dtype_is_no_error(execution):
    model = models.make("mlp")
    with agent_over(model, SGD, execution=execution) as agent:
        for step in range(3):
            step_of(agent, model, step)
        decision = agent.decide()
        step_of(agent, model, 3)
        agent.optimizer.zero_grad()
        one_layer_to_double(model)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        before = [p.detach().clone() for p in model.parameters()]
        agent.optimizer.step()

    assert "rolled_back" == decision.verdict
    for one, now in zip(before, model.parameters(), strict=True):
        assert torch.equal(one - 0.02, now)


@both
def test_the_source_that_was_outgrown_may_come_again(execution):
    model = models.make("mlp")
    with agent_over(model, SGD, execution=execution) as agent:
        for step in range(3):
            step_of(agent, model, step)
        agent.decide()
        model.double()
        step_of(agent, model, 3, torch.float64)
        agent.training.batches.clear()
        for step in range(3):
            agent.optimizer.zero_grad()
            loss = backward(model, step, torch.float64)
            agent.optimizer.step()
            inputs, targets = models.batches()[step]
            agent.observe(loss, (inputs.double(), targets.double()))
        again = agent.decide()

    assert ["rolled_back", "applied"] == [each.verdict for each in agent.decisions]
    assert "applied" == again.verdict


@both
def test_every_rule_that_waits_is_outgrown_too(execution):
    model = models.make("mlp")
    with agent_over(model, SGD, MOMENTUM, execution=execution) as agent:
        for step in range(9):
            if step in (3, 6):
                agent.decide()
            step_of(agent, model, step)
        model.double()
        step_of(agent, model, 9, torch.float64)

        assert agent.optimizer.running is agent.optimizer.base_rule
    assert ["rolled_back"] * 2 == [each.verdict for each in agent.decisions]


@both
def test_a_model_outgrows_its_rule_right_before_a_decision_too(execution):
    model = models.make("mlp")
    with agent_over(model, SGD, MOMENTUM, execution=execution) as agent:
        for step in range(6):
            if step == 3:
                agent.decide()
            step_of(agent, model, step)
        fewer_hidden(model)
        agent.optimizer.zero_grad()
        decision = agent.decide()
        for step in range(6):
            step_of(agent, model, step)

    assert ["rolled_back", "applied"] == [each.verdict for each in agent.decisions]
    assert decision is agent.decisions[1]


@both
def test_a_loss_that_breaks_its_bound_after_a_resize_raises_nothing(execution):
    model = models.make("mlp")
    with agent_over(model, SGD, execution=execution) as agent:
        for step in range(6):
            if step == 3:
                agent.decide()
            step_of(agent, model, step)
        fewer_hidden(model)
        agent.observe(float("nan"))
        agent.optimizer.zero_grad()
        step_of(agent, model, 6)

    assert "rolled_back" == agent.decisions[0].verdict
    assert (5, 6) == model[0].weight.shape


@both
def test_parameters_put_into_the_groups_by_hand_are_trained(execution):
    model = models.make("mlp")
    with agent_over(model, SGD, execution=execution) as agent:
        for step in range(6):
            if step == 3:
                decision = agent.decide()
            step_of(agent, model, step)
        model[2] = nn.Linear(8, 1)
        agent.optimizer.param_groups[0]["params"][2:] = list(model[2].parameters())
        before = model[2].weight.detach().clone()
        step_of(agent, model, 6)

    assert "rolled_back" == decision.verdict
    assert "other parameters" in decision.reason
    assert not torch.equal(before, model[2].weight)


def assigned(model):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(state, assign=True)


def another_layer(model):
    model[0] = nn.Linear(6, 8)


def norm_of_old(model):
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(model[0])


def on_meta(model):
    model.to(device="meta")


def converted_by_overwriting(model):
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        model.double()
        model.float()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


REPLACEMENTS = [
    assigned,
    another_layer,
    norm_of_old,
    converted_by_overwriting,
    on_meta,
]


@both
@pytest.mark.parametrize("live", [True, False], ids=["rule", "base"])
@pytest.mark.parametrize("replace", REPLACEMENTS, ids=lambda one: one.__name__)
def test_a_parameter_that_has_left_the_model_is_said_once(
    replace, live, execution, caplog, tmp_path
):
    model, twin = models.make("mlp"), models.make("mlp")
    optimizer = sgd(twin)
    caplog.set_level(logging.WARNING)
    folder = tmp_path / "run"
    with agent_over(
        model, MOMENTUM, execution=execution, base=sgd, run_dir=folder
    ) as agent:
        for step in range(10):
            if step == 3 and live:
                agent.decide()
                optimizer = load(MOMENTUM)(twin.parameters())
            if step == 6:
                for one in (model, twin):
                    torch.manual_seed(3)
                    replace(one)
            device = model[2].bias.device
            for trained, its in ((model, agent.optimizer), (twin, optimizer)):
                its.zero_grad()
                inputs, targets = (each.to(device) for each in models.batches()[0])
                loss = models.objective(trained, (inputs, targets))
                loss.backward()
                its.step()
            agent.observe(1.0, models.batches()[0])

    said = [each for each in caplog.records if "no longer holds" in each.message]
    lines = (folder / "trace.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    told = [one for one in events if one["data"].get("error") == "replaced"]
    assert 1 == len(said) == len(told)
    assert "0.weight" in said[0].message
    assert {"applied"} >= {decision.verdict for decision in agent.decisions}
    if device.type != "meta":
        assert all(map(torch.equal, twin.parameters(), model.parameters()))


def test_a_run_folder_with_such_an_event_is_read(tmp_path):
    from typer.testing import CliRunner

    from dux_agent.cli import app

    model = models.make("mlp")
    folder = tmp_path / "run"
    with agent_over(model, MOMENTUM, execution="inline", run_dir=folder) as agent:
        step_of(agent, model, 0)
        agent.decide()
        another_layer(model)
        step_of(agent, model, 1)

    runner = CliRunner()
    for command in (
        ["trace"],
        ["trace", "--json"],
        ["report"],
        ["trace", "--decision", "1"],
    ):
        out = runner.invoke(app, [command[0], str(folder), *command[1:]])
        assert 0 == out.exit_code, out.output


@both
def test_a_breach_after_a_rebind_is_put_back_into_the_new_memory(execution):
    model = models.make("mlp")
    source = after(6, 'p.fill_(float("nan"))')
    with agent_over(model, source, execution=execution, base=sgd) as agent:
        for step in range(14):
            if step == 3:
                decision = agent.decide()
            if step == 6:
                for p in model.parameters():
                    p.data = p.data.clone()
                pointers = [p.data_ptr() for p in model.parameters()]
            step_of(agent, model, step)

    assert "rolled_back" == decision.verdict
    assert pointers == [p.data_ptr() for p in model.parameters()]
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
