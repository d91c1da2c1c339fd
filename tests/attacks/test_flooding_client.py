"""A client of the tools that floods, gives up and shouts: nothing piles up."""

import threading

import anyio
import pytest
from mcp.server.mcpserver.exceptions import ToolError

from dux_agent.errors import BadArgument, DuxError
from dux_agent.tool_server.answers import Answers
from dux_agent.tool_server.places import Places
from dux_agent.tool_server.server import MOST_WAITING, Lane
from tests.law_mutants import SGD
from tests.waiting import wait_until


async def giving_up(lane, work):
    """A call that its client cancels at once, before its turn."""
    async with anyio.create_task_group() as calls:
        calls.start_soon(lane.run, work)
        await anyio.wait_all_tasks_blocked()
        calls.cancel_scope.cancel()


def test_calls_that_are_given_up_before_their_turn_are_never_worked_off():
    lane, done, go = Lane(), [], threading.Event()

    async def conversation():
        threads = threading.active_count()
        async with anyio.create_task_group() as calls:
            calls.start_soon(lane.run, lambda _: go.wait())
            await anyio.to_thread.run_sync(wait_until, lambda: lane.busy)
            for _ in range(5 * MOST_WAITING):
                await giving_up(lane, lambda _: done.append("given up"))
            assert threading.active_count() - threads <= MOST_WAITING
            go.set()
        return await lane.run(lambda _: "answered")

    assert "answered" == anyio.run(conversation)
    assert [] == done


def test_a_call_that_is_given_up_at_work_lets_the_next_one_wait_for_its_end():
    lane, order, go = Lane(), [], threading.Event()

    def slow(given_up):
        wait_until(given_up)
        go.wait()
        order.append("first")

    async def conversation():
        async with anyio.create_task_group() as calls:
            calls.start_soon(lane.run, slow)
            await anyio.to_thread.run_sync(wait_until, lambda: lane.busy)
            calls.cancel_scope.cancel()
        async with anyio.create_task_group() as calls:
            calls.start_soon(lane.run, lambda _: order.append("second"))
            await anyio.wait_all_tasks_blocked()
            assert lane.busy and [] == order
            go.set()

    anyio.run(conversation)

    assert ["first", "second"] == order


def test_a_check_that_is_given_up_tries_no_other_class(tmp_path):
    asked = []

    def given_up():
        asked.append(len(asked))
        return len(asked) == 2

    two = SGD + SGD.replace("import torch\n", "").replace("class ", "class Other")

    with pytest.raises(DuxError, match="given up"):
        Answers(Places(tmp_path)).check(
            two, None, classes=(), beside=(), static=False, given_up=given_up
        )

    assert [0, 1] == asked


@pytest.mark.parametrize("said", ["\x1b[2J\n" * 10_000, "a\u202eb" * 10_000])
def test_what_a_client_said_comes_back_on_one_short_line_without_orders(said):
    def refuse(_):
        raise BadArgument(f"--class {said}: there is none.")

    with pytest.raises(ToolError) as refused:
        anyio.run(Lane().run, refuse)

    assert str(refused.value).isprintable() and len(str(refused.value)) < 2000
