"""An agent in Accelerate's loop, against the same training without one."""

import pytest
import torch

from dux_agent import attach
from tests import models
from tests.loops.ends import assert_same, ends
from tests.sources import EXPLODES, MOMENTUM
from tests.talking import scripted

accelerate = pytest.importorskip("accelerate")
safetensors_torch = pytest.importorskip("safetensors.torch")

MODES = ("inline", "isolated")
STEPS = 16
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")


@pytest.fixture(autouse=True)
def nothing_left_of_another_test():
    """Accelerate keeps its choice of precision for the whole process."""
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def trained(source=None, *, execution="inline", **options):
    """Train; the weights at the end, the verdicts, and what a save would want."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    torch.manual_seed(0)
    accelerator = accelerate.Accelerator(cpu=True, **options)
    model = models.mlp()
    base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    agent = None
    if source is not None:
        agent = attach(
            model,
            base,
            models.objective,
            lm=scripted(source),
            every=4,
            total_steps=STEPS,
            max_attempts=1,
            execution=execution,
        )
    optimizer = base if agent is None else agent.optimizer
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    for batch in models.batches(STEPS):
        with accelerator.accumulate(model):
            loss = models.objective(model, batch)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if agent is not None:
            agent.observe(loss, batch)
    return accelerator, model, agent


def ended(accelerator, model, agent):
    found = ends(accelerator.unwrap_model(model))
    if agent is None:
        return found, []
    agent.close()
    return found, [each.verdict for each in agent.decisions]


OPTIONS = {
    "plain": {},
    "accumulating": {"gradient_accumulation_steps": 2},
    "bfloat16": {"mixed_precision": "bf16"},
}


@pytest.mark.parametrize("execution", MODES)
@pytest.mark.parametrize("name", OPTIONS)
def test_accelerate_trains_as_without_an_agent_that_applies_nothing(name, execution):
    expected, _ = ended(*trained(**OPTIONS[name]))

    found, verdicts = ended(*trained(EXPLODES, execution=execution, **OPTIONS[name]))

    assert verdicts and {"kept"} == set(verdicts)
    assert_same(expected, found)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_rule_does_the_same_in_accelerate_wherever_it_runs(name):
    expected, inline = ended(*trained(GENTLE, **OPTIONS[name]))

    found, isolated = ended(*trained(GENTLE, execution="isolated", **OPTIONS[name]))

    assert inline == isolated and {"applied"} == set(inline)
    assert_same(expected, found)


@pytest.mark.parametrize("execution", MODES)
def test_accelerate_saves_and_loads_the_whole_model_while_a_rule_is_live(
    tmp_path, execution
):
    accelerator, model, agent = trained(GENTLE, execution=execution)
    held = ends(model)

    accelerator.save_state(str(tmp_path / "state"))
    accelerator.save_model(model, str(tmp_path / "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    accelerator.load_state(str(tmp_path / "state"))

    saved = safetensors_torch.load_file(tmp_path / "model" / "model.safetensors")
    assert_same(held, ends(model))
    assert_same(held, dict(saved))
    agent.close()


@pytest.mark.parametrize("execution", MODES)
def test_safetensors_save_and_load_a_model_while_a_rule_is_live(tmp_path, execution):
    accelerator, model, agent = trained(GENTLE, execution=execution)
    held = ends(model)

    safetensors_torch.save_model(model, str(tmp_path / "model.safetensors"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    safetensors_torch.load_model(model, str(tmp_path / "model.safetensors"))

    assert_same(held, ends(model))
    agent.close()
