"""The warm process ends with the last open agent, and not before."""

import os
import subprocess
import sys
import textwrap

import pytest
from torch import nn

from dux_sandbox.process.keeping import keep_warm, let_go
from dux_sandbox.process.spawning import Zygote, zygote
from tests.waiting import alive

_BEGIN = """
    import os, sys
    sys.path[:0] = {path!r}
    from dux_agent import attach
    from dux_sandbox.process.spawning import zygote, zygotes
    from tests import models, sources
    from tests.talking import scripted, sgd
    from tests.waiting import alive, children_of

    def agent():
        model = models.make("mlp")
        lm = scripted(sources.MOMENTUM)
        made = attach(model, sgd(model), models.objective, lm=lm, execution="isolated")
        for batch in models.batches(3):
            made.step(batch)
        assert "applied" == made.decide().verdict
        return made
"""


def run(script):
    """What a trainer of its own prints, which ends without an error."""
    text = textwrap.dedent(_BEGIN).format(path=sys.path) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        capture_output=True,
        text=True,
        cwd=os.getcwd(),
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_the_last_agent_that_is_closed_leaves_no_child():
    told = run(
        """
        first, second = agent(), agent()
        pid = zygote()._process.pid
        first.close()
        assert alive(pid)
        second.step(next(iter(models.batches(1))))
        second.close()
        assert not children_of(os.getpid()) and not zygotes
        with agent():
            pass
        assert not children_of(os.getpid())
        print("none is left")
        """
    )

    assert "none is left" in told


def test_a_child_that_is_no_agents_keeps_the_warm_process():
    warm = Zygote()
    child = warm.fork({"purpose": "layers"})

    assert not warm.end_if_idle()
    child.kill()
    assert warm.end_if_idle()
    assert not alive(warm._process.pid)


def test_a_user_that_is_gone_keeps_nothing_warm():
    user, other = nn.Identity(), nn.Identity()
    keep_warm(user)
    del user
    let_go(other)

    assert zygote().usable  # the tests' own user is left


@pytest.mark.skipif(sys.platform != "linux", reason="closes descriptors as there")
def test_a_trainer_without_standard_streams_has_a_warm_process():
    told = run(
        """
        kept = os.dup(1)
        os.closerange(0, 3)
        agent().close()
        os.write(kept, b"decided")
        """
    )

    assert "decided" in told
