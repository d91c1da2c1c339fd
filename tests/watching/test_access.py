"""Who is let in by a page of the loopback."""

import pytest

from dux_agent.watching.access import new_token, refusal, same_origin

TOKEN = "aB3-xY_9Qw" * 4 + "end"  # the same in every process of the tests
QUERY = f"token={TOKEN}"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "127.0.0.1", "localhost:9", "LOCALHOST:65535", "[::1]:80"],
)
def test_whoever_has_the_address_is_let_in(host):
    assert "" == refusal([host], QUERY, TOKEN)
    assert "" == refusal([host], f"run=one&{QUERY}", TOKEN)


@pytest.mark.parametrize(
    "hosts",
    [
        *(
            [],
            [""],
            ["evil.example"],
            ["evil.example:8000"],
            ["127.0.0.1.evil.example"],
        ),
        *(["localhost.evil.example:80"], ["evil.example#127.0.0.1"], ["0.0.0.0"]),
        *(["user@127.0.0.1"], ["127.0.0.1:80@evil.example"], ["127.0.0.1:"]),
        *(["127.0.0.1\n"], ["localhost:123456"], ["127.0.0.2"], ["2130706433"]),
        *(["127.1"], ["[::ffff:127.0.0.1]"], ["localhost."], ["127.0.0.1:٣"]),
        ["127.0.0.1:8000", "127.0.0.1:8000"],
    ],
)
def test_a_name_that_is_not_the_loopbacks_own_is_refused(hosts):
    assert "127.0.0.1 and localhost alone" in refusal(hosts, QUERY, TOKEN)


@pytest.mark.parametrize(
    "query",
    [
        *("", "token=", "token", f"Token={TOKEN}", f"token={TOKEN}x", f"t={TOKEN}"),
        *(f"token={TOKEN[:-1]}", f"token={TOKEN.swapcase()}", "token=%ff%fe%00ü"),
        *(f"token={TOKEN[::-1]}", f"{QUERY}&{QUERY}", f"token=x&{QUERY}", "&" * 999),
        *(f"token={TOKEN}%20", f"token={TOKEN}+", f"token[]={TOKEN}", "token=\udcff"),
    ],
)
def test_a_token_that_is_another_or_missing_is_refused(query):
    assert "token" in refusal(["localhost"], query, TOKEN)


def test_no_two_tokens_are_alike():
    assert 100 == len({new_token() for _ in range(100)})
    assert all(len(new_token()) >= 43 for _ in range(10))


@pytest.mark.parametrize(
    ("origins", "same"),
    [
        (["http://localhost:8000"], True),
        *[([origin], False) for origin in ("null", "", "http://localhost", "*")],
        (["https://localhost:8000"], False),
        (["http://127.0.0.1:8000"], False),
        (["http://localhost:8001"], False),
        (["http://evil.example"], False),
        (["http://localhost:8000.evil.example"], False),
        ([], False),
        (["http://localhost:8000"] * 2, False),
    ],
)
def test_only_a_page_from_here_may_change_something(origins, same):
    assert same == same_origin(origins, ["localhost:8000"])


def test_without_a_host_nothing_is_from_here():
    assert not same_origin([], [])
