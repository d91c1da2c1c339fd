"""The task mnist: a sigmoid MLP on MNIST, 135 steps an epoch."""

import io

import numpy as np
import torch
from torch.nn import functional

from dux_agent.tasks.array_cache import Arrays, cached
from dux_agent.tasks.in_memory import Batch, InMemoryTask
from dux_agent.tasks.sigmoid_mlp import sigmoid_mlp
from dux_agent.tasks.tables import Table, table

TRAIN = 54_000  # of 60,000; the rest is the validation split


def _decode(images: Table) -> Arrays:
    from PIL import Image

    pixels, labels = [], []
    for row in images.rows:
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        pixels.append(np.asarray(picture, dtype=np.uint8))
        labels.append(row["label"])
    return {"pixels": np.stack(pixels), "labels": np.array(labels, dtype=np.int64)}


def pictures(split: str) -> Batch:
    """Pixels (n, 784) from 0 to 1, float32, and labels (n,), int64.

    Args:
        split: "train" or "test".

    Raises:
        DataMissing: MNIST cannot be had, see `dux_agent.tasks.tables`.
    """
    origin = table("mnist", split)
    arrays = cached(f"mnist-{split}", origin.identity, lambda: _decode(origin))
    pixels = torch.from_numpy(arrays["pixels"]).float().div_(255).flatten(1)
    return pixels, torch.from_numpy(arrays["labels"]).long()


def build(
    seed: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> InMemoryTask:
    """The task with the initial weights of `seed`.

    Raises:
        DataMissing: MNIST cannot be had, see `dux_agent.tasks.tables`.
    """
    inputs, targets = pictures("train")
    splits = {
        "train": (inputs[:TRAIN], targets[:TRAIN]),
        "val": (inputs[TRAIN:], targets[TRAIN:]),
        "test": pictures("test"),
    }
    torch.manual_seed(seed)
    model = sigmoid_mlp(784, 256, 128, 10)
    return InMemoryTask(
        name="mnist",
        description="MNIST",
        loss_name="cross entropy",
        model=model,
        loss=functional.cross_entropy,
        base=lambda: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        batch_size=400,
        seed=seed,
        device=device,
        dtype=dtype,
        splits=splits,
    )
