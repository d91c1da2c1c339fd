"""A Transformers training with the one line that puts an agent behind it.

    pip install 'dux-agent[transformers]'
    python examples/transformers_run.py

It needs no network: the model is small and begins from random weights, and
lm="offline" is a set of written rules, not a language model.
"""

from __future__ import annotations

import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from dux_agent.integrations.transformers import attach_trainer


def rows(count: int) -> list[dict[str, torch.Tensor]]:
    """Sequences of 16 tokens that count up from somewhere, modulo 32."""
    starts = torch.arange(count) % 32
    ids = (starts[:, None] + torch.arange(16)) % 32
    return [{"input_ids": each, "labels": each} for each in ids]


def main() -> None:
    """Train for 120 steps; another optimizer every 40 steps."""
    torch.manual_seed(0)
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 32, "n_positions": 16}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=32, **shape, **ends))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=120,
                per_device_train_batch_size=16,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                logging_steps=40,
            ),
            train_dataset=rows(256),
        )
        agent = attach_trainer(trainer, lm="offline", every=40)  # the line
        trainer.train()
    agent.close()
    for decision in agent.decisions:
        print(f"  step {decision.step}: {decision.verdict}: {decision.reason}")
    losses = [each["loss"] for each in trainer.state.log_history if "loss" in each]
    print(f"mean losses {losses[0]:.3f}, then {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
