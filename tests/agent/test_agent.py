"""The agent watches a training, asks, and swaps; whatever happens, training goes on."""

import contextlib
import threading

import pytest
import torch

import dux_agent
from dux_agent.errors import BadArgument
from dux_agent.run_folder import trace
from tests import models
from tests.states import through_torch
from tests.swapping import ADAM, MOMENTUM, SGD, after, train
from tests.talking import Scripted, agent_over, fenced, run, scripted, sgd
from tests.waiting import wait_until

FORBIDDEN = "import os\n" + SGD
EXPLODES = SGD.replace("lr=0.1", "lr=1e9")


def test_a_proposal_that_passes_becomes_the_live_rule_and_training_goes_on():
    model = models.make("mlp")
    with agent_over(model, MOMENTUM) as agent:
        optimizer = agent.optimizer
        before = run(agent, 10)

        decision = agent.decide()
        losses = run(agent, 30)

    assert "applied" == decision.verdict
    assert (MOMENTUM.strip(), 1) == (decision.source.strip(), len(decision.attempts))
    assert {"calls": 1, "total_tokens": 10}.items() <= decision.usage.items()
    assert [decision] == agent.decisions
    assert agent.optimizer is optimizer
    assert losses[-1] < before[-1]


def test_the_five_lines_of_a_loop_do_the_same_as_step():
    one, other = models.make("mlp"), models.make("mlp")
    with agent_over(one, MOMENTUM, every=5) as short:
        run(short, 12)
    with agent_over(other, MOMENTUM, every=5) as long:
        for step in range(12):
            batch = models.batches()[step % 3]
            long.optimizer.zero_grad()
            loss = models.objective(other, batch)
            loss.backward()
            long.optimizer.step()
            long.observe(loss, batch)

    assert 2 == len(short.decisions) == len(long.decisions)
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_it_decides_every_so_many_steps_but_not_when_the_run_is_over():
    with agent_over(models.make("mlp"), SGD, every=5, total_steps=15) as agent:
        run(agent, 15)

    assert [5, 10] == [decision.step for decision in agent.decisions]


def test_an_attached_agent_that_never_decides_changes_nothing():
    model, twin = models.make("dropout"), models.make("dropout")
    torch.manual_seed(1)
    with agent_over(model, SGD) as agent:
        run(agent, 20)
    torch.manual_seed(1)
    train(sgd(twin), twin, 20)

    assert all(map(torch.equal, model.parameters(), twin.parameters()))


@pytest.mark.parametrize("kind", list(models.KINDS))
def test_a_refused_proposal_leaves_a_bit_identical_twin_run(kind):
    model, twin = models.make(kind), models.make(kind)
    torch.manual_seed(1)
    with agent_over(model, FORBIDDEN, EXPLODES, "no class", max_attempts=3) as agent:
        run(agent, 6)
        decision = agent.decide()
        run(agent, 6, first=6)
    random = torch.get_rng_state()
    torch.manual_seed(1)
    plain = sgd(twin)
    train(plain, twin, 12)

    assert "kept" == decision.verdict
    assert 3 == len(decision.attempts) == decision.usage["calls"]
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert all(map(torch.equal, model.buffers(), twin.buffers()))
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize(
    "trouble",
    [PermissionError("401"), LookupError("what"), Exception("anything")],
)
def test_trouble_with_the_language_model_ends_as_failed_and_training_goes_on(trouble):
    model = models.make("mlp")
    with agent_over(model, trouble) as agent:
        run(agent, 3)

        decision = agent.decide()
        run(agent, 3)

    assert "failed" == decision.verdict
    assert str(trouble) in decision.reason
    assert agent.optimizer.running is agent.optimizer.base_rule


