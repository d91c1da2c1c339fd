"""A channel believes nothing that it cannot check."""

import contextlib
import socket
import struct
import threading
import time

import pytest

from dux_sandbox.process.channel import Channel, ChannelBroken, new_nonce

HEADER = struct.Struct("<16sIQ")


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    nonce = new_nonce()
    channel = Channel(ours, nonce)
    yield channel, theirs, nonce
    channel.close()
    theirs.close()


def test_messages_and_bytes_arrive_as_they_were_sent(pair):
    channel, theirs, nonce = pair

    Channel(theirs, nonce).send({"id": 7}, [b"abc", b"def"])

    assert ({"id": 7}, bytearray(b"abcdef")) == channel.receive(60.0)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (lambda nonce: HEADER.pack(bytes(16), 2, 0) + b"{}", "nonce"),
        (lambda nonce: HEADER.pack(nonce, 1 << 31, 0), "longer"),
        (lambda nonce: HEADER.pack(nonce, 2, 1 << 50) + b"{}", "longer"),
        (lambda nonce: HEADER.pack(nonce, 3, 0) + b"{]}", "no JSON"),
        (lambda nonce: HEADER.pack(nonce, 2, 0) + b"[]", "no object"),
        (lambda nonce: HEADER.pack(nonce, 60000, 0) + b"[" * 60000, "no JSON"),
    ],
)
def test_a_forged_message_breaks_the_channel(pair, payload, message):
    channel, theirs, nonce = pair
    theirs.sendall(payload(nonce))

    with pytest.raises(ChannelBroken, match=message):
        channel.receive(60.0)


def test_a_silent_peer_is_late(pair):
    channel, _, _ = pair

    with pytest.raises(ChannelBroken) as caught:
        channel.receive(0.1)

    assert "time" == caught.value.rule


def test_a_peer_that_stops_in_the_middle_is_late(pair):
    channel, theirs, nonce = pair
    theirs.sendall(HEADER.pack(nonce, 100, 0) + b'{"id"')

    with pytest.raises(ChannelBroken) as caught:
        channel.receive(0.1)

    assert "time" == caught.value.rule


def test_a_closed_peer_is_dead(pair):
    channel, theirs, _ = pair
    theirs.close()

    with pytest.raises(ChannelBroken) as caught:
        channel.receive(60.0)

    assert "died" == caught.value.rule


def test_a_second_answer_is_seen(pair):
    channel, theirs, nonce = pair
    other = Channel(theirs, nonce)
    other.send({"id": 1})
    other.send({"id": 1})

    channel.receive(60.0)

    assert channel.surplus


def test_a_peer_that_dribbles_does_not_stretch_the_deadline(pair):
    channel, theirs, nonce = pair

    def dribble():
        with contextlib.suppress(OSError):
            theirs.sendall(HEADER.pack(nonce, 1 << 20, 0))
            while True:  # a deadline that began anew with each byte would never come
                theirs.send(b" ")
                time.sleep(0.01)

    thread = threading.Thread(target=dribble)
    thread.start()
    with pytest.raises(ChannelBroken) as caught:
        channel.receive(0.3)
    theirs.shutdown(socket.SHUT_RDWR)
    thread.join()

    assert "time" == caught.value.rule


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_large_messages_arrive_whole(pair, size):
    channel, theirs, nonce = pair
    sender = threading.Thread(
        target=Channel(theirs, nonce).send, args=({"n": size}, [bytes(size)])
    )
    sender.start()

    message, blob = channel.receive(60.0)
    sender.join()

    assert {"n": size} == message
    assert bytes(size) == blob
