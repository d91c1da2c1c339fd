"""Turns a name into a chat model: "offline", "recorded:FILE", "openai:NAME" ..."""

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from dux_graphs.language_model import LanguageModel
from dux_graphs.patience import LM_TIMEOUT, Patience
from dux_graphs.trouble import ReplyTrouble, cause_of, is_trouble, text_of

__all__ = [
    "LanguageModel",
    "MissingModels",
    "ModelNameError",
    "ReplyTrouble",
    "cause_of",
    "chat_model",
    "is_trouble",
    "language_model",
    "takes_options",
    "text_of",
    "writer",
]

POSSIBLE = (
    '"offline", "recorded:FILE", "openai:NAME", "ollama:NAME", any other'
    ' "provider:NAME" of LangChain, or a BaseChatModel'
)


class ModelNameError(ValueError):
    """No chat model can be made from that name, as things are; one line."""


class MissingModels(ModelNameError, ImportError):
    """The name needs a package that is not installed; the message says which."""


def chat_model(
    name_or_model: str | BaseChatModel,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    timeout: float = LM_TIMEOUT,
) -> BaseChatModel:
    """The chat model of a name; a BaseChatModel is given back as it is.

    No call leaves the machine here, and none is ever made to a model that was not
    named: a key in the environment chooses nothing. Retries are the graph's business,
    so the model's own are switched off.

    Args:
        name_or_model: one of POSSIBLE.
        seed: passed to providers that take one, for replies that repeat.
        options: of the model, as LangChain calls them (`temperature`, `max_tokens`,
            `base_url`); with "openai" and "ollama" any other goes to the server.
        timeout: seconds until a connection that says nothing is given up.

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
    given = dict(options or {})
    if name == "offline":
        _take_no_options(name, given)
        from dux_graphs.offline.model import OfflineRules

        return OfflineRules()
    provider, colon, rest = name.partition(":")
    if not colon or not provider or not rest.strip():
        raise ModelNameError(f"no language model is called {name!r}; wanted {POSSIBLE}")
    rest = rest.strip()
    if provider == "recorded":
        _take_no_options(name, given)
        from dux_graphs.recorded import RecordedChatModel, RecordingError

        try:
            return RecordedChatModel.open(rest)
        except RecordingError as error:
            raise ModelNameError(str(error)) from error
    if provider == "openai":
        return _openai(rest, seed, given, timeout)
    if provider == "ollama":
        return _ollama(rest, seed, given, timeout)
    return _any_provider(provider, rest, name, given, timeout)


def language_model(
    name_or_model: str | BaseChatModel,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    timeout: float = LM_TIMEOUT,
) -> LanguageModel:
    """The chat model of `chat_model` as agents ask it: in time, and as a stream.

    The options of a model that is no name are sent with each call.
    """
    named = isinstance(name_or_model, str)
    chat = chat_model(name_or_model, seed=seed, options=options, timeout=timeout)
    return LanguageModel(
        chat,
        options=None if named else options,
        patience=Patience(first=timeout),
        name=name_or_model if isinstance(name_or_model, str) else "",
    )


def writer(
    model: BaseChatModel | LanguageModel,
) -> Callable[[list[dict[str, str]]], str]:
    """The chat model as `Ports.write`: messages in, the text of the reply out.

    The callable raises ReplyTrouble for a reply that is empty or cut short, and
    whatever the model raises.
    """
    asked = model if isinstance(model, LanguageModel) else LanguageModel(model)

    def write(messages: list[dict[str, str]]) -> str:
        return text_of(asked.ask(messages))

    return write


def takes_options(name_or_model: str | BaseChatModel) -> bool:
    """Whether a model can be asked with options: written rules and records cannot."""
    if not isinstance(name_or_model, str):
        return True
    name = name_or_model.strip()
    return name != "offline" and not name.startswith("recorded:")


def _take_no_options(name: str, options: Mapping[str, Any]) -> None:
    if options:
        raise ModelNameError(
            f"{name!r} got the option {next(iter(options))!r}; none was wanted, since"
            " it asks no language model; leave it out"
        )


def _openai(
    name: str, seed: int, options: dict[str, Any], timeout: float
) -> BaseChatModel:
    address = options.pop("base_url", None)
    address = address or os.environ.get("OPENAI_BASE_URL")
    address = address or os.environ.get("OPENAI_API_BASE")
    key = options.pop("api_key", None) or os.environ.get("OPENAI_API_KEY")
    if not key and not address:
        raise ModelNameError(
            f"no key for openai:{name}; set OPENAI_API_KEY, or OPENAI_BASE_URL for a"
            " server of your own (a local one needs no key)"
        )
    return _speaking_openai(name, address, key or "none", seed, options, timeout)


def _ollama(
    name: str, seed: int, options: dict[str, Any], timeout: float
) -> BaseChatModel:
    """Ollama answers under /v1 as OpenAI does: nothing more to install."""
    host = os.environ.get("OLLAMA_HOST") or "127.0.0.1:11434"
    if "://" not in host:
        host = f"http://{host}"
    address = options.pop("base_url", None) or f"{host.rstrip('/')}/v1"
    key = options.pop("api_key", None) or "none"
    return _speaking_openai(name, address, key, seed, options, timeout)


def _speaking_openai(
    name: str,
    address: str | None,
    key: Any,
    seed: int,
    options: dict[str, Any],
    timeout: float,
) -> BaseChatModel:
    from dux_graphs.openai_servers import speaking_openai

    try:
        return speaking_openai(
            name,
            address=address,
            key=key,
            options={"seed": seed, **options},
            timeout=timeout,
        )
    # What LangChain and the client say of an option or an address, in one line.
    except Exception as error:
        raise ModelNameError(f"openai:{name}: {_one_line(error)}") from error


def _any_provider(
    provider: str, rest: str, name: str, given: dict[str, Any], timeout: float
) -> BaseChatModel:
    if find_spec("langchain") is None:
        raise MissingModels(
            f"{name!r} needs LangChain's other providers, which are not installed:"
            " pip install 'dux-agent[models]'"
        )
    from langchain.chat_models import init_chat_model

    options: dict[str, Any] = {"max_retries": 0, "timeout": timeout, **given}
    options["model_provider"] = provider
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
