"""What a task promises, as tests that anybody's task inherits."""

import copy
import math
from collections import UserDict
from collections.abc import Iterable
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import nn

from dux_agent import tasks
from dux_agent.attaching import attach
from dux_agent.tasks.protocol import Task, check_loss, check_task
from dux_agent.testing.contract import ContractTestCase
from dux_sandbox.random_state import RandomState, seed_all


class TaskTestCase(ContractTestCase):
    """Tries one task; for pytest and unittest alike.

        class TestMine(TaskTestCase):
            task = "my_package.my_tasks:build"

    Attributes:
        task: a name as `dux run` takes it; or override `make`.
        steps: batches of an epoch that are trained on here.
    """

    task: ClassVar[str] = ""
    steps: ClassVar[int] = 6

    __test__ = False  # itself, where a module of tests imports it
    nothing_to_try = "there is no task to try; inherit it and name one"

    def setUp(self) -> None:
        self.addCleanup(RandomState.take().restore)

    def make(self, seed: int) -> Task:
        """The task with the initial weights of `seed`, built anew."""
        return tasks.build(self.task, seed)

    def test_it_has_what_a_task_has(self) -> None:
        check_task(self.make(0), self.task or type(self).__name__)

    def test_the_same_seed_gives_the_same_weights(self) -> None:
        torch.rand(3)  # weights drawn before a seed is set would differ now
        one, other = self.make(1), self.make(1)

        self._same(
            one.model.state_dict(),
            other.model.state_dict(),
            "two tasks of one seed begin with other weights; call "
            "torch.manual_seed(seed) in the builder before the model is made",
        )

    def test_the_data_do_not_depend_on_the_seed(self) -> None:
        one, other = self.make(0), self.make(1)
        other.model.load_state_dict(one.model.state_dict())

        for split in ("val", "test"):
            self.assertEqual(
                one.evaluate(split),
                other.evaluate(split),
                f"with the same weights the loss over {split!r} is another for another "
                f"seed; draw and split data with a generator of their own",
            )

    def test_an_epoch_is_the_same_whatever_was_drawn_before(self) -> None:
        task = self.make(0)
        expected = list(islice(task.train_batches(1), self.steps))
        list(islice(task.train_batches(0), self.steps))
        seed_all(12345)

        self._same(
            expected,
            list(islice(task.train_batches(1), self.steps)),
            "the batches of an epoch depend on what was drawn before it; seed every "
            "generator in train_batches from the task's seed and the epoch",
        )

    def test_an_epoch_has_as_many_batches_as_it_says(self) -> None:
        task = self.make(0)
        most = task.steps_per_epoch + 1  # it may be endless

        self.assertEqual(
            task.steps_per_epoch,
            sum(1 for _ in islice(task.train_batches(0), most)),
            "train_batches gives another number of batches than steps_per_epoch says",
        )

    def test_the_objective_is_a_finite_scalar_of_the_model_it_is_given(self) -> None:
        task = self.make(0)
        model = copy.deepcopy(task.model)
        batch = next(iter(task.train_batches(0)))

        loss = task.objective(model, batch)

        self.assertIsInstance(loss, torch.Tensor, "objective gives no tensor")
        self.assertEqual(1, loss.numel(), "objective gives no scalar; reduce it")
        self.assertTrue(math.isfinite(loss.item()), "the first loss is not finite")
        loss.backward()
        reached = [p for p in model.parameters() if p.grad is not None]
        own = [p for p in task.model.parameters() if p.grad is not None]
        self.assertTrue(
            reached and not own,
            "the gradients of objective(model, batch) are not those of the model it "
            "was given, which is a copy in a dry run; compute with that argument",
        )

    def test_the_objective_is_a_mean_and_no_sum(self) -> None:
        task = self.make(0)
        model = copy.deepcopy(task.model).eval()  # dropout would be drawn anew
        batch = next(iter(task.train_batches(0)))
        sizes: set[int] = set()
        try:
            twice = _twice(batch, sizes)
            both = task.objective(model, twice).item()
        # Whatever a batch twice as large does to an objective is no promise of its.
        except Exception as error:
            self.skipTest(f"the batch cannot be given twice in a row: {error}")
        if len(sizes) != 1:
            self.skipTest("the tensors of the batch have no one length to repeat")

        once = task.objective(model, batch).item()

        self.assertFalse(
            abs(both - 2 * once) < abs(both - once),
            f"a batch repeated twice has the loss {both:.6g}, alone it has {once:.6g}: "
            f"a sum over its examples; divide by their number",
        )

    def test_evaluating_leaves_no_mark(self) -> None:
        task = self.make(0)
        task.model.train()
        next(iter(task.model.modules())).training = True
        before = copy.deepcopy(task.model.state_dict())
        modes = [module.training for module in task.model.modules()]
        drawn = torch.get_rng_state()

        check_loss(task.evaluate("val"), "val")
        check_loss(task.evaluate("test"), "test")

        left = "evaluate leaves a mark on training: "
        self._same(before, task.model.state_dict(), left + "weights or buffers")
        now = [module.training for module in task.model.modules()]
        self.assertEqual(modes, now, left + "the modes of modules; put them back")
        self._same(drawn, torch.get_rng_state(), left + "it draws random numbers")
        gradients = [p for p in task.model.parameters() if p.grad is not None]
        self.assertEqual([], gradients, left + "gradients; use torch.no_grad()")

    def test_evaluating_looks_at_the_model_it_is_given(self) -> None:
        task, other = self.make(0), self.make(0)
        train(other, other.base_optimizer(), other.train_batches(0), self.steps)

        self.assertEqual(
            other.evaluate("val"),
            task.evaluate("val", other.model),
            "evaluate(split, model) is not the loss of the model it was given",
        )

    def test_every_base_optimizer_is_new_and_over_the_models_parameters(self) -> None:
        task = self.make(0)
        one, other = task.base_optimizer(), task.base_optimizer()
        held = [p for group in one.param_groups for p in group["params"]]
        own = {id(parameter) for parameter in task.model.parameters()}

        self.assertIsInstance(one, torch.optim.Optimizer)
        self.assertIsNot(one, other, "base_optimizer gives one optimizer twice")
        self.assertTrue(
            held and all(id(p) in own for p in held),
            "the base optimizer is not over the model's parameters",
        )

    def test_the_same_seed_trains_to_the_same_losses(self) -> None:
        one, other = self.make(2), self.make(2)

        self.assertEqual(
            train(one, one.base_optimizer(), one.train_batches(0), self.steps),
            train(other, other.base_optimizer(), other.train_batches(0), self.steps),
            "two trainings of one seed differ; a run of it cannot be replayed",
        )

    def test_a_training_goes_on_from_its_weights_optimizer_and_random_numbers(
        self,
    ) -> None:
        whole, half = self.make(3), self.make(3)
        expected = train(
            whole, whole.base_optimizer(), whole.train_batches(0), self.steps
        )
        count = len(expected) // 2
        optimizer = half.base_optimizer()
        train(half, optimizer, half.train_batches(0), count)
        numbers = RandomState.take()

        later = self.make(3)
        later.model.load_state_dict(half.model.state_dict())
        resumed = later.base_optimizer()
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        batches = iter(later.train_batches(0))
        for _ in islice(batches, count):
            pass
        numbers.restore()

        self.assertEqual(
            expected[count:],
            train(later, resumed, batches, self.steps - count),
            "a training that goes on from a checkpoint has other losses; keep what "
            "training changes in the model, as buffers",
        )

    def test_an_agent_that_is_not_asked_changes_nothing(self) -> None:
        alone, watched = self.make(0), self.make(0)
        expected = train(
            alone, alone.base_optimizer(), alone.train_batches(0), self.steps
        )

        with attach(
            watched.model,
            watched.base_optimizer(),
            watched.objective,
            execution="inline",
        ) as agent:
            batches = islice(watched.train_batches(0), self.steps)
            losses = [float(agent.step(batch)) for batch in batches]

        self.assertEqual(expected, losses, "an agent beside it changes its losses")

    def test_an_agent_decides_in_it(self) -> None:
        task = self.make(0)
        with attach(
            task.model,
            task.base_optimizer(),
            task.objective,
            validate=lambda model: task.evaluate("val", model),
            loss_name=task.loss_name,
            steps_per_epoch=task.steps_per_epoch,
            execution="inline",
        ) as agent:
            batches = iter(task.train_batches(0))
            for batch in islice(batches, self.steps):
                agent.step(batch)

            decision = agent.decide()

            self.assertIn(decision.verdict, ("applied", "kept"), decision.reason)

    def _same(self, one: Any, other: Any, message: str) -> None:
        self.assertEqual(_plain(one), _plain(other), message)