def test_a_rollback_is_seen_in_the_decisions_and_told_to_the_model():
    model = models.make("mlp")
    bomb = after(14, 'p.fill_(float("nan"))')
    lm = scripted(bomb, bomb, SGD)
    with agent_over(model, lm=lm) as agent:
        run(agent, 8)
        decision = agent.decide()
        first = decision.verdict
        run(agent, 20)
        second = agent.decide()

    assert ("applied", "rolled_back") == (first, decision.verdict)
    assert "rolled_back" == agent.decisions[0].verdict
    assert "not finite" in decision.reason
    told = str(lm.asked[1][-1].content)
    assert "rolled back" in told
    assert "not finite after 15 steps" in told
    # The very same source is not tried a second time.
    assert ["rolled_back"] == [f["rule"] for f in second.attempts[0]["findings"]]
    assert "applied" == second.verdict


def test_a_rule_that_turns_bad_by_its_loss_alone_is_rolled_back_by_observe():
    model = models.make("mlp")
    with agent_over(model, after(20, "p.mul_(50.0)")) as agent:
        calm = run(agent, 30)
        decision = agent.decide()
        losses = run(agent, 60)

    assert "rolled_back" == decision.verdict
    assert "loss" in decision.reason
    assert losses[-1] <= calm[-1]


def test_without_a_batch_nothing_is_asked_and_the_reason_says_so():
    lm = scripted(SGD)
    with agent_over(models.make("mlp"), lm=lm) as agent:
        decision = agent.decide()

    assert "kept" == decision.verdict
    assert "agent.observe(loss, batch)" in decision.reason
    assert [] == lm.asked


def test_a_budget_stops_the_asking_and_not_the_training():
    lm = scripted(SGD)
    with agent_over(models.make("mlp"), lm=lm, budget=2) as agent:
        run(agent, 3)
        decisions = [agent.decide() for _ in range(3)]
        run(agent, 3)

    assert ["applied", "applied", "kept"] == [each.verdict for each in decisions]
    assert "the budget is used up: 2 of 2 calls" == decisions[2].reason
    assert 2 == len(lm.asked)


class Wordy(Scripted):
    """Counts a token for every character, and 9000 more for its answer."""

    def _generate(self, messages, stop=None, run_manager=None, **options):
        result = super()._generate(messages, stop, run_manager, **options)
        counts = {"input_tokens": sum(len(str(m.content)) for m in messages)}
        counts |= {"output_tokens": 9000}
        counts["total_tokens"] = sum(counts.values())
        result.generations[0].message.usage_metadata = counts
        return result


def test_a_budget_of_tokens_ends_a_decision_in_the_middle():
    lm = Wordy(replies=[fenced(FORBIDDEN)])
    with agent_over(models.make("mlp"), lm=lm, budget={"tokens": 30_000}) as agent:
        run(agent, 3)
        decision = agent.decide()

    assert ("kept", 2) == (decision.verdict, len(lm.asked))
    assert "the next call may use" in decision.reason
    assert 20_000 < decision.usage["total_tokens"] < 30_000


def test_no_call_is_made_that_may_use_more_than_the_whole_budget():
    lm = scripted(SGD)
    with agent_over(models.make("mlp"), lm=lm, budget={"tokens": 100}) as agent:
        run(agent, 3)
        decision = agent.decide()

    assert ("kept", []) == (decision.verdict, lm.asked)
    assert "0 of 100 tokens are spent" in decision.reason


def test_a_budget_that_two_agents_share_is_spent_by_both():
    budget, lm = dux_agent.Budget(calls=1), scripted(SGD)
    verdicts = []
    for _ in range(2):
        with agent_over(models.make("mlp"), lm=lm, budget=budget) as agent:
            run(agent, 3)
            verdicts.append(agent.decide().verdict)

    assert ["applied", "kept"] == verdicts
    assert 1 == len(lm.asked)


def test_validate_is_asked_at_attach_and_once_a_decision_and_leaves_no_trace():
    model = models.make("dropout")
    modes = []

    def validate(net):
        modes.append(net.training)
        torch.rand(3)
        return torch.tensor(0.5)

    lm = scripted(SGD)
    with agent_over(model, lm=lm, validate=validate) as agent:
        run(agent, 3)
        random = torch.get_rng_state()
        agent.decide()

    assert [False, False] == modes
    assert model.training
    assert torch.equal(random, torch.get_rng_state())
    assert "0.5" in str(lm.asked[0][-1].content)


