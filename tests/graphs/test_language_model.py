"""One chat model, asked in time, with fallbacks behind it."""

import threading

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from dux_graphs.language_model import CallCancelled, LanguageModel
from dux_graphs.models import chat_model, language_model, writer
from dux_graphs.patience import CallTooSlow, Patience
from dux_graphs.refused_options import options_sent, refused, without
from dux_graphs.retry_after import retry_after
from dux_graphs.trouble import ReplyTrouble, text_of
from tests.fault_server import hangs, says, serving, stands_still

MESSAGES = [{"role": "user", "content": "u"}]


class Mute(BaseChatModel):
    """Never answers, until it is let go."""

    gate: threading.Event
    options: list = []

    @property
    def _llm_type(self):
        return "mute"

    def _generate(self, messages, stop=None, run_manager=None, **options):
        self.options.append(options)
        self.gate.wait()
        return ChatResult(generations=[ChatGeneration(message=AIMessage("late"))])


@pytest.fixture
def gate():
    """What mute models wait for; open at the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


class Refused(Exception):
    """A server's answer to an option, as its client raises it."""

    status_code = 400


def test_a_reply_in_pieces_is_whole():
    model = LanguageModel(FakeListChatModel(responses=["a reply"]))

    assert "a reply" == model.ask(MESSAGES).text


def test_a_chat_model_that_never_comes_back_is_not_waited_for(gate):
    model = LanguageModel(Mute(gate=gate), patience=Patience(first=0.05))

    with pytest.raises(CallTooSlow, match="no reply within 0.05 s"):
        model.ask(MESSAGES)


def test_a_call_in_another_thread_can_be_cancelled(gate):
    chat = Mute(gate=gate, options=[])
    model = LanguageModel(chat)
    errors = []

    def ask():
        try:
            model.ask(MESSAGES)
        except CallCancelled as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not chat.options:
        thread.join(0.01)
    model.cancel()
    thread.join(60)

    assert 1 == len(errors)


def test_calls_of_another_asker_go_on(gate):
    chat = Mute(gate=gate, options=[])
    model, asker, other = LanguageModel(chat), object(), object()
    ended = []

    def ask(by):
        try:
            ended.append((by, model.ask(MESSAGES, asker=by).content))
        except CallCancelled:
            ended.append((by, None))

    threads = [threading.Thread(target=ask, args=(by,)) for by in (asker, other)]
    for each in threads:
        each.start()
    while len(chat.options) < 2:
        threads[0].join(0.01)
    model.cancel(asker)
    threads[0].join(60)
    gate.set()
    threads[1].join(60)

    assert [(asker, None), (other, "late")] == ended


def test_options_of_a_model_of_ones_own_go_with_each_call(gate):
    chat = Mute(gate=gate, options=[])
    gate.set()

    language_model(chat, options={"temperature": 0.7}).ask(MESSAGES)

    assert [{"temperature": 0.7}] == chat.options


@pytest.mark.parametrize("behaviour", [hangs, stands_still])
def test_no_thread_reads_on_from_a_server_that_was_given_up(behaviour, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(behaviour) as server:
        chat = chat_model(
            "openai:tiny", options={"base_url": server.address_v1}, timeout=0.3
        )
        model = LanguageModel(chat, patience=Patience(first=0.3, between=0.3))
        with pytest.raises(Exception) as caught:
            model.ask(MESSAGES)

        assert "Timeout" in type(caught.value).__name__ or isinstance(
            caught.value, TimeoutError
        )
        for thread in threading.enumerate():
            if thread.name == "dux-call":
                thread.join(60)
                assert not thread.is_alive()


def test_a_model_of_ones_own_whose_server_cannot_stream_is_asked_for_the_whole():
    from langchain_openai import ChatOpenAI

    with serving(says("hello"), streams=False) as server:
        chat = ChatOpenAI(model="x", api_key="none", base_url=server.address_v1)
        write = writer(chat)
        replies = [write(MESSAGES), write(MESSAGES)]

    assert ["hello", "hello"] == replies
    assert 3 == len(server.asked)


@pytest.mark.parametrize(
    ("said", "sent", "left_out"),
    [
        ("Unsupported parameter: 'seed'", ["seed", "temperature"], ["seed"]),
        ("temperature does not support 0.7", ["seed", "temperature"], ["temperature"]),
        ("use max_completion_tokens", ["max_tokens"], ["max_tokens"]),
        ("stream_options is not known", ["stream_usage"], ["stream_usage"]),
        ("Extra inputs are not permitted", ["seed", "top_k"], ["seed", "top_k"]),
        ("unrecognized request argument", ["seed"], ["seed"]),
        ("the model does not exist", ["seed", "temperature"], []),
        ("the seeds of doubt", ["seed"], []),
        ("maximum context length is 9 tokens, not max_tokens", ["max_tokens"], []),
    ],
)
def test_the_option_that_a_server_refuses_is_told_by_its_name(said, sent, left_out):
    assert left_out == refused(Refused(said), sent)


def test_only_refusals_are_about_options():
    class Other(Exception):
        status_code = 500

    assert [] == refused(Other("seed"), ["seed"])
    assert [] == refused(ValueError("seed"), ["seed"])


def test_a_model_without_an_option_is_a_copy():
    from langchain_openai import ChatOpenAI

    options = {"seed": 0, "extra_body": {"top_k": 3}, "stream_usage": False}
    chat = ChatOpenAI(model="x", api_key="k", **options)

    fewer = without(chat, ["seed", "top_k"])

    assert ["seed", "top_k"] == options_sent(chat, {})
    assert [] == options_sent(fewer, {})
    assert (0, {"top_k": 3}) == (chat.seed, chat.extra_body)


class Answered(Exception):
    """An error with the headers of the answer behind it."""

    def __init__(self, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = type("Response", (), {"headers": names})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"Retry_After": "0.5"}, 0.5),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        ({}, None),
        (
            {
                "date": "Wed, 21 Oct 2015 07:28:00 GMT",
                "retry_after": "Wed, 21 Oct 2015 07:28:30 GMT",
            },
            30.0,
        ),
        ({"retry_after": "Thu, 01 Jan 1970 00:01:50 GMT"}, 10.0),
    ],
)
def test_the_seconds_that_a_server_asks_for_are_read(headers, seconds):
    assert seconds == retry_after(Answered(**headers), now=lambda: 100.0)


def test_an_error_without_an_answer_asks_for_nothing():
    assert retry_after(ValueError()) is None


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ab"}],
        [{"type": "reasoning", "summary": []}, "ab"],
        [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "ab"}],
        [{"type": "reasoning_content", "reasoning_content": {}}, {"text": "ab"}],
        [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "ab"],
    ],
)
def test_thinking_blocks_of_a_provider_are_no_part_of_the_reply(blocks):
    assert "ab" == text_of(AIMessage(content=blocks))


@pytest.mark.parametrize(
    "message",
    [
        AIMessage(content=[{"type": "thinking", "thinking": "hm"}]),
        AIMessage("", additional_kwargs={"reasoning_content": "hm"}),
    ],
)
def test_thoughts_without_an_answer_are_told_apart(message):
    with pytest.raises(ReplyTrouble, match="thought and did not answer"):
        text_of(message)
