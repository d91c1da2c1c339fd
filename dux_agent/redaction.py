"""Keeps keys, tokens and passwords out of everything that a run folder holds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import quote

REDACTED = "[redacted]"

# TOKENIZERS_PARALLELISM and its like tune tokenizers; they hold no token.
_SECRET_NAME = re.compile(
    r"KEY|TOKEN(?!IZER)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTHORIZATION",
    re.IGNORECASE,
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
        re.compile(r"(?P<keep>\bbearer\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE),
    ),
    (
        ("key", "token"),
        re.compile(
            r"(?P<keep>(?:api|access|auth|secret)[-_ ]?(?:key|token)"
            r"(?: provided)?['\"]?\s*[:=]\s*['\"]?)[^\s'\",}&\]]+",
            re.IGNORECASE,
        ),
    ),
    (
        ("://",),
        re.compile(r"(?P<keep>://)[^/\s@'\"]+(?=@)"),
    ),
    (
        ("sk-", "sk_", "pk_", "rk_", "lsv2_", "hf_", "ghp_", "gho_", "xoxb-", "xoxp-"),
        re.compile(r"(?P<keep>)\b(?:sk|pk|rk|lsv2|hf|ghp|gho|xox[bp])[-_][\w-]{16,}"),
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


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values to hide, longest first, with their percent-encoded forms.

    Longest first, so that a secret which contains another one goes as a whole.

    >>> secret_values({"OPENAI_API_KEY": "planted-1", "HOME": "/home/a"})
    ('planted-1',)
    """
    values = set()
    for name in environment:
        if _names_a_secret(name):
            value = environment.get(name, "").strip()
            if len(value) >= _SHORTEST_SECRET:
                values |= {value, quote(value, safe="", errors="replace")}
    return tuple(sorted(values, key=lambda value: (-len(value), value)))


def redactor(
    environment: Mapping[str, str] | None = None,
) -> Callable[[str], str]:
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
