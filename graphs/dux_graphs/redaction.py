"""Keeps keys, tokens and passwords out of everything that a run folder holds.

What is hidden: the values of environment variables that are named like a secret, what
an address holds beside the host (`http://user:password@host/?api_key=...`), values
that `hide` was told of, and whatever has the form of a secret, such as a header.
"""

import base64
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote, urlsplit

REDACTED = "[redacted]"

# TOKENIZERS_PARALLELISM and its like tune tokenizers; they hold no token.
_SECRET_NAME = re.compile(
    r"KEY|TOKEN(?!IZER)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTHORIZATION", re.IGNORECASE
)
_ADDRESS_NAME = re.compile(
    r"UR[IL]|BASE|HOST|ENDPOINT|PROXY|DSN|SERVER|ADDR", re.IGNORECASE
)

# Below six characters a value is a word or a switch ("true", "1"), and replacing it
# everywhere would tear up the text.
_SHORTEST_SECRET = 6

# What carries a secret by its form alone, whatever the environment says: headers,
# arguments such as ?api_key=..., the user part of an address, keys in a vendor's
# form. Before each, the words one of which such a text must hold: looking for those
# is quick, the expressions took 24 ms for a prompt of 12,000 characters.
_SECRET_FORMS = (
    (
        ("authorization",),
        re.compile(
            r"(?P<keep>authorization['\"]?\s*[:=]\s*['\"]?"
            r"(?:(?:bearer|basic|token|digest)\s+)?)[^\s'\",}\]]+",
            re.IGNORECASE,
        ),
    ),
    (
        ("bearer",),
        # A word alone is none: sources may well speak of a bearer.
        re.compile(
            r"(?P<keep>\bbearer\s+)(?=\S*\d|\S{20})[A-Za-z0-9._~+/=-]{6,}",
            re.IGNORECASE,
        ),
    ),
    (
        ("key", "token"),
        re.compile(
            r"(?P<keep>(?:api|access|auth|secret)[-_ ]?(?:key|token)"
            r"(?: provided)?['\"]?\s*[:=]\s*['\"]?)[^\s'\",}&\]]+",
            re.IGNORECASE,
        ),
    ),
    (("://",), re.compile(r"(?P<keep>://)[^/\s@'\"]+(?=@)")),
    (
        ("sk-", "sk_", "pk_", "rk_", "lsv2_", "hf_", "ghp_", "gho_", "xoxb-", "xoxp-"),
        # Names in a source, as rk_residual_norm_squared, are words in lower case.
        re.compile(
            r"(?P<keep>)\b(?:sk|pk|rk|lsv2|hf|ghp|gho|xox[bp])[-_]"
            r"(?=[\w-]*[0-9A-Z])(?=[\w-]*[A-Za-z0-9]{10})[\w-]{16,}"
        ),
    ),
)

# The names of headers and arguments whose whole value is a secret.
_SECRET_FIELD = re.compile(
    r"^(?:(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api[-_]?key|password|"
    r"(?:access|auth|secret|refresh)[-_]?(?:key|token)|\w*_(?:api_)?key|\w*_token|"
    r"\w*_secret|\w*_password)$",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def is_secret_field(name: str) -> bool:
    """Whether a value stored under `name` is a secret, whatever it looks like.

    >>> is_secret_field("Authorization"), is_secret_field("loss")
    (True, False)
    """
    return _SECRET_FIELD.match(name) is not None


# Told by `hide`; kept for the life of the process, since nothing says when a secret
# stops being one.
_HIDDEN: set[str] = set()


def hide(value: str) -> None:
    """Hide this value in everything that is written from now on.

    For secrets that no environment variable holds, as a key passed in code. An address
    is searched for the secrets in it; values below six characters are left alone.
    """
    value = value.strip()
    if "://" in value:
        _HIDDEN.update(_secrets_of_address(value))
    elif len(value) >= _SHORTEST_SECRET:
        _HIDDEN.update(_spellings(value))


def hide_secrets_of(model: object) -> None:
    """Hide the keys, headers and addresses that a chat model was made with."""
    for name, value in list(getattr(model, "__dict__", {}).items()):
        _hide_held(name, value)


def _hide_held(name: str, value: object) -> None:
    secret = getattr(value, "get_secret_value", None)
    if callable(secret):
        value = secret()
        name = "password"
    if isinstance(value, str):
        if "://" in value or is_secret_field(name):
            hide(value)
    elif isinstance(value, Mapping):
        for key, held in value.items():
            if isinstance(key, str):
                _hide_held(key, held)


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values to hide, longest first, with their percent-encoded forms.

    Longest first, so that a secret which contains another one goes as a whole.

    >>> secret_values({"OPENAI_API_KEY": "planted-1", "HOME": "/home/a"})
    ('planted-1',)
    >>> secret_values({"OPENAI_BASE_URL": "http://host/v1?api_key=planted-2"})
    ('planted-2',)
    """
    values = set(_HIDDEN)
    for name in environment:
        secret = _names_a_secret(name)
        # Most variables are neither, and looking at a name is the quicker of both.
        if not secret and not _names_an_address(name):
            continue
        value = environment.get(name, "").strip()
        if "://" in value:
            values |= _secrets_of_address(value)
        if secret and len(value) >= _SHORTEST_SECRET:
            values |= _spellings(value)
    return tuple(sorted(values, key=lambda value: (-len(value), value)))


def _spellings(value: str) -> set[str]:
    return {value, quote(value, safe="", errors="replace")}


@lru_cache(maxsize=256)
def _secrets_of_address(address: str) -> frozenset[str]:
    """User part and secret arguments of an address, in every form they travel in."""
    try:
        parts = urlsplit(address)
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return frozenset()
    found: set[str] = set()
    # A user without a password is a token, as in https://TOKEN@host.
    for held in (password or user, *_secret_arguments(parts.query)):
        for spelling in (held, unquote(held)):
            if len(spelling) >= _SHORTEST_SECRET:
                found |= _spellings(spelling)
    if password:
        pair = f"{unquote(user)}:{unquote(password)}".encode("utf-8", "replace")
        found.add(base64.b64encode(pair).decode("ascii"))
    return frozenset(found)


def _secret_arguments(query: str) -> Iterator[str]:
    for name, value in parse_qsl(query):
        if is_secret_field(name) or _names_a_secret(name):
            yield value


def redactor(environment: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """A function that replaces every secret of a text by `[redacted]`.

    Args:
        environment: where secrets are looked up by name; the process's own when
            left out, read now.

    >>> redactor({"MY_TOKEN": "planted"})("x=planted; Authorization: Bearer abcdef")
    'x=[redacted]; Authorization: Bearer [redacted]'
    """
    values = secret_values(os.environ if environment is None else environment)

    def redact(text: str) -> str:
        for value in values:
            if value in text:
                text = text.replace(value, REDACTED)
        lower = text.lower()
        for words, form in _SECRET_FORMS:
            if any(word in lower for word in words):
                text = form.sub(lambda found: found["keep"] + REDACTED, text)
        return text

    return redact


@lru_cache(maxsize=4096)
def _names_a_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


@lru_cache(maxsize=4096)
def _names_an_address(name: str) -> bool:
    return _ADDRESS_NAME.search(name) is not None
