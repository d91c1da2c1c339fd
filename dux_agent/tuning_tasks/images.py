"""The paper's image tasks made small: two networks on the first pictures of MNIST.

The paper tunes a ResNet and a vision transformer on CIFAR-10 for 20 epochs on an
accelerator; here an evaluation takes seconds on one core. The space is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from dux_prompts.tuning.hyperparameters import Hyperparameter, one_of, real, whole

if TYPE_CHECKING:
    from torch import Tensor, nn

_NETWORKS = f"{__package__}.image_networks"
TRAIN_ROWS, VALIDATION_ROWS, TEST_ROWS = 1500, 500, 2000
EPOCHS, WARM_UP = 6, 1
NETWORKS = ("resnet", "vit")

_WORDS = {
    "resnet": "small residual network (batch normalization, 2 blocks, 16 and 32 maps)",
    "vit": "small vision transformer (patches of 7 x 7, width 64, depth 2, 4 heads)",
}


@dataclass(frozen=True)
class ImageTask:
    """One network on MNIST's first 2,000 pictures; calling it trains it once.

    Attributes:
        network: a name in `NETWORKS`.
        seed: of the weights and of the order of batches.
    """

    network: str
    seed: int = 0

    made_of = (_NETWORKS, "dux_agent.tasks.mnist")
    packages = ("torch",)
    files = ()

    @property
    def space(self) -> Mapping[str, Hyperparameter]:
        """The paper's; the size of a batch is any number between its choices.

        The defaults are what a script has that nobody tuned: Adam as torch has it.
        """
        return {
            "optimizer": one_of("adam", "sgd", default="adam"),
            "learning_rate": real(1e-4, 1e-1, log=True, default=1e-3),
            "batch_size": whole(32, 512, log=True, default=128),
            "weight_decay": real(1e-5, 1e-1, log=True, default=1e-5),
            "label_smoothing": real(0.0, 0.2, default=0.0),
        }

    @property
    def task(self) -> str:
        """What a prompt says of it."""
        return (
            f"Model: {_WORDS[self.network]}. Data: handwritten digits, 28 x 28 pixels; "
            f"{TRAIN_ROWS} training pictures, 10 classes. {EPOCHS} epochs; the "
            f"learning rate rises for {WARM_UP} and falls to 0 on a line. Value: "
            f"validation error rate."
        )

    @property
    def short_task(self) -> str:
        """As little as the paper's short prompt says."""
        return "A neural network is trained. Value: validation error rate."

    @property
    def defaults(self) -> tuple[dict[str, Any], ...]:
        """Those of the space."""
        return ({name: each.start for name, each in self.space.items()},)

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Train once: the validation error, and the test error as a report.

        A training that diverges is scored like any other.

        Raises:
            DataMissing: MNIST cannot be had.
            ValueError: torch takes no such value.
        """
        import torch

        from dux_agent.tuning_tasks.image_networks import build

        data = small_mnist()
        threads = torch.get_num_threads()
        # One core, so that the same configuration gives the same error everywhere.
        torch.set_num_threads(1)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                model = build(self.network)
                _train(model, config, *data["train"])
            errors = {
                name: _error(model, *data[name]) for name in ("validation", "test")
            }
        finally:
            torch.set_num_threads(threads)
        return {"value": errors["validation"], "report": {"test_error": errors["test"]}}


@cache
def small_mnist() -> dict[str, tuple[Tensor, Tensor]]:
    """Pictures (n, 1, 28, 28), standardized on the training part, and labels (n,)."""
    from dux_agent.tasks.mnist import pictures

    pixels, labels = pictures("train")
    others, their_labels = pictures("test")
    mean, spread = pixels[:TRAIN_ROWS].mean(), pixels[:TRAIN_ROWS].std()

    def part(held: Tensor, named: Tensor, first: int, count: int) -> Any:
        rows = slice(first, first + count)
        return ((held[rows] - mean) / spread).view(-1, 1, 28, 28), named[rows]

    return {
        "train": part(pixels, labels, 0, TRAIN_ROWS),
        "validation": part(pixels, labels, TRAIN_ROWS, VALIDATION_ROWS),
        "test": part(others, their_labels, 0, TEST_ROWS),
    }


def _train(
    model: nn.Module, config: Mapping[str, Any], inputs: Tensor, targets: Tensor
) -> None:
    """Train in place: cross entropy, the rate up for an epoch and down to 0."""
    import torch
    from torch.nn import functional

    size = min(int(config["batch_size"]), len(inputs))
    steps = max(1, len(inputs) // size)
    rate, decay = float(config["learning_rate"]), float(config["weight_decay"])
    kinds: dict[str, Any] = {
        "adam": lambda rows: torch.optim.Adam(rows, lr=rate, weight_decay=decay),
        "sgd": lambda rows: torch.optim.SGD(
            rows, lr=rate, momentum=0.9, weight_decay=decay
        ),
    }
    optimizer = kinds[config["optimizer"]](model.parameters())
    rising, whole_run = WARM_UP * steps, EPOCHS * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / rising,
            max(0.0, (whole_run - step) / (whole_run - rising)),
        ),
    )
    model.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(inputs))[: steps * size].split(size):
            loss = functional.cross_entropy(
                model(inputs[rows]),
                targets[rows],
                label_smoothing=float(config["label_smoothing"]),
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _error(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    import torch

    model.eval()
    with torch.no_grad():
        chosen = torch.cat([model(rows).argmax(1) for rows in inputs.split(500)])
    return float((chosen != targets).double().mean())
