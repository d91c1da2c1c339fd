"""The image tasks: two small networks in the paper's space."""

import os

import pytest
import torch

from dux_agent.tuning_tasks import images
from dux_agent.tuning_tasks.image_networks import build
from dux_agent.tuning_tasks.images import NETWORKS, ImageTask
from dux_agent.tuning_tasks.named import build as task_named
from dux_prompts.tuning.space import Space


@pytest.fixture
def stripes(monkeypatch):
    """Pictures whose class is the row that is bright, in place of MNIST's."""
    generator = torch.Generator().manual_seed(0)

    def pictures(split):
        count = 2000
        labels = torch.randint(10, (count,), generator=generator)
        pixels = 0.1 * torch.rand(count, 28, 28, generator=generator)
        pixels[torch.arange(count), 2 * labels + 4] = 1.0
        return pixels.flatten(1), labels

    monkeypatch.setattr("dux_agent.tasks.mnist.pictures", pictures)
    for name, count in (("TRAIN", 320), ("VALIDATION", 100), ("TEST", 100)):
        monkeypatch.setattr(images, f"{name}_ROWS", count)
    images.small_mnist.cache_clear()
    yield
    images.small_mnist.cache_clear()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_takes_pictures_and_gives_ten_scores(network):
    model = build(network)

    scores = model(torch.randn(3, 1, 28, 28))
    scores.sum().backward()

    assert (3, 10) == scores.shape
    assert all(each.grad is not None for each in model.parameters())


@pytest.mark.parametrize("network", NETWORKS)
def test_an_evaluation_learns_and_repeats_itself_and_leaves_torch_as_it_was(
    network, stripes
):
    task = task_named(f"image:{network}")
    config = {**task.defaults[0], "learning_rate": 0.01, "batch_size": 32}
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    first, again = task(config), task(config)

    assert first == again
    assert first["value"] < 0.8
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()


@pytest.mark.parametrize(
    "odd",
    [
        {"learning_rate": 1e12},
        {"batch_size": 10**9},
        {"weight_decay": 100.0},
        {"optimizer": "sgd", "learning_rate": 1e6},
    ],
)
def test_what_a_space_without_ends_allows_is_scored(odd, stripes):
    task = ImageTask("vit")

    error = task({**task.defaults[0], **odd})["value"]

    assert 0.0 <= error <= 1.0


@pytest.mark.parametrize("network", NETWORKS)
def test_the_defaults_lie_in_the_space(network):
    task = ImageTask(network)

    assert [] == Space(task.space).problems(task.defaults[0])
    assert Space(task.space).default == task.defaults[0]


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_the_real_pictures_are_told_apart(network):
    if not os.environ.get("DUX_DATA"):
        pytest.skip("DUX_DATA names no folder with mnist/")
    task = ImageTask(network)

    told = task({**task.defaults[0], "batch_size": 32})

    assert told["value"] < 0.5
    assert told["report"]["test_error"] < 0.5
