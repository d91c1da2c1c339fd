"""The pytest plugin: a marked test tries the laws on what its fixture makes."""

import pytest
import torch

from dux_sandbox.laws import LAWS

# pytester forgets what a run imports, and torch cannot be imported twice: not even
# what its optimizers import when the first of them is made.
torch.optim.SGD([torch.nn.Parameter(torch.ones(1))]).step()

pytest_plugins = ["pytester"]

TEST = """
import pytest
import torch


class Steps(torch.optim.SGD):
    pass


class Clips(torch.optim.SGD):
    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.clamp_(-1, 1)
        return loss


@pytest.fixture
def factory():
    return lambda params: {rule}(params, lr=0.1)


@pytest.mark.dux_laws(skip={skip})
def test_laws({arguments}):
    pass
"""


@pytest.fixture
def tried(pytester, monkeypatch):
    # The plugin is named once, whether or not the package is installed.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(rule, skip=(), arguments="factory"):
        text = TEST.format(rule=rule, skip=list(skip), arguments=arguments)
        pytester.makepyfile(text)
        return pytester.runpytest_inprocess(
            "-p", "dux_sandbox.pytest_plugin", "--strict-markers", "--dux-examples=0"
        )

    return run


def test_a_lawful_optimizer_passes(tried):
    tried("Steps").assert_outcomes(passed=1)


def test_a_broken_law_fails_the_test_and_prints_a_script(tried):
    result = tried("Clips")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*gradients: the step changed a gradient*"])
    result.stdout.fnmatch_lines(["optimizer = factory(*"])


def test_a_law_can_be_left_out(tried):
    tried("Clips", skip=["gradients"]).assert_outcomes(passed=1)


def test_there_is_one_test_for_each_law_where_the_test_asks_for_it(tried):
    result = tried("Clips", arguments="factory, law")

    result.assert_outcomes(passed=len(LAWS) - 1, failed=1)


def test_a_marked_test_without_a_factory_says_what_it_needs(tried):
    result = tried("Steps", arguments="")

    result.stdout.fnmatch_lines(["*has no argument 'factory'*"])
