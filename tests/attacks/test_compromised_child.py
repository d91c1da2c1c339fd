"""A child that has been taken over can say what it likes: the trainer sees a finding.

Here a thread plays the child. It knows the nonce, so everything that it says passes
for the child's own. What may come out of a rule is RuleFailed, and soon.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time

import pytest
import torch

from dux_sandbox.findings import RuleFailed, SourceRejected
from dux_sandbox.limits import Limits
from dux_sandbox.process.channel import Channel, ChannelBroken, new_nonce
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.process.mirror import Mirror
from dux_sandbox.process.told_groups import ToldGroups
from dux_sandbox.running import RuleState

HEADER = struct.Struct("<16sIQ")
DEEP = json.loads('{"list":[' * 60 + "1" + "]}" * 60)
HALF_DEEP = json.loads("[" * 700 + "]" * 700)
# Values of every wrong type, as JSON and as the tagged forms of dux_sandbox.values.
VALUES = [
    None,
    True,
    -1,
    99,
    10**400,
    1e999,
    "",
    "x" * 100_000,
    "\ud800",
    [],
    [1],
    [[]],
    [[0]],
    [[0, 1, 2]],
    {},
    {"a": 1},
    {"a": 1, "b": 2},
    {"float": "nan"},
    {"float": "x"},
    {"float": [1]},
    {"int": "f" * 4000},
    {"int": 5},
    {"int": "zz"},
    {"list": 5},
    {"list": [1, "a", None]},
    {"tuple": [{"set": []}]},
    {"set": [{"list": []}]},
    {"dict": 5},
    {"dict": [[1]]},
    {"dict": []},
    {"dict": [["lr", "fast"]]},
    {"dict": [["lr", {"int": "f" * 4000}]]},
    {"dict": [["lr", None]]},
    {"dict": [["params", {"list": []}]]},
    {"dict": [["dux", 1]]},
    {"dict": [[5, 1]]},
    {"dict": [[{"tuple": [1]}, 1]]},
    {"dict": [[{"list": []}, 1]]},
    {"dict": [[{"tensor": ["float32", [0]]}, 1]]},
    {"tensor": 5},
    {"tensor": ["float32", [0]]},
    {"tensor": ["float32", [3]]},
    {"tensor": ["float32", [10**30, 0]]},
    {"tensor": ["float32", [-1]]},
    {"tensor": ["object", [0]]},
    {"tensor": [["float32"], [0]]},
    DEEP,
    HALF_DEEP,
]


class Puppet:
    """What an IsolatedRule knows of its child, over a socket of ours."""

    def __init__(self, channel):
        self.channel = channel
        self.pid = 0
        self.is_ours = True  # no fork asks
        self.killed = False

    def kill(self, *, wait=True):
        self.killed = True
        self.channel.close()

    def pause(self):
        """A thread of this process cannot be stopped."""

    def resume(self):
        """Nor woken."""

    def resident_bytes(self):
        return 0

    def last_line(self):
        return None


class Taken:
    """A rule whose child is a thread that runs `liar(channel, socket, nonce)`."""

    def __init__(self, liar, seconds=60.0):
        parameter = torch.nn.Parameter(torch.ones(3))
        parameter.grad = torch.ones(3)
        self.groups = [{"params": [parameter], "lr": 0.1}]
        ours, theirs = socket.socketpair()
        nonce = new_nonce()
        self.child = Puppet(Channel(ours, nonce))
        limits = Limits(step_seconds=seconds)
        mirror = Mirror([parameter])
        self.rule = IsolatedRule("", self.groups, mirror, self.child, limits)
        self.rule._groups = ToldGroups(self.groups, [{"lr": 0.1}])

        def run():
            with theirs:
                try:
                    liar(Channel(theirs, nonce), theirs, nonce)
                except (ChannelBroken, OSError):
                    pass

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.rule.close()
        self._thread.join(60.0)
        assert not self._thread.is_alive()

    def outcome(self, function, *arguments):
        """The finding's rule, or "quiet"; anything else that comes out is a failure."""
        try:
            function(*arguments)
            result = "quiet"
        except RuleFailed as error:
            result = error.finding.rule
        except SourceRejected:
            result = "refused"
        return result


def answers(**fields):
    """A liar that answers every request with these fields and the right number."""

    def liar(channel, *_):
        while True:
            message, _ = channel.receive(60.0)
            channel.send({"id": message["id"], **fields})

    return liar


