"""A prompt that is too long is told from other trouble, whoever the provider is."""

import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage

from dux_graphs.too_long import is_too_long
from dux_graphs.trouble import ReplyTrouble, cause_of, is_trouble, text_of


class Failed(Exception):
    def __init__(self, text="", **fields):
        super().__init__(text)
        for name, value in fields.items():
            setattr(self, name, value)


class ContextWindowExceededError(Exception):
    """Called as LiteLLM calls it."""


class ThrottlingException(Exception):
    """Called as Bedrock calls it."""


SAID = [
    "Error code: 400 - {'error': {'message': \"This model's maximum context length is "
    ' 128000 tokens. However, your messages resulted in 180123 tokens."}}',
    "{'error': {'code': 'context_length_exceeded', 'type': 'invalid_request_error'}}",
    "Your input exceeds the context window of this model. Please adjust your input.",
    "prompt is too long: 205124 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
    "The input token count (1200000) exceeds the maximum number of tokens allowed",
    "Input is too long for requested model.",
    "The model returned the following errors: Too many input tokens. Max: 42000",
    "Prompt contains 40120 tokens, too large for model with 32768 maximum context "
    "length",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "This model's maximum prompt length is 131072 but the request contains 150000",
    "the request exceeds the available context size, try increasing it",
    "{'type': 'exceed_context_size_error', 'n_prompt_tokens': 9001, 'n_ctx': 4096}",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
    "Input validation error: `inputs` must have less than 1024 tokens. Given: 1403",
    "The prompt is too long: 8236, model maximum context length: 4096",
    "Please reduce the length of the messages or completion.",
    "The decoder prompt (length 9000) is longer than the maximum model length of 4096",
    "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested "
    "40000. The input or output tokens must be reduced in order to run successfully.",
    "the input length exceeds the context length",
    "Requested tokens (5012) exceed context window of 4096",
]


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("status", [None, 400, 422, 500])
def test_the_wordings_of_the_providers_are_recognised(said, status):
    error = Failed(said, status_code=status)

    assert is_too_long(error)
    assert not is_trouble(error)
    assert cause_of(error).startswith("the prompt is too long: ")
    # What a trace keeps of it is recognised when the run is replayed.
    assert is_too_long(RuntimeError(cause_of(error)))


@pytest.mark.parametrize(
    "error",
    [
        ContextOverflowError("no words at all"),
        ContextWindowExceededError(),
        Failed("Request Entity Too Large", status_code=413),
        Failed("Bad request", code="context_length_exceeded"),
        Failed("Bad request", body={"message": "maximum context length is 8192"}),
        Failed(SAID[-3], status_code=429),
    ],
)
def test_so_are_names_codes_bodies_and_the_status_413(error):
    assert is_too_long(error)


def test_so_is_an_error_that_another_one_wraps():
    try:
        try:
            raise ValueError("prompt is too long: 9 tokens > 8 maximum")
        except ValueError as cause:
            raise RuntimeError("the call failed") from cause
    except RuntimeError as error:
        assert is_too_long(error)


@pytest.mark.parametrize(
    "error",
    [
        Failed("Too many tokens, please wait before trying again.", status_code=429),
        ThrottlingException("Too many tokens, please wait before trying again."),
        Failed("Rate limit reached: too many tokens per minute"),
        Failed("max_tokens is too large: 9000. This model supports at most 4096"),
        Failed("Incorrect API key", status_code=401),
        Failed("the request was too long ago", status_code=408),
        TimeoutError("120 s"),
        ReplyTrouble("truncated reply: it ended with finish_reason='length'"),
        ValueError("a bug"),
        Exception(""),
    ],
)
def test_other_trouble_is_not_taken_for_it(error):
    assert not is_too_long(error)


def test_a_reply_cut_short_by_a_full_context_is_too_long():
    message = AIMessage(
        content="half",
        response_metadata={"stop_reason": "model_context_window_exceeded"},
    )

    with pytest.raises(ReplyTrouble) as caught:
        text_of(message)

    assert is_too_long(caught.value)
