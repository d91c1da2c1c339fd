"""The task digits: a sigmoid MLP on scikit-learn's bundled 8 x 8 digits.

It needs no download and a training takes two seconds, so the demo and the tests use
it. The model is of the same kind as mnist's, with one hidden layer of 64: the base
optimizer is slow on it and learns (test loss 1.8 after five epochs; Adam reaches 1.6,
0.7 and 0.3 at 1e-3, 3e-3 and 1e-2), so that there is something to gain.
"""

import torch
from torch.nn import functional

from dux_agent.tasks.in_memory import DATA_SEED, InMemoryTask
from dux_agent.tasks.sigmoid_mlp import sigmoid_mlp


def build(
    seed: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> InMemoryTask:
    """The task with the initial weights of `seed`: 67 steps an epoch.

    1,797 pictures, pixels / 16, split 60/20/20 by one fixed permutation.
    """
    from sklearn.datasets import load_digits

    loaded = load_digits()
    inputs = torch.from_numpy(loaded.data).float().div_(16)
    targets = torch.from_numpy(loaded.target).long()
    generator = torch.Generator().manual_seed(DATA_SEED + 31)
    order = torch.randperm(len(inputs), generator=generator)
    first, second = len(order) * 6 // 10, len(order) * 8 // 10
    train, val, test = order[:first], order[first:second], order[second:]

    torch.manual_seed(seed)
    model = sigmoid_mlp(64, 64, 10)
    return InMemoryTask(
        name="digits",
        description="handwritten digits",
        loss_name="cross entropy",
        model=model,
        loss=functional.cross_entropy,
        base=lambda: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        batch_size=16,
        seed=seed,
        device=device,
        dtype=dtype,
        splits={
            name: (inputs[rows], targets[rows])
            for name, rows in (("train", train), ("val", val), ("test", test))
        },
    )
