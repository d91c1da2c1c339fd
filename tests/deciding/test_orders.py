"""Ranks that do together what one of them orders, and end alike."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from dux_agent.deciding.orders import Orders
from dux_agent.deciding.together import Together
from dux_agent.errors import RanksLost
from dux_agent.testing import ThreadRanks
from dux_agent.training.whole_model import CannotGather
from dux_sandbox.findings import Finding, RuleFailed


def on_each(act, count=3):
    """What `act` comes to, or raises, on each of so many ranks."""

    def outcome(ranks):
        try:
            return act(ranks)
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(outcome, ThreadRanks.of(count)))


def ordered(think, done):
    """Let rank 0 `think`; each rank notes in `done` what it was ordered."""

    def act(ranks):
        def do(order):
            done[ranks.rank].append(order)
            if order == "fail":
                raise KeyError(ranks.rank)
            return f"{order} by {ranks.rank}"

        orders = Orders(ranks, do)
        if ranks.rank == 0:
            return orders.lead(lambda: think(orders.give))
        return orders.follow()

    return on_each(act)


def test_all_ranks_do_what_the_first_orders_and_hear_what_it_comes_to():
    done = [[], [], []]

    heard = ordered(lambda give: [give("one"), give("two")], done)

    assert [["one", "two"]] * 3 == done
    assert [["one by 0", "two by 0"]] * 3 == heard


def test_what_the_first_rank_raises_between_orders_is_told_to_the_others():
    done = [[], [], []]

    def think(give):
        give("one")
        raise KeyError("the model is gone")

    first, *others = ordered(think, done)

    assert isinstance(first, KeyError)
    for each in others:
        assert isinstance(each, RanksLost)
        assert "KeyError: 'the model is gone'" in str(each)


def test_an_order_that_fails_on_all_ranks_leaves_none_waiting():
    done = [[], [], []]

    heard = ordered(lambda give: give("fail"), done)

    assert ["KeyError"] * 3 == [type(each).__name__ for each in heard]


FINDING = Finding("time", None, "one step used more than 4.00 s")


@pytest.mark.parametrize(
    ("raised", "kinds", "said"),
    [
        (RuleFailed(FINDING), [RuleFailed] * 3, "on rank 1: one step used more than"),
        (MemoryError("full"), [CannotGather] * 3, "rank 1 could not try on its part"),
        (KeyError("x"), [RanksLost, KeyError, RanksLost], "rank 1 has failed in a dry"),
    ],
    ids=["rule", "memory", "caller's"],
)
def test_what_one_rank_raises_ends_all(raised, kinds, said):
    def act(ranks):
        guard = SimpleNamespace(put_back=0)

        def do():
            if ranks.rank == 1:
                raise raised
            return ranks.rank

        return Together(ranks, SimpleNamespace(guard=guard)).alike(do)

    told = on_each(act)

    assert kinds == [type(each) for each in told]
    assert said in str(told[0]) and said in str(told[2])


def test_what_no_rank_raises_is_each_ranks_own():
    def act(ranks):
        live = SimpleNamespace(guard=SimpleNamespace(put_back=0))
        return Together(ranks, live).alike(lambda: ranks.rank)

    assert [0, 1, 2] == on_each(act)