def train(
    task: Task, optimizer: torch.optim.Optimizer, batches: Iterable[Any], steps: int
) -> list[float]:
    """The losses of so many steps at most, with the optimizer alone."""
    losses = []
    for batch in islice(batches, steps):
        optimizer.zero_grad()
        loss = task.objective(task.model, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _twice(batch: Any, sizes: set[int]) -> Any:
    """The batch twice in a row; lengths of its tensors are put into `sizes`."""
    if isinstance(batch, torch.Tensor) and batch.dim():
        sizes.add(len(batch))
        return torch.cat([batch, batch])
    if isinstance(batch, (dict, UserDict)):
        twice = copy.copy(batch)
        for name in list(twice):
            twice[name] = _twice(batch[name], sizes)
        return twice
    if isinstance(batch, (list, tuple)):
        each = [_twice(one, sizes) for one in batch]
        return type(batch)(*each) if hasattr(batch, "_fields") else type(batch)(each)
    return batch


def _plain(value: Any) -> Any:
    """Tensors as their bytes, whatever holds them; NaN equals itself then."""
    if isinstance(value, torch.Tensor):
        held = value.detach().cpu().contiguous().flatten()
        return (value.dtype, tuple(value.shape), held.view(torch.uint8).tolist())
    if isinstance(value, nn.Module):
        return _plain(value.state_dict())
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "__dict__") and not callable(value):
        return _plain(vars(value))
    return value