def place_in_step(value):
    yield {"loss": value}
    yield {"options": value}
    yield {"options": [value]}
    yield {"options": [[0, value]]}
    yield {"options": [[value, {"dict": []}]]}
    yield {"error": value}
    yield {"error": {"rule": value, "line": value, "message": value, "instead": value}}
    yield {"call": value}
    yield {"gradients": value}
    yield {"gradients": [value]}


@pytest.mark.parametrize("index", range(len(VALUES)))
def test_a_step_answered_with_nonsense_is_a_finding(index):
    for fields in place_in_step(VALUES[index]):
        with Taken(answers(**fields)) as taken:
            taken.outcome(taken.rule.step)

            assert isinstance(taken.groups[0]["lr"], (int, float)), fields
            assert taken.groups[0]["lr"] < 1e300
            assert 1 == len(taken.groups[0]["params"])
            assert all(type(name) is str for name in taken.groups[0])


@pytest.mark.parametrize("index", range(len(VALUES)))
def test_a_build_answered_with_nonsense_is_a_finding(index):
    value = VALUES[index]
    sound = {"defaults": {"dict": []}, "options": {"list": [{"dict": []}]}}
    for fields in (
        {**sound, "defaults": value},
        {**sound, "options": value},
        {**sound, "options": {"list": [value]}},
        {
            **sound,
            "carry": value,
            "requires_closure": value,
            "takes_closure": value,
        },
        {"refused": value},
        {"refused": {"findings": value, "digest": value}},
        {"refused": {"findings": [value]}},
    ):
        with Taken(answers(**fields)) as taken:
            parameters = list(taken.groups[0]["params"])

            result = taken.outcome(
                taken.rule._build, "", taken.groups, parameters, 0, Limits()
            )

            if result == "quiet":
                assert type(taken.rule.defaults) is dict, fields
                assert all(type(name) is str for name in taken.rule.defaults)
                assert [dict] == [type(each) for each in taken.rule.options]
                assert all(type(name) is str for name in taken.rule.options[0])
                assert "params" not in taken.rule.options[0]


@pytest.mark.parametrize("index", range(len(VALUES)))
def test_a_snapshot_answered_with_nonsense_is_a_finding(index):
    value = VALUES[index]
    sound = {"state": {"dict": []}, "attributes": {"dict": []}}
    for fields in (
        {**sound, "state": value},
        {**sound, "attributes": value},
        {**sound, "state": {"dict": [[0, value]]}},
        {**sound, "state": {"dict": [[value, {"dict": []}]]}},
        {},
    ):
        with Taken(answers(**fields)) as taken:
            taken.outcome(taken.rule.snapshot)


@pytest.mark.parametrize("index", range(len(VALUES)))
def test_a_jail_reported_with_nonsense_is_a_finding(index):
    for fields in ({"layers": VALUES[index]}, {"layers": [VALUES[index]]}, {}):
        with Taken(lambda channel, *_, said=fields: channel.send(said)) as taken:
            taken.outcome(taken.rule._talk.require_layers, ("seccomp",))


@pytest.mark.parametrize("number", [None, 0, 2, -1, "1", [1], 1e300, {"int": "1"}])
def test_an_answer_to_another_question_is_a_finding(number):
    def answer(channel, *_):
        channel.receive(60.0)
        channel.send({"id": number})

    with Taken(answer) as taken:
        assert "channel" == taken.outcome(taken.rule.step)


def flood(channel, connection, nonce):
    channel.receive(60.0)
    while True:
        connection.sendall(b"x" * 65536)


def flood_of_answers(channel, connection, nonce):
    channel.receive(60.0)
    text = b'{"id":1}'
    while True:
        connection.sendall((HEADER.pack(nonce, len(text), 0) + text) * 1000)


def until_closed(connection):
    while connection.recv(1 << 16):
        pass


def stall(channel, connection, nonce):
    channel.receive(60.0)
    until_closed(connection)


def dribble(channel, connection, nonce):
    channel.receive(60.0)
    connection.sendall(HEADER.pack(nonce, 1 << 19, 0))
    while True:  # a deadline that began anew with each byte would never come
        connection.sendall(b" ")
        time.sleep(0.01)


def die_in_the_middle(channel, connection, nonce):
    channel.receive(60.0)
    connection.sendall(HEADER.pack(nonce, 1000, 0) + b'{"id":')


