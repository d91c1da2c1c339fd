"""Which language models can be reached from here, without asking any of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

# Provider of LangChain, its package, the variable that holds its key.
PROVIDERS = (
    ("anthropic", "langchain_anthropic", "ANTHROPIC_API_KEY"),
    ("bedrock", "langchain_aws", "AWS_ACCESS_KEY_ID"),
    ("cohere", "langchain_cohere", "COHERE_API_KEY"),
    ("deepseek", "langchain_deepseek", "DEEPSEEK_API_KEY"),
    ("fireworks", "langchain_fireworks", "FIREWORKS_API_KEY"),
    ("google_genai", "langchain_google_genai", "GOOGLE_API_KEY"),
    ("groq", "langchain_groq", "GROQ_API_KEY"),
    ("mistralai", "langchain_mistralai", "MISTRAL_API_KEY"),
    ("together", "langchain_together", "TOGETHER_API_KEY"),
    ("xai", "langchain_xai", "XAI_API_KEY"),
)
_SECONDS = 3.0
_MOST_BYTES = 2**20
_SHOWN = 8

Look = Callable[[str, str | None], list[str] | None]


@dataclass(frozen=True)
class Reachable:
    """One way to a language model.

    Attributes:
        name: as `--lm` takes it, with NAME where one is to be chosen.
        ready: whether it can be asked from here, as far as can be seen for nothing.
        note: what was found, or what is missing.
    """

    name: str
    ready: bool
    note: str


def served_at(address: str, key: str | None) -> list[str] | None:
    """The models that a server which speaks like OpenAI lists; None: no answer.

    Args:
        address: such as "http://127.0.0.1:8000/v1".
        key: for a server that wants one.
    """
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        request = Request(f"{address.rstrip('/')}/models", headers=headers)
        # It is a server of one's own: no proxy is asked for the way.
        with build_opener(ProxyHandler({})).open(request, timeout=_SECONDS) as answer:
            listed = json.loads(answer.read(_MOST_BYTES))["data"]
        return [str(each["id"])[:80] for each in listed]
    except (URLError, OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def reachable(
    environment: Mapping[str, str], look: Look = served_at
) -> list[Reachable]:
    """Every way to a model, with what is missing. No paid model is asked anything.

    Args:
        environment: variables, such as `os.environ`.
        look: lists the models of a server of one's own.
    """
    found = [Reachable("offline", True, "written rules, no language model")]
    key = environment.get("OPENAI_API_KEY")
    address = environment.get("OPENAI_BASE_URL") or environment.get("OPENAI_API_BASE")
    if address:
        found.append(_server("openai:NAME", "OPENAI_BASE_URL", look(address, key)))
    elif key:
        found.append(_keyed("openai:NAME", "OPENAI_API_KEY"))
    else:
        missing = "set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own"
        found.append(Reachable("openai:NAME", False, missing))
    host = environment.get("OLLAMA_HOST") or "127.0.0.1:11434"
    host = host if "://" in host else f"http://{host}"
    local = look(f"{host.rstrip('/')}/v1", None)
    found.append(_server("ollama:NAME", "Ollama's address", local))
    for provider, package, variable in PROVIDERS:
        installed = find_spec("langchain") is not None and find_spec(package)
        if installed and environment.get(variable):
            found.append(_keyed(f"{provider}:NAME", variable))
        elif installed or environment.get(variable):
            missing = f"set {variable}" if installed else f"pip install '{package}'"
            note = missing.replace("_", "-") if not installed else missing
            found.append(Reachable(f"{provider}:NAME", False, note))
    return found


def _server(name: str, where: str, models: list[str] | None) -> Reachable:
    if models is None:
        return Reachable(name, False, f"no server answers at {where}")
    names = ", ".join(models[:_SHOWN]) or "none"
    more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    return Reachable(name, bool(models), f"the server at {where} has {names}{more}")


def _keyed(name: str, variable: str) -> Reachable:
    return Reachable(
        name, True, f"{variable} is set; asked, and paid, only where it is named"
    )
