"""What a rule is tried on by `dux check`, where it is not for every parameter."""

import pytest
import torch
from torch import nn

from dux_agent.checking.trying import Trial
from dux_agent.checking.vetting import vet

RULE = """
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02):
        params = list(params)
{begun}
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
{each}
                p.add_(g, alpha=-group["lr"])
"""


def rule(each="pass", begun="pass"):
    return RULE.format(begun=" " * 8 + begun, each=" " * 16 + each)


FOR_MATRICES = {
    "asserts": rule("assert g.ndim == 2"),
    "raises": rule('if g.ndim != 2: raise ValueError("matrices only")'),
    "at once": rule(begun="assert all(each.dim() >= 2 for each in params)"),
    "unpacks": rule("rows, columns = g.shape; g = g * max(1, rows / columns) ** 0.5"),
    "another axis": rule("g = g / (g.norm(dim=-2, keepdim=True) + 1e-7)"),
    "size": rule(
        "g = g.mT if g.size(-2) > g.size(-1) else g; g = g.view_as(p)"
    ).replace("g.view_as(p)", "g.reshape(p.shape)"),
    "products": rule("g = torch.linalg.inv(torch.eye(len(g)) + torch.mm(g, g.T)) @ g"),
    "loop": rule("for at in range(g.shape[1]): g[:, at] -= g[:, at].mean()"),
}


@pytest.mark.parametrize("name", list(FOR_MATRICES))
def test_a_rule_for_matrices_is_tried_on_those_alone_and_a_note_says_so(name):
    vetted = vet("muon.py", FOR_MATRICES[name])

    notes = [note.finding for note in vetted.notes]
    assert vetted.ok, vetted.findings
    assert ["matrices only"] == [note.rule for note in notes]
    assert "on the matrices of the model alone" in notes[0].message
    assert "to another optimizer" in notes[0].instead
    assert vetted.as_dict()["dry_run"]["ok"]


@pytest.mark.parametrize(
    "source",
    {
        "on a matrix too": rule('g = group["none"]'),
        "later": rule("self.t = getattr(self, 't', 0) + 1; assert self.t < 5"),
        "diverges": rule("assert g.ndim == 2; g = g * 1e9"),
    }.values(),
)
def test_a_rule_that_fails_on_matrices_as_well_is_refused_for_the_first_fault(source):
    vetted = vet("rule.py", source)

    assert not vetted.ok
    assert "raised" == vetted.findings[0].finding.rule
    assert not vetted.notes


def test_a_rule_for_every_parameter_gets_no_note():
    vetted = vet("rule.py", rule())

    assert vetted.ok
    assert not vetted.notes


def test_a_model_without_matrices_offers_none():
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten())
    trial = Trial(model, torch.optim.SGD(model.parameters()), lambda *_: None, [])

    assert trial.of_matrices() is None


def test_the_matrices_of_a_users_own_model_are_offered():
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    batches = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(3)]
    trial = Trial(
        model,
        torch.optim.SGD(model.parameters(), lr=0.01),
        lambda model, batch: (model(batch[0]) - batch[1]).square().mean(),
        batches,
    )
    before = [each.detach().clone() for each in model.parameters()]

    vetted = vet("muon.py", FOR_MATRICES["asserts"], trial=trial)

    assert vetted.ok
    assert all(map(torch.equal, before, model.parameters()))


def test_a_function_that_no_class_uses_stands_in_nobodys_way():
    factory = "def build(model):\n    return Rule(model.named_parameters())\n\n\n"
    main = 'if __name__ == "__main__":\n    p = build(None)\n'
    source = rule().replace("class Rule", factory + "class Rule") + main

    vetted = vet("rule.py", source, static=True)

    assert vetted.ok, vetted.findings
    assert ["left out"] == [note.finding.rule for note in vetted.notes]


def test_a_rate_that_is_too_much_for_the_small_model_is_a_note():
    steep = rule("g = g * 400")

    [judged] = vet("steep.py", steep).classes

    assert judged.ok
    assert ["steep"] == [told.finding.rule for told in judged.notes]
    assert "the loss rose" in judged.notes[0].finding.message


@pytest.mark.parametrize("each", ["g = g * -400", "g = g * -4e6", "g = g.abs() * 400"])
def test_a_rule_that_goes_up_at_any_rate_is_refused(each):
    [judged] = vet("up.py", rule(each)).classes

    assert ["harm"] == [told.finding.rule for told in judged.findings]


def test_a_rule_without_a_rate_to_lessen_is_refused():
    fixed = (
        rule("g = g * 400")
        .replace("lr=0.02", "size=0.02")
        .replace("dict(lr=lr)", "dict(lr=size)")
    )

    [judged] = vet("fixed.py", fixed).classes

    assert ["harm"] == [told.finding.rule for told in judged.findings]


def test_a_rate_that_is_too_much_for_a_users_own_model_is_refused():
    model = nn.Linear(4, 4)
    trial = Trial(
        model,
        torch.optim.SGD(model.parameters(), lr=0.01),
        lambda model, batch: (model(batch) - batch).square().mean(),
        [torch.eye(4)],
    )

    [judged] = vet("steep.py", rule("g = g * 4000"), trial=trial).classes

    assert ["harm"] == [told.finding.rule for told in judged.findings]
