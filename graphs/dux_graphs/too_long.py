"""Tells a prompt that is longer than a model's context from other trouble."""

import re
from collections.abc import Iterator

from dux_graphs.http_status import status_of

_NAMES = {"ContextOverflowError", "ContextWindowExceededError"}
"""What LangChain and LiteLLM call it, whichever provider it comes from."""

_NOT_ABOUT_LENGTH = {401, 403, 404, 408, 409, 425}
_TOO_LARGE = 413

# As they say it: OpenAI and whoever speaks like it (vLLM, DeepSeek, Azure), Anthropic,
# Gemini, Bedrock, Mistral, Cohere, xAI, llama.cpp, text-generation-inference.
_SAID = re.compile(
    r"""
      context[ _]length[ _]exceeded
    | exceed\w*[ _]context
    | context[ _](?:window|size|limit)[ _](?:(?:is|was|has[ ]been)[ ])?exceeded
    | (?:maximum|max|model'?s?|available)[ ](?:context|prompt|sequence|input)
      [ ](?:length|size|window|tokens)
    | max(?:imum)?[_ ]?(?:context|seq\w*|model)[_ ]len\w*
    | exceed\w*[ ](?:the[ ])?(?:\w+[ ]){0,3}(?:context|prompt)[ ]
      (?:length|size|window|limit)
    | (?:prompt|input|request|message|messages|conversation)[ ](?:is|are|was|were)
      [ ]too[ ](?:long|large)
    | (?:prompt|input|request)[ ]too[ ](?:long|large)
    | too[ ]large[ ]for[ ]model
    | too[ ]many[ ](?:input[ ]|prompt[ ])?tokens
    | (?:input|prompt)[ ]token[ ]count\W.{0,80}exceed
    | tokens?.{0,40}must[ ]be[ ]reduced
    | reduce[ ](?:the[ ]length[ ]of|your[ ]prompt|your[ ]message)
    | inputs?`?[ ]?(?:tokens)?[ ]?\+[ ]?`?max_new_tokens
    | must[ ]have[ ]less[ ]than[ ]\d+[ ]tokens
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
# "Too many tokens" of a minute or a day pass with time; a shorter prompt is no cure.
_RATE = re.compile(
    r"rate.?limit|throttl|quota|per[ ](?:minute|min|hour|day)|please[ ]wait",
    re.IGNORECASE,
)
# But a single request that is larger than what a minute allows never passes.
_EVER = re.compile(r"request[ ]too[ ]large|must[ ]be[ ]reduced", re.IGNORECASE)
_MOST_CAUSES = 3


def is_too_long(error: BaseException) -> bool:
    """Whether a call failed because the prompt is too long for the model.

    A shorter prompt is then worth a call; the same one is not.

    >>> is_too_long(ValueError("This model's maximum context length is 8192 tokens."))
    True
    >>> is_too_long(ValueError("max_tokens is too large: 9000"))
    False
    """
    return any(_says_so(each) for each in _with_causes(error))


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if at is None:
            return
        yield at
        at = at.__cause__


def _says_so(error: BaseException) -> bool:
    if any(kind.__name__ in _NAMES for kind in type(error).__mro__):
        return True
    status = status_of(error)
    if status in _NOT_ABOUT_LENGTH:
        return False
    if status == _TOO_LARGE:
        return True
    details = [getattr(error, name, None) for name in ("code", "type", "body")]
    said = " ".join([str(error), *(str(each) for each in details if each)])
    if not _SAID.search(said):
        return False
    limited = status == 429 or bool(_RATE.search(f"{type(error).__name__} {said}"))
    return not limited or bool(_EVER.search(said))
