"""Observations that several tests share: a small network between two decisions."""

from dataclasses import replace

from dux_prompts.observation import Observation

MODEL = {
    "kind": "Sequential",
    "parameters": 235146,
    "layers": [
        {
            "name": "0",
            "kind": "Linear",
            "detail": "784 -> 256",
            "parameters": {"weight": [256, 784], "bias": [256]},
            "count": 1,
        },
        {"name": "1", "kind": "Sigmoid", "detail": "", "parameters": {}, "count": 1},
        {
            "name": "2",
            "kind": "Linear",
            "detail": "256 -> 10",
            "parameters": {"weight": [10, 256], "bias": [10]},
            "count": 1,
        },
    ],
}

BASE = {"name": "SGD", "groups": [{"lr": 0.01, "momentum": 0.9, "nesterov": False}]}

SOURCE = (
    "import torch\n\n\n"
    "class Steps(torch.optim.Optimizer):\n"
    "    def __init__(self, params, lr=0.004):\n"
    "        super().__init__(params, dict(lr=lr))\n"
)

EXPERIENCE = [
    {
        "situation": {
            "layers": ["Linear", "Sigmoid"],
            "parameters": 4810,
            "loss": "cross entropy",
            "base": "SGD",
            "live": "SGD",
            "rate": 0.01,
            "stage": 0.2,
            "change": -0.003,
            "gradient": 0.31,
        },
        "proposed": "Steps: the loss is flat, so longer steps",
        "family": "muon",
        "rate": 0.03,
        "verdict": "applied",
        "change": -0.45,
        "before": -0.003,
        "reason": "",
        "lesson": "On a plateau of sigmoids muon at 0.03 was faster than SGD.",
        "source": SOURCE,
    },
    {
        "situation": {"layers": ["Conv2d"], "base": "Adam"},
        "proposed": "Leaps",
        "family": "sgd",
        "rate": 3.0,
        "verdict": "rolled_back",
        "change": None,
        "before": -0.1,
        "reason": "the loss left its bound",
        "lesson": "sgd at 3 was too fast here.",
        "source": None,
    },
]


def first(**changes):
    """The observation after the first epoch: the base optimizer, a flat loss."""
    observation = Observation(
        model=MODEL,
        base_optimizer=BASE,
        loss_name="cross entropy",
        task="MNIST",
        step=135,
        total_steps=675,
        interval=135,
        decision=1,
        decisions_left=3,
        losses=[[3, 2.3123456789012345], [77, 2.2987654321]],
        loss_fifths=[2.3081, 2.3002, 2.2994, 2.2971, 2.2953],
        gradient_norm=0.30000000000000004,
        gradient_norm_fifths=[0.33, 0.28, 0.3, 0.29, 0.28],
        validation_losses=[[135, 2.2982]],
        learning_rates=[0.01],
    )
    return replace(observation, **changes)


def later(**changes):
    """The observation after the second: a proposed rule is live, with a history."""
    before = {
        "step": 270,
        "decision": 2,
        "decisions_left": 2,
        "loss_fifths": [2.17, 1.5, 0.73, 0.37, 0.24],
        "validation_losses": [[135, 2.2982], [270, 0.1499]],
        "learning_rates": [0.004],
        "source": SOURCE,
        "history": [
            {
                "decision": 1,
                "step": 135,
                "verdict": "applied",
                "loss_fifths": [2.3081, 2.3002, 2.2994, 2.2971, 2.2953],
                "validation_loss": 2.2982,
                "summary": "SGD | plateau",
            }
        ],
        "last": {"verdict": "applied", "reason": "passed after 1 try", "findings": []},
    }
    return first(**(before | changes))
