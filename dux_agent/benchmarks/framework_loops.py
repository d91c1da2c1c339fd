"""One training in a plain loop, Lightning, Transformers and Accelerate, for timing."""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import dux_agent
from dux_agent.tasks.in_memory import Batch

Objective = Callable[[Any, Any], torch.Tensor]
Run = Callable[[nn.Module, Objective, Iterator[Batch], int, bool], None]
"""Trains a model on batches for so many steps, with an agent or without."""

EVERY = 500
"""At this step the agent would decide; trainings for timing end before."""

_OPTIONS: dict[str, Any] = {"lm": "offline", "every": EVERY}
_RATE = 1e-3


class _Rows(IterableDataset[Batch]):
    """Batches that are there already, and how many."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self._batches


def _loader(batches: Iterator[Any]) -> DataLoader[Any]:
    return DataLoader(_Rows(batches), batch_size=None)


def plain(
    model: nn.Module,
    objective: Objective,
    batches: Iterator[Batch],
    steps: int,
    agent: bool,
) -> None:
    """The loop of the README."""
    optimizer: Any = torch.optim.SGD(model.parameters(), _RATE)
    attached: Any = nullcontext()
    if agent:
        attached = dux_agent.attach(model, optimizer, objective, **_OPTIONS)
        optimizer = attached.optimizer
    with attached:
        for batch in batches:
            optimizer.zero_grad()
            loss = objective(model, batch)
            loss.backward()
            optimizer.step()
            if agent:
                attached.observe(loss, batch)


def in_lightning(
    model: nn.Module,
    objective: Objective,
    batches: Iterator[Batch],
    steps: int,
    agent: bool,
) -> None:
    """`L.Trainer.fit`, with `DuxCallback` or without."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), _RATE)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return objective(self.net, batch)

    callbacks: list[Any] = []
    if agent:
        from dux_agent.integrations.lightning import DuxCallback

        callbacks = [DuxCallback(**_OPTIONS)]
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=1,
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=callbacks,
        )
        trainer.fit(Module(), _loader(batches))


def in_transformers(
    model: nn.Module,
    objective: Objective,
    batches: Iterator[Batch],
    steps: int,
    agent: bool,
) -> None:
    """`transformers.Trainer.train`, with `attach_trainer` or without."""
    import transformers

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def forward(self, inputs: Any, labels: Any) -> dict[str, Any]:
            return {"loss": objective(self.net, (inputs, labels))}

    class Trainer(transformers.Trainer):
        def get_train_dataloader(self) -> DataLoader[Any]:
            named = ({"inputs": each, "labels": aim} for each, aim in batches)
            return _loader(named)

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            learning_rate=_RATE,
            optim="sgd",
        )
        trainer = Trainer(model=Model(), args=arguments)
        trainer.remove_callback(transformers.PrinterCallback)
        attached: Any = nullcontext()
        if agent:
            from dux_agent.integrations.transformers import attach_trainer

            attached = attach_trainer(trainer, **_OPTIONS)
        with attached:
            trainer.train()


def in_accelerate(
    model: nn.Module,
    objective: Objective,
    batches: Iterator[Batch],
    steps: int,
    agent: bool,
) -> None:
    """A loop of Accelerate's, with `attach` or without."""
    import accelerate

    accelerator = accelerate.Accelerator(cpu=True)
    optimizer: Any = torch.optim.SGD(model.parameters(), _RATE)
    loader: Any = _loader(batches)
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    attached: Any = nullcontext()
    if agent:
        from dux_agent.integrations.accelerate import attach

        attached = attach(accelerator, prepared, optimizer, objective, **_OPTIONS)
    with attached:
        for batch in loader:
            loss = objective(prepared, batch)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()


LOOPS: dict[str, Run] = {
    "plain": plain,
    "lightning": in_lightning,
    "transformers": in_transformers,
    "accelerate": in_accelerate,
}
