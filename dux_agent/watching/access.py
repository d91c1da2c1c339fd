"""Who may ask a page of the loopback for something: whoever has its address.

Any page of any site can send requests to the loopback, and any other user of the
machine can connect to it. So the address holds a token, the name that it is asked
under must be the loopback's own (a name that an attacker points at it is not), and
what changes something must come from the page itself.
"""

import re
import secrets
from collections.abc import Sequence
from urllib.parse import parse_qs

_OWN_NAME = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


def new_token() -> str:
    """256 bits that nobody guesses, as they may stand in an address."""
    return secrets.token_urlsafe(32)


def refusal(hosts: Sequence[str], query: str, token: str) -> str:
    """Why a request is refused; "" where it is not.

    Args:
        hosts: each `Host` header of it.
        query: of its address.
        token: the one that it must hold.
    """
    # Another port is fine: `ssh -L` forwards one.
    if len(hosts) != 1 or not _OWN_NAME.fullmatch(hosts[0]):
        return (
            "this page is served under 127.0.0.1 and localhost alone; "
            "open the address that dux watch printed."
        )
    given = parse_qs(query, errors="replace").get("token", [])
    if len(given) != 1 or not secrets.compare_digest(
        given[0].encode("utf-8", "replace"), token.encode("ascii")
    ):
        return (
            "the token in the address is missing or another's; "
            "open the address that dux watch printed."
        )
    return ""


def same_origin(origins: Sequence[str], hosts: Sequence[str]) -> bool:
    """Whether a request comes from a page that was served here.

    Args:
        origins: each `Origin` header of it; a browser sends one with every POST.
        hosts: each `Host` header of it.
    """
    return list(origins) == [f"http://{host}" for host in hosts] and len(hosts) == 1
