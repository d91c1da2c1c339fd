"""Turns a name into a chat model: "offline", "recorded:FILE", "openai:NAME" ..."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from dux_graphs.trouble import ReplyTrouble, cause_of, is_trouble, text_of

__all__ = [
    "MissingModels",
    "ModelNameError",
    "ReplyTrouble",
    "cause_of",
    "chat_model",
    "is_trouble",
    "text_of",
    "writer",
]

TIMEOUT = 120.0
"""Seconds until a call to a language model counts as trouble."""

POSSIBLE = (
    '"offline", "recorded:FILE", "openai:NAME", "ollama:NAME", any other'
    ' "provider:NAME" of LangChain, or a BaseChatModel'
)


class ModelNameError(ValueError):
    """No chat model can be made from that name, as things are; one line."""


class MissingModels(ModelNameError, ImportError):
    """The name needs a package that is not installed; the message says which."""


def chat_model(name_or_model: str | BaseChatModel, *, seed: int = 0) -> BaseChatModel:
    """The chat model of a name; a BaseChatModel is given back as it is.

    No call leaves the machine here. Retries are the graph's business, so the model's
    own are switched off.

    Args:
        name_or_model: one of POSSIBLE.
        seed: passed to providers that take one, for replies that repeat.

    Raises:
        ModelNameError: the name means nothing, or its key or file is missing.
        MissingModels: the name needs the extra `models`, or a provider's package.

    >>> chat_model("offline").model_name
    'offline-rules'
    """
    if isinstance(name_or_model, BaseChatModel):
        return name_or_model
    if not isinstance(name_or_model, str):
        raise ModelNameError(
            f"lm is a {type(name_or_model).__name__}; wanted {POSSIBLE}"
        )
    name = name_or_model.strip()
    if name == "offline":
        from dux_graphs.offline import OfflineRules

        return OfflineRules()
    provider, colon, rest = name.partition(":")
    if not colon or not provider or not rest.strip():
        raise ModelNameError(f"no language model is called {name!r}; wanted {POSSIBLE}")
    rest = rest.strip()
    if provider == "recorded":
        from dux_graphs.recorded import RecordedChatModel, RecordingError

        try:
            return RecordedChatModel.open(rest)
        except RecordingError as error:
            raise ModelNameError(str(error)) from error
    if provider == "openai":
        return _openai(rest, seed)
    if provider == "ollama":
        return _ollama(rest, seed)
    return _any_provider(provider, rest, name)


def writer(model: BaseChatModel) -> Callable[[list[dict[str, str]]], str]:
    """The chat model as `Ports.write`: messages in, the text of the reply out.

    The callable raises ReplyTrouble for a reply that is empty or cut short, and
    whatever the model raises.
    """

    def write(messages: list[dict[str, str]]) -> str:
        return text_of(model.invoke(messages))

    return write


def _openai(name: str, seed: int) -> BaseChatModel:
    address = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    key = os.environ.get("OPENAI_API_KEY")
    if not key and not address:
        raise ModelNameError(
            f"no key for openai:{name}; set OPENAI_API_KEY, or OPENAI_BASE_URL for a"
            " server of your own (a local one needs no key)"
        )
    return _speaking_openai(name, address, key or "none", seed)


def _ollama(name: str, seed: int) -> BaseChatModel:
    """Ollama answers under /v1 as OpenAI does: nothing more to install."""
    host = os.environ.get("OLLAMA_HOST") or "127.0.0.1:11434"
    if "://" not in host:
        host = f"http://{host}"
    return _speaking_openai(name, f"{host.rstrip('/')}/v1", "none", seed)


def _speaking_openai(
    name: str, address: str | None, key: str, seed: int
) -> BaseChatModel:
    # It takes a second to import, and only these models need it.
    from langchain_openai import ChatOpenAI

    options: dict[str, Any] = {
        "model": name,
        "api_key": key,
        "base_url": address,
        "max_retries": 0,
        "timeout": TIMEOUT,
        "seed": seed,
    }
    return ChatOpenAI(**options)


def _any_provider(provider: str, rest: str, name: str) -> BaseChatModel:
    if find_spec("langchain") is None:
        raise MissingModels(
            f"{name!r} needs LangChain's other providers, which are not installed:"
            " pip install 'dux-agent[models]'"
        )
    from langchain.chat_models import init_chat_model

    options: dict[str, Any] = {"model_provider": provider, "max_retries": 0}
    try:
        model: BaseChatModel = init_chat_model(rest, **options)
    except ImportError as error:
        raise MissingModels(f"{name!r}: {_one_line(error)}") from error
    # Each provider's class has its own way to say that a name, a key or an option
    # does not do; all of it is said here in one line.
    except Exception as error:
        raise ModelNameError(f"{name!r}: {_one_line(error)}") from error
    return model


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
