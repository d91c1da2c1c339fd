"""A program in the jail says what it would say outside, and leaves nothing behind."""

import os
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest

from dux_sandbox.jailed_programs import NoJail, ProgramFailed, Rows, predict
from dux_sandbox.process import spawning
from dux_sandbox.process.spawning import Zygote, zygote
from dux_sandbox.programs.contract import examine
from dux_sandbox.programs.running import predictions
from tests.attacks.broken_jails import boot
from tests.programs.honest_programs import CLASSES, HONEST, parts
from tests.waiting import alive, children_of, wait_until

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(60, 4)).astype(np.float32)
ROWS = Rows(X[:40], (X[:40, 0] + 0.5 * X[:40, 1]).astype(np.float32), X[40:])
OF_CLASSES = Rows(X[:40], np.arange(40) % 3, X[40:], classes=3)


@pytest.mark.parametrize("what", HONEST)
def test_a_program_trains_in_the_jail_as_outside(what):
    assert () == examine(HONEST[what]).findings

    inside = predict(HONEST[what], ROWS, seed=3)
    again = predict(HONEST[what], ROWS, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outside = predictions(HONEST[what], ROWS, 3)

    assert list(again) == list(inside)
    # Sums depend on how an array is aligned: by their last digits, and a process whose
    # covariance cannot be inverted by more.
    assert np.allclose(outside, inside, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("what", CLASSES)
def test_a_program_may_tell_classes(what):
    assert () == examine(CLASSES[what]).findings

    said = predict(CLASSES[what], OF_CLASSES)

    assert set(said) <= {0.0, 1.0, 2.0}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (parts("nn.Linear(n_features, 2)"), "(16, 2) for 16 rows"),
        (parts(optimizer="torch.optim.SGD(model.parameters(), lr=1e9)"), "the loss is"),
        (parts(more='"loss": "cross_entropy"'), "the targets are numbers"),
        (parts(more='"epochs": 0'), "'epochs'] is 0"),
        (parts(before="import sqlite3\n"), "sqlite3 cannot be imported"),
        (parts(before="raise KeyError('mine')\n"), "line 1: KeyError: mine"),
        ("x = 1", "defines too little"),
    ],
)
def test_what_went_wrong_is_said_with_its_line(source, said):
    with pytest.raises(ProgramFailed) as caught:
        predict(source, ROWS)

    assert said in str(caught.value)


@pytest.mark.wall
def test_a_set_of_texts_has_the_same_order_in_every_warm_process():
    source = (
        "def fit_predict(a, b, c, d):\n"
        "    names = [int(each) for each in {str(n) for n in range(len(c))}]\n"
        "    return [float(each) for each in names]\n"
    )

    one = predict(source, ROWS)
    zygote("programs").close()
    other = predict(source, ROWS)

    assert list(one) != sorted(one)
    assert list(one) == list(other)


def test_a_program_that_is_late_is_told_so_and_its_line_where_it_answers():
    source = (
        "import torch\ndef fit_predict(a, b, c, d):\n    while True:\n        pass\n"
    )

    with pytest.raises(ProgramFailed) as caught:
        predict(source, ROWS, seconds=0.5)

    assert "time" == caught.value.finding.rule
    # A machine that is busy may not let it answer in time.
    assert caught.value.finding.line in (None, 3, 4)


@pytest.mark.wall
@pytest.mark.parametrize(
    ("jail", "said"),
    [
        ("in_docker", "required layers are missing here: landlock"),
        ("without_seccomp", "required layers are missing here: seccomp"),
        ("that_lies", "a folder and the network and a process can be reached"),
    ],
)
def test_nothing_runs_where_a_layer_does_not_hold(jail, said, monkeypatch):
    warm = Zygote(boot(jail))
    monkeypatch.setattr(spawning, "zygote", lambda of: warm)

    with pytest.raises(NoJail) as caught:
        predict("def fit_predict(a, b, c, d): return [0.0] * len(c)", ROWS)

    assert said in str(caught.value)
    assert "dux doctor" in str(caught.value)
    warm.close()


@pytest.mark.wall
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux who lives")
def test_a_trainer_that_is_killed_leaves_no_process(tmp_path):
    script = textwrap.dedent(
        """
        import numpy as np
        from dux_sandbox.jailed_programs import Rows, predict
        from dux_sandbox.process.spawning import zygote

        rows = Rows(np.ones((9, 2)), np.ones(9), np.ones((4, 2)))
        print(zygote("programs")._process.pid, flush=True)
        predict("def fit_predict(a, b, c, d):\\n while True: pass", rows, seconds=900)
        """
    )
    started = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": ":".join(each for each in sys.path if each)},
        stdout=subprocess.PIPE,
        text=True,
    )
    warm = int(started.stdout.readline())
    wait_until(lambda: children_of(warm))
    (child,) = children_of(warm)

    started.kill()
    started.wait()
    started.stdout.close()

    wait_until(lambda: not alive(child))
    wait_until(lambda: not alive(warm))