def test_the_chat_is_the_history_or_a_table_is():
    talks = {}
    for history in ("chat", "compressed"):
        lm = scripted(SGD, MOMENTUM, ADAM)
        with agent_over(models.make("mlp"), lm=lm, history=history) as agent:
            for _ in range(3):
                run(agent, 4)
                agent.decide()
        talks[history] = [[m.type for m in messages] for messages in lm.asked]
        talks[history + " table"] = "PlainSGD" in str(lm.asked[2][-1].content)

    assert ["system", "human"] == talks["chat"][0]
    assert ["system", *["human", "ai"] * 2, "human"] == talks["chat"][2]
    assert [["system", "human"]] * 3 == talks["compressed"]
    assert talks["compressed table"]


def test_the_model_is_told_how_often_it_will_be_asked_again():
    lm = scripted(SGD)
    options = {"total_steps": 12, "steps_per_epoch": 4}
    with agent_over(models.make("mlp"), lm=lm, **options) as agent:
        for _ in range(2):
            run(agent, 4)
            agent.decide()

    assert "you will be asked 1 more time after" in str(lm.asked[0][-1].content)
    assert "you will be asked 0 more times" in str(lm.asked[1][-1].content)


def test_in_the_background_training_goes_on_and_the_swap_waits_for_a_step(tmp_path):
    waits = threading.Event()

    class Slow(Scripted):
        def _generate(self, messages, stop=None, run_manager=None, **options):
            waits.wait()
            return super()._generate(messages, stop, run_manager, **options)

    lm = Slow(replies=[fenced(MOMENTUM)])
    model = models.make("mlp")
    path = tmp_path / "run"
    with agent_over(model, lm=lm, background=True, run_dir=path) as agent:
        run(agent, 5)
        pending = agent.decide()
        run(agent, 5)
        during = agent.optimizer.running.source
        waits.set()

        def decided():
            run(agent, 1)
            return agent.decisions

        wait_until(decided)
        swapped_at = agent.step_count

    assert during is None
    assert [pending] == agent.decisions
    assert "applied" == pending.verdict
    told = {event.kind: event.step for event in trace.read(path)}
    assert (5, swapped_at) == (told["observation"], told["apply"])
    assert not [t for t in threading.enumerate() if t.name == "dux-decision"]


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_loop_may_tell_and_ask_where_gradients_are_off(off):
    model = models.make("mlp")
    with agent_over(model, MOMENTUM, SGD) as agent:
        for batch in models.batches(12):
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            agent.optimizer.step()
            with off():
                agent.observe(loss, batch)
                if agent.step_count in (4, 8):
                    agent.decide()
                assert not torch.is_grad_enabled()
        verdicts = [decision.verdict for decision in agent.decisions]

    assert ["applied", "applied"] == verdicts
    assert not any(each.is_inference() for each in model.parameters())


def test_parameters_that_come_during_a_dry_run_end_the_decision_not_the_training():
    model = models.make("mlp")
    lm = scripted(MOMENTUM)
    with agent_over(model, lm=lm, background=True, dry_run_steps=40) as agent:
        run(agent, 5)
        pending = agent.decide()
        work = agent._decider._pending.work
        wait_until(lambda: work.waits)
        run(agent, 1)  # the dry run has begun
        more = torch.nn.Linear(1, 1)
        model.append(more)
        agent.optimizer.add_param_group({"params": more.parameters()})

        def decided():
            run(agent, 1)
            return agent.decisions

        wait_until(decided)

    assert "kept" == pending.verdict
    assert "other parameters" in pending.reason


def test_closing_drops_a_decision_that_is_being_made(caplog):
    waits = threading.Event()

    class Slow(Scripted):
        def _generate(self, messages, stop=None, run_manager=None, **options):
            waits.wait()
            return super()._generate(messages, stop, run_manager, **options)

    lm = Slow(replies=[fenced(MOMENTUM)])
    agent = agent_over(models.make("mlp"), lm=lm, background=True)
    run(agent, 5)
    agent.decide()

    def closed():
        with contextlib.suppress(BadArgument):
            return not agent.decide()
        return True

    closing = threading.Thread(target=agent.close)
    closing.start()
    wait_until(closed)
    waits.set()  # the model answers only now
    closing.join()
    agent.close()

    assert "the agent was closed first" == agent.decisions[-1].reason
    assert not [each for each in caplog.records if each.levelname == "WARNING"]
    assert agent.optimizer.running is agent.optimizer.base_rule
    assert not [t for t in threading.enumerate() if t.name == "dux-decision"]


