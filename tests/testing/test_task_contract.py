"""`TaskTestCase`: our tasks and a stranger's pass it, each broken one is caught."""

import unittest

import pytest
import torch

from dux_agent import testing
from tests import foreign_tasks
from tests.foreign_tasks import Line, broken


class TestDigits(testing.TaskTestCase):
    task = "digits"


class TestSine(testing.TaskTestCase):
    task = "sine"


class TestAStrangers(testing.TaskTestCase):
    task = "tests.foreign_tasks:build"


class TestAStrangersWithALoader(testing.TaskTestCase):
    task = "tests.foreign_tasks:Loaded"


def of_other_data(seed):
    task = Line(seed)
    task.evaluate = lambda split, model=None: float(seed)
    return task


def of_weights_before_the_seed(seed):
    shift = torch.rand(1)
    task = Line(seed)
    task.model[0].weight.data += shift
    return task


def of_unseeded_batches(self, epoch):
    for _ in range(self.steps_per_epoch):
        yield self._batch(torch.rand(16, 2))


def of_its_own_model(self, model, batch):
    return Line.objective(self, self.model, batch)


def of_a_sum(self, model, batch):
    return (model(batch["x"])[:, 0] - batch["y"]).abs().sum()


def of_sums_in_a_list(self, model, batch):
    return of_a_sum(self, model, {"x": batch[0], "y": batch[1]["y"]})


def of_one_size(self, model, batch):
    return Line.objective(self, model, batch) + torch.zeros(16).dot(batch["y"])


def of_training_mode(self, split, model=None):
    (model or self.model).eval()
    return Line.evaluate(self, split, model)


def of_drawn_points(self, split, model=None):
    torch.rand(1)
    return Line.evaluate(self, split, model)


def of_its_own_loss(self, split, model=None):
    return Line.evaluate(self, split)


def of_a_count(self, model, batch):
    self.count = getattr(self, "count", 0) + 1
    return Line.objective(self, model, batch) * self.count


def of_one_optimizer(self):
    if not hasattr(self, "optimizer"):
        self.optimizer = Line.base_optimizer(self)
    return self.optimizer


DRAWS = torch.Generator().manual_seed(0)


def of_noise(self, model, batch):
    return Line.objective(self, model, batch) + torch.rand(1, generator=DRAWS)[0]


def in_a_list(objective):
    def batches(self, epoch):
        for batch in Line.train_batches(self, epoch):
            yield [batch["x"], {"y": batch["y"], "kept": None}]

    members = {"objective": objective, "train_batches": batches}
    return lambda seed: type("Listed", (Line,), members)(seed)


BROKEN = {
    "it_has_what_a_task_has": broken("loss_name", None),
    "the_same_seed_gives_the_same_weights": of_weights_before_the_seed,
    "the_data_do_not_depend_on_the_seed": of_other_data,
    "an_epoch_is_the_same_whatever_was_drawn_before": broken(
        "train_batches", of_unseeded_batches
    ),
    "an_epoch_has_as_many_batches_as_it_says": broken(
        "train_batches", lambda self, epoch: iter(lambda: None, 1)
    ),
    "the_objective_is_a_finite_scalar_of_the_model_it_is_given": broken(
        "objective", of_its_own_model
    ),
    "the_objective_is_a_mean_and_no_sum": broken("objective", of_a_sum),
    "the_objective_is_a_mean_and_no_sum ": in_a_list(of_sums_in_a_list),
    "evaluating_leaves_no_mark": broken("evaluate", of_training_mode),
    "evaluating_leaves_no_mark ": broken("evaluate", of_drawn_points),
    "evaluating_looks_at_the_model_it_is_given": broken("evaluate", of_its_own_loss),
    "every_base_optimizer_is_new_and_over_the_models_parameters": broken(
        "base_optimizer", of_one_optimizer
    ),
    "the_same_seed_trains_to_the_same_losses": broken("objective", of_noise),
    "a_training_goes_on_from_its_weights_optimizer_and_random_numbers": broken(
        "objective", of_a_count
    ),
    "an_agent_decides_in_it": broken("evaluate", lambda self, split, model: "low"),
}


def failing(builder, only=None):
    """The tests of a task that fail, by name."""
    result = result_of(builder, only)
    return {test.id().rpartition(".test_")[2] for test, _ in result.failures}, {
        test.id().rpartition(".test_")[2] for test, _ in result.errors
    }


def result_of(builder, only=None):
    class Tried(testing.TaskTestCase):
        def make(self, seed):
            return builder(seed)

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tried)
    chosen = [test for test in suite if only is None or only in test.id()]
    result = unittest.TestResult()
    unittest.TestSuite(chosen).run(result)
    assert result.testsRun
    return result


@pytest.mark.parametrize("law", BROKEN)
def test_a_task_that_breaks_a_promise_fails_the_test_of_it(law):
    failures, errors = failing(BROKEN[law], law.strip())

    assert {law.strip()} == failures | errors


def test_a_mean_is_not_looked_for_in_a_batch_that_cannot_be_repeated():
    builder = broken("objective", of_one_size)

    result = result_of(builder, "the_objective_is_a_mean_and_no_sum")

    ((_, reason),) = result.skipped
    assert result.wasSuccessful()
    assert "the batch cannot be given twice in a row" in reason


def test_a_sound_task_fails_none():
    assert (set(), set()) == failing(foreign_tasks.build)


def test_the_test_case_itself_is_not_run_where_it_is_imported():
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(testing.TaskTestCase)
    result = unittest.TestResult()

    suite.run(result)

    assert not testing.TaskTestCase.__test__
    assert ([], []) == (result.failures, result.errors)
    assert 1 == len(result.skipped)
