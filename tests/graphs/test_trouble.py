import json

import pytest
from langchain_core.messages import AIMessage

from dux_graphs.http_status import status_of
from dux_graphs.trouble import ReplyTrouble, cause_of, is_trouble, text_of


class WithStatus(Exception):
    def __init__(self, text="", **fields):
        super().__init__(text)
        for name, value in fields.items():
            setattr(self, name, value)


class APITimeoutError(Exception):
    """Called as the client of a provider calls it."""


class Response:
    status_code = 502


def test_the_text_of_a_message_in_parts_is_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert "ab" == text_of(AIMessage(content=parts))


@pytest.mark.parametrize(
    ("content", "metadata", "said"),
    [
        ("", {}, "empty reply"),
        (" \n", {}, "empty reply"),
        ([], {}, "empty reply"),
        ("half a cla", {"finish_reason": "length"}, "finish_reason='length'"),
        ("half a cla", {"stop_reason": "max_tokens"}, "finish_reason='max_tokens'"),
    ],
)
def test_a_reply_that_is_not_whole_is_trouble(content, metadata, said):
    message = AIMessage(content=content, response_metadata=metadata)

    with pytest.raises(ReplyTrouble, match=said) as caught:
        text_of(message)

    assert is_trouble(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(),
        APITimeoutError(),
        json.JSONDecodeError("no JSON", "", 0),
        *(WithStatus(status_code=status) for status in (408, 429, 500, 503, 529)),
        WithStatus(code=503),
        WithStatus(response=Response()),
    ],
)
def test_what_may_pass_is_trouble(error):
    assert is_trouble(error)


@pytest.mark.parametrize(
    "error",
    [
        *(WithStatus(status_code=status) for status in (400, 401, 403, 404, 422)),
        ValueError("a bug"),
        KeyError("key"),
        IndexError("of a caller's own"),
        TypeError("choices"),
        WithStatus(code="invalid_api_key"),
    ],
)
def test_what_will_not_pass_is_no_trouble(error):
    assert not is_trouble(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WithStatus("no", status_code=401), "not authorised (401): no"),
        (WithStatus("slow", status_code=429), "rate limit (429): slow"),
        (WithStatus("down", status_code=503), "server error (503): down"),
        (WithStatus("odd", status_code=418), "refused (418): odd"),
        (TimeoutError("120 s"), "timeout: 120 s"),
        (ConnectionError("gone"), "connection lost: gone"),
        (ValueError("two\nlines"), "ValueError: two lines"),
    ],
)
def test_the_cause_is_named_on_one_line(error, said):
    assert said == cause_of(error)


@pytest.mark.parametrize(
    "secret",
    ["sk-proj-abcdef123456", "Bearer abc.def", "a" * 48, "sk-abc***********wxyz"],
)
def test_no_secret_stands_in_the_cause(secret):
    said = cause_of(WithStatus(f"Incorrect API key: {secret}.", status_code=401))

    assert secret not in said
    assert "[redacted]" in said


def test_a_text_as_code_is_no_status():
    assert status_of(WithStatus(code="429")) is None
    assert 502 == status_of(WithStatus(response=Response()))
