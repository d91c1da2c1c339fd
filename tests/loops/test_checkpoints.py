"""Other people's tools save and load a model while a rule is live."""

import os

import pytest
import torch
from torch import nn

from dux_agent import attach
from tests import models
from tests.executions import both
from tests.swapping import MOMENTUM
from tests.talking import scripted, sgd

safetensors = pytest.importorskip("safetensors.torch")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def train(agent, model, steps):
    for step in range(steps):
        batch = models.batches()[step % 3]
        agent.optimizer.zero_grad()
        loss = models.objective(model, batch)
        loss.backward()
        agent.optimizer.step()
        agent.observe(loss, batch)


def live(model, execution, objective=models.objective):
    """An agent whose rule is live and has stepped."""
    agent = attach(
        model,
        sgd(model),
        objective,
        lm=scripted(MOMENTUM),
        execution=execution,
        dry_run_steps=1,
    )
    train(agent, model, 3)
    assert "applied" == agent.decide().verdict
    train(agent, model, 2)
    return agent


@both
@pytest.mark.parametrize("kind", ["mlp", "tied", "batch norm"])
def test_safetensors_save_whole_models(kind, execution, tmp_path):
    model, other = models.make(kind), models.make(kind)
    with live(model, execution) as agent:
        safetensors.save_model(model, tmp_path / "model")
        if kind != "tied":  # its save_file takes no shared tensors from anybody
            safetensors.save_file(model.state_dict(), tmp_path / "state")
        there = [p.detach().clone() for p in model.parameters()]
        train(agent, model, 1)

    missing, unexpected = safetensors.load_model(other, tmp_path / "model")
    assert ([], []) == (list(missing), list(unexpected))
    assert all(map(torch.equal, there, other.parameters()))
    if kind != "tied":
        assert set(model.state_dict()) == set(safetensors.load_file(tmp_path / "state"))


@both
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "pickle"])
def test_accelerate_saves_and_loads_whole_models(safe, execution, tmp_path):
    accelerate = pytest.importorskip("accelerate")
    model = models.make("mlp")
    accelerator = accelerate.Accelerator(cpu=True)
    with live(model, execution) as agent:
        prepared = accelerator.prepare(model)
        optimizer = accelerator.prepare(agent.optimizer)
        accelerator.save_state(str(tmp_path / "state"), safe_serialization=safe)
        accelerator.save_model(
            prepared, str(tmp_path / "model"), safe_serialization=safe
        )
        there = {k: v.clone() for k, v in model.state_dict().items()}
        train(agent, model, 3)
        assert not torch.equal(there["0.weight"], model[0].weight)
        accelerator.load_state(str(tmp_path / "state"))
        back = {k: v.clone() for k, v in model.state_dict().items()}
        train(agent, model, 3)
        went_on = not torch.equal(there["0.weight"], model[0].weight)
        assert optimizer.optimizer is agent.optimizer
    accelerator.free_memory()

    (name,) = os.listdir(tmp_path / "model")
    file = tmp_path / "model" / name
    held = safetensors.load_file(file) if safe else torch.load(file)
    assert there.keys() == held.keys() == back.keys()
    for key, value in there.items():
        assert torch.equal(value, held[key])
        assert torch.equal(value, back[key])
    assert went_on
    assert ["applied"] == [decision.verdict for decision in agent.decisions]


@both
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_transformers_save_whole_models(tied, execution, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=32, n_positions=16, n_embd=8, n_layer=1, n_head=2
    )
    config.tie_word_embeddings = tied
    model = transformers.GPT2LMHeadModel(config)
    words = torch.randint(32, (4, 8), generator=torch.Generator().manual_seed(1))

    def objective(model, batch):
        return model(input_ids=batch, labels=batch).loss

    agent = attach(
        model,
        torch.optim.AdamW(model.parameters(), lr=1e-3),
        objective,
        lm=scripted(MOMENTUM),
        execution=execution,
        dry_run_steps=1,
    )
    with agent:
        for step in range(6):
            if step == 3:
                assert "applied" == agent.decide().verdict
            agent.step(words)
        model.save_pretrained(tmp_path)
        there = {k: v.clone() for k, v in model.state_dict().items()}
        agent.step(words)
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)

    assert there.keys() == again.state_dict().keys()
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in there.items())
    assert (again.lm_head.weight is again.transformer.wte.weight) == tied


@both
def test_two_dtypes_are_saved_by_torch(execution, tmp_path):
    torch.manual_seed(0)

    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 8, dtype=torch.bfloat16)
            self.head = nn.Linear(8, 1)

        def forward(self, inputs):
            return self.head(self.first(inputs.bfloat16()).float())

    model = Halves()
    with live(model, execution):
        torch.save(model.state_dict(), tmp_path / "state")
        there = {k: v.clone() for k, v in model.state_dict().items()}
    held = torch.load(tmp_path / "state")

    assert all(torch.equal(value, held[key]) for key, value in there.items())
    assert (tmp_path / "state").stat().st_size < 6000
