"""What a training promises its agent, as tests that anybody's training inherits."""

import json
from typing import Any, ClassVar

import torch

from dux_agent.testing.contract import ContractTestCase
from dux_agent.training.prompt_history import PromptHistory
from dux_agent.training.training import Training
from dux_sandbox.random_state import RandomState

_SMALL_STEPS = """
import torch

class SmallSteps(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-5):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])
"""
_REFUSED = {
    "no Python": "class of its own",
    "no optimizer": "x = 1",
    "one that diverges": _SMALL_STEPS.replace("alpha=-group", "alpha=1e30 * group"),
    "one that raises": _SMALL_STEPS.replace("p.add_", "p.reshape(-7).add_"),
}


class TrainingTestCase(ContractTestCase):
    """Tries one training; for pytest and unittest alike.

        class TestMine(TrainingTestCase):
            def make(self):
                return my_agent().training

    Attributes:
        good_source: of a rule that passes its dry run.
        steps: of a dry run.
    """

    good_source: ClassVar[str] = _SMALL_STEPS
    steps: ClassVar[int] = 3

    __test__ = False  # itself, where a module of tests imports it
    nothing_to_try = "there is no training to try; inherit it and make one"

    def make(self) -> Training:
        """One that has taken some steps and kept batches of them; the same each time.

        Each test makes it anew.
        """
        raise NotImplementedError("override make()")

    def history(self) -> PromptHistory:
        """Of decisions before; there were none."""
        return PromptHistory("compressed", 0)

    def test_an_observation_is_plain_and_the_same_each_time(self) -> None:
        one, other = (
            self.make().observation(1, self.history(), None) for _ in range(2)
        )

        told = json.dumps(one.as_dict(), sort_keys=True)
        self.assertEqual(told, json.dumps(other.as_dict(), sort_keys=True))
        self.assertTrue(one.losses, "observation() shows no loss of the interval")

    def test_an_observation_begins_a_new_interval(self) -> None:
        training = self.make()
        first = training.observation(1, self.history(), None)
        second = training.observation(2, self.history(), None)

        self.assertGreater(first.interval, 0)
        self.assertEqual((0, []), (second.interval, second.losses))
        self.assertEqual(first.step, second.step)

    def test_an_observation_validates_where_there_is_a_validation(self) -> None:
        training = self.make()
        seen = training.observation(1, self.history(), None)

        if training.validate is None:
            self.assertFalse(seen.validation_losses)
        else:
            self.assertEqual(seen.step, seen.validation_losses[-1][0])

    def test_looking_and_trying_leave_the_training_as_it_was(self) -> None:
        training = self.make()
        before = _left(training)
        training.observation(1, self.history(), None)
        self._same(before, _left(training), "observation()")
        for source in (self.good_source, *_REFUSED.values()):
            training.dry_run(source, steps=self.steps, seed=0)
            self._same(before, _left(training), "dry_run()")

    def test_a_good_source_passes_and_the_same_seed_repeats_it(self) -> None:
        training = self.make()
        one = training.dry_run(self.good_source, steps=self.steps, seed=5)
        other = training.dry_run(self.good_source, steps=self.steps, seed=5)

        self.assertTrue(one.ok, f"dry_run() found {one.findings}")
        self.assertEqual(self.steps + 1, len(one.losses))
        self.assertEqual(
            (one.losses, one.incumbent_losses), (other.losses, other.incumbent_losses)
        )

    def test_losses_of_the_incumbent_that_are_known_are_taken(self) -> None:
        known = (9.0,) * (self.steps + 1)
        report = self.make().dry_run(
            self.good_source, steps=self.steps, seed=0, incumbent_losses=known
        )

        self.assertEqual(known, report.incumbent_losses)

    def test_what_is_wrong_with_a_source_is_a_finding(self) -> None:
        training = self.make()
        for what, source in _REFUSED.items():
            report = training.dry_run(source, steps=self.steps, seed=0)
            self.assertFalse(report.ok, f"dry_run() lets {what} pass")
            self.assertTrue(report.findings, f"dry_run() says nothing of {what}")

    def _same(self, before: list[Any], after: list[Any], call: str) -> None:
        for (name, one), (_, other) in zip(before, after, strict=True):
            same = (
                torch.equal(one, other)
                if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
                else one == other
            )
            self.assertTrue(same, f"{call} has changed {name}")


def _left(training: Training) -> list[tuple[str, Any]]:
    """Copies of all that a look and a try must not touch, by name."""
    model, random = training.model, RandomState.take().state_dict()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return [
        *((name, each.detach().clone()) for name, each in tensors),
        *(
            (f"the gradient of {name}", None if p.grad is None else p.grad.clone())
            for name, p in model.named_parameters()
        ),
        ("the modes", [module.training for module in model.modules()]),
        ("the live rule", training.live.running.source),
        ("the random numbers", random["cpu"]),
        ("Python's random numbers", random["python"]),
    ]