def claim_a_terabyte(channel, connection, nonce):
    channel.receive(60.0)
    connection.sendall(HEADER.pack(nonce, 2, 1 << 39) + b"{}")
    until_closed(connection)


def forged_nonce(channel, connection, nonce):
    channel.receive(60.0)
    connection.sendall(HEADER.pack(bytes(16), 8, 0) + b'{"id":1}')


def deep_json(channel, connection, nonce):
    channel.receive(60.0)
    text = b'{"id":1,"error":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    connection.sendall(HEADER.pack(nonce, len(text), 0) + text)


def long_number(channel, connection, nonce):
    channel.receive(60.0)
    text = b'{"id":1,"loss":' + b"9" * 500_000 + b"}"
    connection.sendall(HEADER.pack(nonce, len(text), 0) + text)


def not_utf8(channel, connection, nonce):
    channel.receive(60.0)
    text = b'{"id":1,"loss":"\xff\xfe\x00"}'
    connection.sendall(HEADER.pack(nonce, len(text), 0) + text)


@pytest.mark.parametrize(
    ("liar", "rule"),
    [
        (flood, "channel"),
        (flood_of_answers, "channel"),
        (stall, "time"),
        (dribble, "time"),
        (die_in_the_middle, "died"),
        (claim_a_terabyte, "channel"),
        (forged_nonce, "channel"),
        (deep_json, "channel"),
        (long_number, "channel"),
        (not_utf8, "channel"),
    ],
)
def test_bad_manners_end_the_child(liar, rule):
    seconds = 0.3 if rule == "time" else 60.0
    with Taken(liar, seconds) as taken:
        assert rule == taken.outcome(taken.rule.step)
        assert taken.child.killed
        # Asked again it says what has ended it.
        assert rule == taken.outcome(taken.rule.step)


def test_closures_called_for_ever_are_cut_off():
    calls = []
    with Taken(answers(call="closure")) as taken:

        def liar_asks(channel, *_):
            number = channel.receive(60.0)[0]["id"]
            while True:
                channel.send({"id": number, "call": "closure"})
                channel.receive(60.0)

        with Taken(liar_asks) as asking:
            assert "closure" == asking.outcome(
                asking.rule.step, lambda: calls.append(1) or torch.tensor(1.0)
            )
        assert "quiet" == taken.outcome(taken.rule.step)

    assert 10 == len(calls)


def test_a_child_that_ignores_a_failed_closure_does_not_hold_the_trainer():
    def liar(channel, connection, nonce):
        number = channel.receive(60.0)[0]["id"]
        text = json.dumps({"id": number, "call": "closure"}).encode()
        said = HEADER.pack(nonce, len(text), 0) + text
        threading.Thread(target=drain, args=(connection,), daemon=True).start()
        while True:
            connection.sendall(said * 500)

    def drain(connection):
        with contextlib.suppress(OSError):
            until_closed(connection)

    def closure():
        raise KeyError("mine")

    with Taken(liar) as taken:
        with pytest.raises((KeyError, RuleFailed)):
            taken.rule.step(closure)


def test_keys_that_collide_do_not_hold_the_trainer():
    pairs = [[(2**61 - 1) * index, 0] for index in range(1, 60_000)]
    state = {"dict": [[0, {"dict": pairs}]]}
    with Taken(answers(state=state, attributes={"dict": []})) as taken:
        # Refused before they are put into a dict, which would take minutes.
        assert "state" == taken.outcome(taken.rule.snapshot)


def test_a_child_that_takes_its_state_in_sips_does_not_stretch_the_deadline():
    def sip(connection):
        with contextlib.suppress(OSError):  # the test closes it
            while connection.recv(1 << 12):
                time.sleep(0.01)

    ours, theirs = socket.socketpair()
    channel = Channel(ours, new_nonce())
    thread = threading.Thread(target=sip, args=(theirs,), daemon=True)
    thread.start()

    # A deadline that began anew with each sip would see the last of 256 MiB go.
    with pytest.raises(ChannelBroken) as caught:
        channel.send({"id": 1}, [bytes(256 << 20)], 0.4)
    channel.close()
    theirs.close()

    assert "time" == caught.value.rule


def test_a_state_that_is_not_taken_is_a_finding():
    def silent(channel, connection, nonce):
        pass

    with Taken(silent) as taken:
        state = RuleState({0: {"m": torch.zeros(1_000_000)}}, {})

        assert "died" == taken.outcome(taken.rule.restore, state)