def test_a_live_agent_loads_its_own_state():
    model = models.make("mlp")
    with agent_over(model, MOMENTUM) as agent:
        run(agent, 5)
        agent.decide()
        run(agent, 5)
        decisions = list(agent.decisions)

        agent.load_state_dict(agent.state_dict())
        run(agent, 3)

        assert decisions == agent.decisions
        assert 13 == agent.step_count
        assert MOMENTUM.strip() == agent.optimizer.running.source.strip()


def test_a_resumed_run_ends_as_the_uninterrupted_one():
    def attach(model):
        return dux_agent.attach(
            model,
            sgd(model),
            models.objective,
            lm="offline",
            every=6,
            total_steps=30,
            execution="inline",
        )

    whole, half, rest = (models.make("mlp") for _ in range(3))
    with attach(whole) as agent:
        expected = run(agent, 30)
    with attach(half) as agent:
        run(agent, 15)
        saved, weights = through_torch(agent.state_dict()), half.state_dict()
    rest.load_state_dict(weights)
    with attach(rest) as agent:
        agent.load_state_dict(saved)
        found = run(agent, 15, first=15)

    assert expected[15:] == found
    assert [6, 12, 18, 24] == [decision.step for decision in agent.decisions]


def test_the_same_seed_gives_the_same_losses_to_the_last_bit():
    runs = []
    for _ in range(2):
        model = models.make("dropout")
        torch.manual_seed(4)
        with agent_over(model, lm="offline", every=8, total_steps=40) as agent:
            runs.append(run(agent, 40))

    assert runs[0] == runs[1]


def test_a_rule_that_cannot_be_built_live_is_kept_out(monkeypatch):
    from dux_sandbox.findings import Finding, RuleFailed

    model = models.make("mlp")
    with agent_over(model, MOMENTUM) as agent:
        run(agent, 4)
        group = dict(agent.optimizer.param_groups[0])
        weights = [p.detach().clone() for p in model.parameters()]

        def refuse(source, groups):
            raise RuleFailed(Finding("init", 3, "it broke"))

        agent.optimizer.build = refuse
        decision = agent.decide()

    assert "kept" == decision.verdict
    assert "it broke" in decision.attempts[0]["findings"][0]["message"]
    assert ["apply", "static_check", "static_check"] == [
        each["stage"] for each in decision.attempts
    ]
    assert group == agent.optimizer.param_groups[0]
    assert all(map(torch.equal, weights, model.parameters()))


def test_a_closed_agent_says_so():
    agent = agent_over(models.make("mlp"), SGD)
    agent.close()

    with pytest.raises(BadArgument, match="the agent is closed"):
        agent.decide()


def test_an_objectives_own_error_comes_out():
    model = models.make("mlp")

    def broken(net, batch):
        raise ZeroDivisionError("the caller's own")

    agent = dux_agent.attach(model, sgd(model), broken, lm=scripted(SGD))

    with pytest.raises(ZeroDivisionError, match="the caller's own"):
        agent.observe(1.0, models.batches()[0])
    agent.close()


def test_a_loss_that_is_not_finite_counts_though_its_step_is_left_out():
    model = models.make("mlp")
    scaler = torch.amp.GradScaler("cpu")
    with agent_over(model, MOMENTUM) as agent:
        run(agent, 8)
        decision = agent.decide()
        run(agent, 4, first=8)
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))
        for batch in models.batches():
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            scaler.scale(loss).backward()
            scaler.step(agent.optimizer)  # steps over what is not finite
            scaler.update()
            agent.observe(loss, batch)

    assert "rolled_back" == decision.verdict
    assert "the loss was not finite" in decision.reason
    assert all(bool(value.isfinite().all()) for value in model.parameters())
