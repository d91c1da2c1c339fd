"""What closing an agent ends, whatever goes wrong on the way, and what it keeps."""

import sys

import pytest
import torch

from dux_agent import attach
from dux_agent.live.saved_checkpoint import CheckpointRefused
from dux_agent.run_folder.folder import RunFolder
from dux_sandbox.process import keeping
from tests import models
from tests.swapping import ADAM, MOMENTUM
from tests.talking import agent_over, run, sgd
from tests.waiting import alive, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="isolated rules need Linux"
)


def with_nonsense_in_its_state(**options):
    """An agent whose rule may not keep what its loop has written into the state."""
    model = models.make("mlp")
    agent = agent_over(model, MOMENTUM, execution="isolated", **options)
    run(agent, 5)
    agent.decide()
    run(agent, 2)
    first = agent.optimizer.param_groups[0]["params"][0]
    agent.optimizer.state[first]["mine"] = object()
    return agent, model


def test_all_is_ended_before_it_says_what_went_wrong(tmp_path):
    agent, _ = with_nonsense_in_its_state(run_dir=tmp_path / "run")
    child = agent.optimizer.running.pid

    with pytest.raises(ValueError, match="optimizer.state of parameter 0"):
        agent.close()

    wait_until(lambda: not alive(child))
    assert agent not in keeping._users
    RunFolder.open(tmp_path / "run").close()  # nobody writes it any more
    agent.close()
    assert 4 == len(agent.state_dict()["optimizer"]["state"])


def test_it_is_a_note_of_the_error_that_ends_a_block():
    agent, _ = with_nonsense_in_its_state()

    with pytest.raises(LookupError) as caught, agent:
        raise LookupError("of the loop")

    assert "optimizer.state of parameter 0" in caught.value.__notes__[0]
    assert agent.closed


def test_an_attach_that_fails_at_last_leaves_no_run_folder(tmp_path):
    former, model = with_nonsense_in_its_state()
    options = {"lm": "offline", "run_dir": tmp_path / "new" / "run"}

    with pytest.raises(ValueError, match="optimizer.state of parameter 0"):
        attach(model, sgd(model), models.objective, **options)

    assert former.closed
    assert [] == list(tmp_path.iterdir())
    attach(model, sgd(model), models.objective, **options).close()


def test_the_rule_that_waits_is_saved_after_the_end_too(caplog):
    agent = agent_over(models.make("mlp"), MOMENTUM, ADAM, execution="isolated")
    for _ in range(2):
        run(agent, 5)
        assert "applied" == agent.decide().verdict
    before = agent.state_dict()["guard"]["incumbent"]

    agent.close()
    after = agent.state_dict()["guard"]["incumbent"]

    assert before["source"] == after["source"] == agent.decisions[0].source
    assert before["state"].keys() == after["state"].keys()
    for index, entry in before["state"].items():
        assert torch.equal(entry["m"], after["state"][index]["m"])
    assert "lost" not in caplog.text


def test_a_load_that_is_refused_ends_the_rules_that_were_built_for_it():
    agent = agent_over(models.make("mlp"), MOMENTUM, ADAM, execution="isolated")
    with agent:
        for _ in range(2):
            run(agent, 5)
            assert "applied" == agent.decide().verdict
        state, built = agent.state_dict(snapshots="all"), []
        state["guard"]["base"]["state"][0]["momentum_buffer"] = torch.zeros(1)
        build = agent.optimizer.build

        def noted(source, groups):
            built.append(build(source, groups))
            return built[-1]

        agent.optimizer.build = noted
        with pytest.raises(CheckpointRefused, match="momentum_buffer"):
            agent.load_state_dict(state)

        assert 2 == len(built)
        wait_until(lambda: not any(alive(each.pid) for each in built))
