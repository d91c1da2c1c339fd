"""Trainings in frameworks that are killed, and that go on in another process.

`python -m tests.integrations.trainings NAME FOLDER MODE...` trains once for each mode
and writes each step's loss to a file. "whole": undisturbed. "die=STEP": the process is
ended by SIGKILL when that step begins. "resume": from the last checkpoint that is left.
"alone": the same where there is no dux-agent to be imported.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from tests import models

STEPS, SAVED_EVERY, DECIDED_EVERY = 20, 3, 4


def batches(die=None):
    """As a loader gives them; the process ends at one of them."""
    for step, batch in enumerate(models.batches(STEPS)):
        if step == die:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch


class Batches:
    """A loader that knows where it is, as a run that goes on in mid-epoch needs."""

    def __init__(self, die):
        self.die, self.at = die, 0

    def __len__(self):
        return STEPS

    def __iter__(self):
        for step, batch in enumerate(batches(self.die)):
            if step >= self.at:
                self.at = step + 1
                yield batch

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def options():
    """Of every agent: a rule is live from the fourth step on."""
    from tests.sources import MOMENTUM
    from tests.talking import scripted

    return {
        "lm": scripted(MOMENTUM.replace("lr=0.05", "lr=0.01")),
        "every": DECIDED_EVERY,
        "max_attempts": 1,
        "execution": "inline",
    }


def in_lightning(folder, tell, *, agent, resume, die):
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = models.dropout()

        def forward(self, inputs):
            return self.net(inputs)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.9)

        def training_step(self, batch, batch_idx):
            return models.objective(self, batch)

        def on_train_batch_end(self, outputs, batch, batch_idx):
            tell(batch_idx, float(outputs["loss"]))

    saving = ModelCheckpoint(
        folder, every_n_train_steps=SAVED_EVERY, save_top_k=-1, filename="{step:02d}"
    )
    callbacks = [saving]
    if agent:
        from dux_agent.integrations.lightning import DuxCallback

        callbacks = [DuxCallback(**options()), saving]
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )
    last = max(Path(folder).glob("*.ckpt")) if resume else None
    trainer.fit(Module(), Batches(die), ckpt_path=last)


def in_transformers(folder, tell, *, agent, resume, die):
    import transformers

    class Rows(torch.utils.data.Dataset):
        """One row a step, so that a step is known by what is asked for."""

        def __len__(self):
            return STEPS

        def __getitem__(self, at):
            return {"inputs": torch.full((6,), at / STEPS), "at": at}

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = models.dropout()

        def forward(self, inputs, at=None):
            return {"loss": (self.net(inputs) - 1).square().mean()}

    class Telling(transformers.TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == die:
                os.kill(os.getpid(), signal.SIGKILL)

        def on_log(self, args, state, control, logs, **_):
            if "loss" in logs:
                tell(state.global_step - 1, logs["loss"])

    trainer = transformers.Trainer(
        model=Model(),
        args=transformers.TrainingArguments(
            output_dir=str(folder),
            max_steps=STEPS,
            per_device_train_batch_size=2,
            use_cpu=True,
            report_to=[],
            save_strategy="steps",
            save_steps=SAVED_EVERY,
            disable_tqdm=True,
            seed=5,
            logging_steps=1,
            learning_rate=1e-2,
            lr_scheduler_type="cosine",
        ),
        train_dataset=Rows(),
        callbacks=[Telling()],
    )
    if agent:
        from dux_agent.integrations.transformers import attach_trainer

        attach_trainer(trainer, **options())
    trainer.train(resume_from_checkpoint=resume or None)


def in_accelerate(folder, tell, *, agent, resume, die):
    import accelerate

    accelerator = accelerate.Accelerator(cpu=True)
    model = models.dropout()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    whole = [torch.cat(parts) for parts in zip(*models.batches(STEPS), strict=True)]
    data = torch.utils.data.TensorDataset(*whole)
    # Each pass over a loader draws a number; dropout's are to be those of before.
    loader = torch.utils.data.DataLoader(
        data, batch_size=len(whole[0]) // STEPS, generator=torch.Generator()
    )
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    if agent:
        from dux_agent.integrations.accelerate import attach

        attach(accelerator, model, optimizer, models.objective, **options())
    first = 0
    if resume:
        last = max(Path(folder).glob("step-*"))
        accelerator.load_state(str(last))
        first = int(last.name.partition("-")[2])
    for step, batch in enumerate(accelerator.skip_first_batches(loader, first), first):
        if step == die:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = models.objective(model, batch)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        tell(step, float(loss))
        if (step + 1) % SAVED_EVERY == 0:
            accelerator.save_state(str(Path(folder) / f"step-{step + 1:02d}"))


TRAININGS = {
    "lightning": in_lightning,
    "transformers": in_transformers,
    "accelerate": in_accelerate,
}


def main(name, folder, *modes):
    for mode in modes:
        kind, _, step = mode.partition("=")
        if kind == "alone":
            for package in ("dux_agent", "dux_graphs", "dux_prompts", "dux_sandbox"):
                sys.modules[package] = None
        where = Path(folder) / ("whole" if kind == "whole" else "died")
        where.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0 if kind in ("whole", "die") else 9)
        with open(where / f"losses-{kind}", "w", buffering=1) as out:
            TRAININGS[name](
                where,
                lambda at, loss, out=out: print(at, loss.hex(), file=out),
                agent=kind != "alone",
                resume=kind in ("resume", "alone"),
                die=int(step) if step else None,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
