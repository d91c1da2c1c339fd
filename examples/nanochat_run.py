"""A small language model trained as nanochat trains: two optimizers, rates by hand.

    python examples/nanochat_run.py

Muon steps the matrices and AdamW the embedding and the head. Gradients of several
micro-batches are added up, and the loop writes each rate itself. The agent stands
behind the optimizer of the matrices; the other one stays as it is.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

import dux_agent

VOCABULARY, WIDTH, CONTEXT = 17, 32, 8
STEPS, ACCUMULATED, ROWS = 120, 2, 16


class Block(nn.Module):
    """Mixes what came before each place, then each place by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.grow = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.shrink = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, hidden):
        parts = self.attend(functional.rms_norm(hidden, (WIDTH,))).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(*parts, is_causal=True)
        hidden = hidden + mixed
        grown = functional.relu(self.grow(functional.rms_norm(hidden, (WIDTH,))))
        return hidden + self.shrink(grown.square())


class Language(nn.Module):
    """Embedding, two blocks, head; its forward pass gives the loss, as nanochat's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens, targets):
        hidden = self.embedding(tokens) + self.places.weight
        for block in self.blocks:
            hidden = block(hidden)
        return functional.cross_entropy(self.head(hidden).flatten(0, 1), targets)

    def setup_optimizers(self):
        """One for the embeddings and the head, one for the matrices."""
        matrices = list(self.blocks.parameters())
        rest = [p for name, p in self.named_parameters() if "blocks" not in name]
        adamw = torch.optim.AdamW(rest, lr=0.01, betas=(0.8, 0.95), weight_decay=0.0)
        muon = torch.optim.Muon(matrices, lr=0.01, momentum=0.95, weight_decay=0.0)
        for optimizer in (adamw, muon):
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        return adamw, muon


def objective(model, batch):
    """What is trained on, and what a proposal is tried on."""
    return model(*batch)


def next_batch(generator):
    """Sequences in which each token follows from the one before it."""
    start = torch.randint(VOCABULARY, (ROWS, 1), generator=generator)
    row = (start + 3 * torch.arange(CONTEXT + 1)) % VOCABULARY
    return row[:, :-1], row[:, 1:].flatten()


def share_of_rate(step):
    """Nanochat's schedule: flat, then down in the last half."""
    return min(1.0, 2 * (STEPS - step) / STEPS)


def main() -> None:
    """Train, and say what was decided."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = Language()
    adamw, muon = model.setup_optimizers()
    with dux_agent.attach(
        model, muon, objective, lm="offline", every=40, total_steps=STEPS
    ) as agent:
        optimizers = [adamw, agent.optimizer]
        for step in range(STEPS):
            for _ in range(ACCUMULATED):
                batch = next_batch(generator)
                loss = objective(model, batch)
                (loss / ACCUMULATED).backward()
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * share_of_rate(step)
                optimizer.step()
            agent.observe(loss, batch, scale=1.0)
            model.zero_grad(set_to_none=True)
        for each in agent.decisions:
            print(f"step {each.step}: {each.verdict}. {each.reason}")
        print(f"loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
