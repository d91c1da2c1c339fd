"""A model and its optimizer are told as plain data of bounded size."""

import json

import torch
from torch import nn

from dux_agent.training.structure import describe_model, describe_optimizer
from tests import models


def test_layers_activations_shapes_and_counts_are_told():
    told = describe_model(models.make("mlp"))

    assert ("Sequential", 65) == (told["kind"], told["parameters"])
    assert ["Linear", "Tanh", "Linear"] == [layer["kind"] for layer in told["layers"]]
    assert {"weight": [8, 6], "bias": [8]} == told["layers"][0]["parameters"]
    assert "in_features=6" in told["layers"][0]["detail"]


def test_blocks_that_are_alike_are_told_once_with_a_count():
    model = nn.Sequential(
        nn.Embedding(10, 4),
        nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(12)]),
        nn.Linear(4, 2),
    )

    layers = describe_model(model)["layers"]

    assert [("0", 1), ("1.0-11.0", 12), ("1.0-11.1", 12), ("2", 1)] == [
        (layer["name"], layer["count"]) for layer in layers
    ]


def test_thousands_of_different_modules_stay_readable_and_plain():
    model = nn.ModuleList([nn.Linear(1, size % 97 + 1) for size in range(3000)])

    told = describe_model(model)

    assert 60 == len(told["layers"])
    assert 3000 == sum(layer["count"] for layer in told["layers"])
    assert told == json.loads(json.dumps(told))


def test_shared_and_parametrised_weights_are_counted_once():
    for kind in models.KINDS:
        model = models.make(kind)

        told = describe_model(model)

        assert sum(p.numel() for p in model.parameters()) == told["parameters"]
        assert told == json.loads(json.dumps(told))


def test_a_compiled_model_is_told_as_what_was_compiled():
    model = models.make("mlp")

    compiled = torch.compile(model, backend="eager")

    assert describe_model(model) == describe_model(compiled)


def test_hyperparameters_are_told_without_what_schedulers_keep():
    model = models.make("mlp")
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.5))
    torch.optim.lr_scheduler.StepLR(optimizer, 3)

    told = describe_optimizer("AdamW", optimizer.param_groups, optimizer.defaults)

    assert "AdamW" == told["name"]
    assert (0.5, [0.9, 0.999]) == (told["groups"][0]["lr"], told["groups"][0]["betas"])
    assert not {"initial_lr", "params"} & set(told["groups"][0])
    assert told == json.loads(json.dumps(told))
