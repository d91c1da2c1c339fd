"""A task whose data fit into memory: a model, three splits, a loss, an optimizer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dux_agent.tasks.mean_loss import MeanLoss, standard_error
from dux_sandbox.random_state import seed_all

# Fixes subsets, noise and permutations of every task.
DATA_SEED = 20241101

Batch = tuple[Tensor, Tensor]


@dataclass
class InMemoryTask:
    """One training task, built for one seed; see `dux_agent.tasks.protocol`.

    Attributes:
        name: what `dux run` calls it.
        description: the few words that a task-informed optimizer is told.
        loss_name: the loss, in words.
        model: freshly initialized from the seed.
        loss: (model output, target) -> scalar tensor.
        base: () -> a new base optimizer over the model's parameters.
        batch_size: samples a training step; an incomplete last batch is dropped.
        seed: decides weights, order of batches and dropout masks.
        splits: "train", "val" and "test" -> (inputs, targets), first axes equal.
        evaluation_batch: samples at a time in `evaluate`.
        epochs: epochs of a whole run.
        device: where model and data are moved to; None leaves them where they are.
        dtype: of the weights, and of those data that are no whole numbers; None leaves
            it. The weights are drawn as the model was made and rounded afterwards.
    """

    name: str
    description: str
    loss_name: str
    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    base: Callable[[], torch.optim.Optimizer]
    batch_size: int
    seed: int
    splits: dict[str, Batch] = field(repr=False)
    evaluation_batch: int = 1000
    epochs: int = 5
    device: torch.device | None = None
    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        if self.device is None and self.dtype is None:
            return
        self.model.to(device=self.device, dtype=self.dtype)
        self.splits = {
            name: (self._placed(inputs), self._placed(targets))
            for name, (inputs, targets) in self.splits.items()
        }

    def _placed(self, data: Tensor) -> Tensor:
        dtype = self.dtype if data.is_floating_point() else None
        return data.to(device=self.device, dtype=dtype)

    @property
    def steps_per_epoch(self) -> int:
        """Training steps of one epoch."""
        return len(self.splits["train"][0]) // self.batch_size

    def base_optimizer(self) -> torch.optim.Optimizer:
        """A new base optimizer over the model's parameters."""
        return self.base()

    def objective(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of `model` over a batch, a scalar tensor."""
        inputs, targets = batch
        return self.loss(model(inputs), targets)

    def train_batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0; reseeds every generator."""
        inputs, targets = self.splits["train"]
        seed_all(1_000_003 * (self.seed + 1) + epoch)
        order = torch.randperm(len(inputs))
        for rows in torch.split(order, self.batch_size)[: self.steps_per_epoch]:
            yield inputs[rows], targets[rows]

    @torch.no_grad()
    def evaluate(self, split: str, model: nn.Module | None = None) -> float:
        """The mean loss over the whole of a split, in eval mode; a `MeanLoss`.

        Leaves the model in the mode it was in and draws no random number.
        """
        model = self.model if model is None else model
        inputs, targets = self.splits[split]
        modes = [module.training for module in model.modules()]
        model.eval()
        total, means = 0.0, []
        pieces = (
            torch.split(each, self.evaluation_batch) for each in (inputs, targets)
        )
        for batch in zip(*pieces, strict=True):
            means.append(self.objective(model, batch).item())
            total += means[-1] * len(batch[0])
        for module, training in zip(model.modules(), modes, strict=True):
            module.training = training
        return MeanLoss(total / len(inputs), standard_error(means))
