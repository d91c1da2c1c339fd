"""Decisions kept in Postgres instead of the run folder's sqlite file.

    pip install langgraph-checkpoint-postgres 'psycopg[binary]'
    DUX_POSTGRES=postgresql://user:password@host/database python examples/postgres.py

Any LangGraph checkpointer goes the same way. Each decision has a thread of its own
there, RUN:STEP, and every stage is stored before the next begins: a run that dies and
comes back with `agent.load_state_dict` does not pay for a reply twice.
"""

import os

import torch
from langgraph.checkpoint.postgres import PostgresSaver
from torch import nn

import dux_agent


def main():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    inputs = torch.randn(256, 8)
    targets = inputs.square().sum(1, keepdim=True)

    def objective(model, batch):
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    with PostgresSaver.from_conn_string(os.environ["DUX_POSTGRES"]) as saver:
        saver.setup()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        with dux_agent.attach(
            model, optimizer, objective, lm="offline", checkpointer=saver
        ) as agent:
            for step in range(60):
                if step == 30:
                    print("verdict:", agent.decide().verdict)
                rows = torch.arange(step % 8 * 32, step % 8 * 32 + 32)
                agent.step((inputs[rows], targets[rows]))
        stored = list(saver.list({"configurable": {"thread_id": "run-0:30"}}))
    print("stages stored:", len(stored))


if __name__ == "__main__":
    main()
