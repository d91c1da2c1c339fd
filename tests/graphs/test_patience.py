"""What a call may take: slow models are waited for, dead ones are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk

from dux_graphs.patience import CallTooSlow, End, Patience, listen
from dux_graphs.trouble import ReplyTrouble, is_trouble


class Told:
    """Pieces of a reply with the seconds before each, by a clock of its own."""

    def __init__(self, *pieces, end=0.0):
        self.pieces = [*pieces, (end, End())]
        self.now = 0.0

    def clock(self):
        return self.now

    def receive(self, seconds):
        pause, piece = self.pieces[0]
        if pause > seconds:
            self.now += seconds
            self.pieces[0] = (pause - seconds, piece)
            return None
        self.now += pause
        del self.pieces[0]
        if isinstance(piece, BaseException):
            raise piece
        return AIMessageChunk(piece) if isinstance(piece, str) else piece

    def heard(self, patience=None, **options):
        return listen(self.receive, patience or Patience(), self.clock, **options)


def test_a_model_may_think_for_minutes_and_then_speak_slowly():
    told = Told((599.0, "a"), *[(10.0, "b")] * 20, (89.0, "c"))

    reply = told.heard()

    assert "a" + 20 * "b" + "c" == reply.text
    assert 599 + 200 + 89 == told.now


@pytest.mark.parametrize(
    ("pieces", "seconds", "said"),
    [
        ([(601.0, "a")], 600, "no reply within 600 s"),
        ([(5.0, "a"), (91.0, "b")], 95, "nothing came for 90 s"),
        # Who speaks is no token: the model goes on thinking.
        ([(1.0, ""), (600.0, "a")], 600, "no reply within 600 s"),
    ],
)
def test_nothing_in_time_is_trouble(pieces, seconds, said):
    told = Told(*pieces)

    with pytest.raises(CallTooSlow, match=said) as caught:
        told.heard()

    assert is_trouble(caught.value)
    assert seconds == told.now


def test_thinking_that_is_streamed_is_a_sign_of_life():
    thought = AIMessageChunk("", additional_kwargs={"reasoning_content": "hm"})

    reply = Told((1.0, ""), *[(60.0, thought)] * 30, (60.0, "a")).heard()

    assert "a" == reply.text


def test_the_time_that_is_left_ends_a_reply_that_is_coming():
    told = Told(*[(10.0, "a")] * 100)

    with pytest.raises(CallTooSlow, match="the time of the decision is over"):
        told.heard(seconds=45.0)

    assert 45 == told.now


def test_a_runaway_reply_is_stopped():
    told = Told(*[(0.0, "abcdef")] * 1000)

    with pytest.raises(ReplyTrouble, match="runaway reply: .* 100 characters"):
        told.heard(Patience(characters=100))

    assert len(told.pieces) > 900


def test_a_model_that_does_not_stream_gives_its_message_whole():
    message = AIMessage("whole", response_metadata={"finish_reason": "stop"})

    assert message is Told((300.0, message)).heard()


def test_a_reply_of_no_pieces_is_empty():
    with pytest.raises(ReplyTrouble, match="empty reply"):
        Told().heard()


@given(st.lists(st.tuples(st.floats(0, 89), st.text(max_size=3)), max_size=20))
def test_whatever_comes_in_time_is_the_reply(pieces):
    told = Told((0.0, "a"), *pieces)

    assert "a" + "".join(text for _, text in pieces) == told.heard().text
