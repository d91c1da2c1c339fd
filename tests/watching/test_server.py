"""What is served on the loopback, to whom, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.run_folder.watchers_word import asked, paused
from tests.run_folders import Writer, usual
from tests.waiting import wait_until
from tests.watching.serving import ask, watching

PROPOSAL = {"digest": "a" * 64}
PAUSE = json.dumps({"action": "pause"}).encode()


@pytest.fixture
def folder(tmp_path):
    with Writer(tmp_path / "run") as writer:
        writer.losses(1, 5)
        yield writer.path


@pytest.fixture
def server(folder):
    with watching(folder) as server:
        yield server


def post(server, body=PAUSE, **headers):
    origin = server.address.split("/?")[0]
    given = {"Content_Type": "application/json", "Origin": origin, **headers}
    return ask(server, "POST", body=body, **given)


def test_the_page_forbids_everything_but_itself(server):
    status, headers, text = ask(server)

    assert 200 == status
    assert "digits, seed 0" in text
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert policy.split("; frame-ancestors")[0] in text
    assert ("no-store", "no-referrer", "nosniff", "DENY") == (
        headers["Cache-Control"],
        headers["Referrer-Policy"],
        headers["X-Content-Type-Options"],
        headers["X-Frame-Options"],
    )
    assert "Python" not in headers["Server"]
    assert "Access-Control-Allow-Origin" not in headers


def test_what_did_not_change_is_not_sent_again(server, folder):
    _, headers, _ = ask(server)

    status, _, text = ask(server, If_None_Match=headers["ETag"])

    assert (304, "") == (status, text)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_without_the_token_nothing_is_told_and_nothing_done(server, folder, method):
    bare = server.address.split("?")[0]
    for address in (bare, f"{bare}?token=x", server.address + "x"):
        status, headers, text = ask(
            server,
            method,
            address=address,
            body=PAUSE,
            Origin=bare.rstrip("/"),
            Content_Type="application/json",
        )

        assert 403 == status
        assert "digits" not in text
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not paused(folder)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", None, ""])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_under_another_name_nothing_is_told_and_nothing_done(
    server, folder, method, host
):
    status, _, text = ask(
        server,
        method,
        body=PAUSE,
        Host=host,
        Origin=f"http://{host}",
        Content_Type="application/json",
    )

    assert 403 == status
    assert "digits" not in text
    assert not paused(folder)


def test_a_forwarded_port_is_fine(server, folder):
    assert 200 == ask(server, Host="localhost:9999")[0]
    assert 200 == post(server, Host="localhost:9999", Origin="http://localhost:9999")[0]
    assert paused(folder)


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://localhost"]
)
def test_another_page_cannot_press_a_button(server, folder, origin):
    assert 403 == post(server, Origin=origin)[0]
    assert not paused(folder)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (PAUSE, {"Content_Type": "text/plain"}, 415),
        (PAUSE, {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        (PAUSE, {"Content_Type": None}, 415),
        (PAUSE, {"Content_Length": "-1"}, 411),
        (PAUSE, {"Content_Length": "x"}, 411),
        (PAUSE, {"Content_Length": "9" * 5000}, 413),
        (PAUSE, {"Content_Length": "70000"}, 413),
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b"[" * 60_000, {}, 400),
        (b"\xff", {}, 400),
        (b'{"action": "pause", "action": "pause"}', {}, 400),
        (b"{}", {}, 409),
        (b'{"action": "stop"}', {}, 409),
        (b'{"action": ["pause"]}', {}, 409),
        (b'{"action": "answer"}', {}, 409),
        (b'{"action": "answer", "answer": true}', {}, 409),
        (b'{"action": "answer", "answer": true, "key": "../../x"}', {}, 409),
        (b'{"action": "answer", "answer": 1, "key": "0"}', {}, 409),
        (b'{"action": "answer", "answer": "", "key": "0"}', {}, 409),
    ],
)
def test_what_no_button_says_is_refused_with_words(
    server, folder, body, headers, status
):
    told = post(server, body, **headers)

    assert status == told[0]
    assert told[2]
    assert not paused(folder)


def test_other_methods_and_paths_are_refused(server):
    host = urlsplit(server.address)
    assert 404 == ask(server, address=server.address.replace("/?", "/run.json?"))[0]
    assert 404 == ask(server, address=server.address.replace("/?", "//evil?"))[0]
    assert 404 == ask(server, address=server.address.replace("/?", "/../../etc?"))[0]
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "X"):
        assert 501 == ask(server, method)[0]
    with socket.create_connection(("127.0.0.1", host.port)) as raw:
        raw.sendall(b"\x00\xff nonsense HTTP/1.1\r\n\r\n")
        assert b"501" in raw.recv(100)


@pytest.mark.parametrize("word", [True, False, "slower \u202e ü", "\ud800 lone"])
def test_an_answer_reaches_the_question(server, folder, word):
    with asked(folder, 1, PROPOSAL, here=True) as question:
        said = {"action": "answer", "key": question.key, "answer": word}

        assert (200, "") == post(server, json.dumps(said).encode())[::2]
        assert 409 == post(server, json.dumps(said).encode())[0]

        wanted = "? lone" if word == "\ud800 lone" else word
        assert wanted == question.answer()


def test_a_question_that_is_asked_elsewhere_is_not_answered_here(server, folder):
    with asked(folder, 1, PROPOSAL, here=False) as question:
        said = {"action": "answer", "key": question.key, "answer": True}

        assert 409 == post(server, json.dumps(said).encode())[0]
        assert not question.answered


def test_a_run_folder_that_cannot_be_written_is_told(server, folder):
    (folder / "control").write_text("a file in its place")

    status, _, text = post(server)

    assert 409 == status
    assert "cannot be written" in text


def test_whoever_asks_slowly_keeps_nobody_waiting(server):
    host = urlsplit(server.address)
    with socket.create_connection(("127.0.0.1", host.port)) as raw:
        raw.sendall(b"GET / HT")

        assert 200 == ask(server)[0]


# --- the command


def dux(*arguments):
    return CliRunner().invoke(app, ["watch", *map(str, arguments)])


@pytest.fixture
def started(tmp_path):
    """A process that watches; its address, once it is printed."""
    processes = []

    def start(*arguments):
        # A shell starts what runs behind it with SIGINT ignored; children inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "dux_agent", "watch", *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        processes.append(process)
        lines = [process.stdout.readline(), process.stdout.readline()]
        return process, lines

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_command_tells_its_address_and_ends_with_words_at_ctrl_c(started, folder):
    process, [first, second] = started(folder)
    port = urlsplit(second.strip()).port

    page = _fetched(second)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert f"watching {folder}" in first
    assert port
    assert b"digits" in page
    assert 130 == process.returncode
    assert "has ended" in said
    assert "Traceback" not in said


def test_two_may_watch_one_run_and_one_that_is_killed_is_not_missed(started, folder):
    one, [_, first] = started(folder)
    other, [_, second] = started(folder)
    with asked(folder, 1, PROPOSAL, here=True) as question:
        for address in (first, second):
            assert b"digits" in _fetched(address)
        assert question.watched
        one.kill()
        one.wait()

        def taken_over():
            assert b"digits" in _fetched(second)
            return question.watched

        wait_until(taken_over)
        other.kill()
        other.wait()
        wait_until(lambda: not question.watched)


def _fetched(address):
    from urllib.request import urlopen

    with urlopen(address.strip(), timeout=60) as answer:
        return answer.read()


def test_a_port_in_use_ends_in_one_line(server):
    result = dux(server.watched.path, "--port", server.server_port)

    assert 2 == result.exit_code
    assert f"port {server.server_port}" in result.stderr
    assert "--port" in result.stderr
    assert 1 == result.stderr.count("\n")


def test_a_file_is_no_folder(folder):
    result = dux(folder / "run.json")

    assert 2 == result.exit_code
    assert "is no folder" in result.stderr
    assert 1 == result.stderr.count("\n")


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_is_none_is_refused(folder, port):
    assert 2 == dux(folder, "--port", port).exit_code


def test_prices_come_in_pairs(folder):
    result = dux(folder, "--price-in", "1")

    assert 2 == result.exit_code
    assert "--price-out" in result.stderr


def test_nothing_but_the_folder_of_words_is_written(tmp_path):
    folder = usual(tmp_path / "run")
    before = {each: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    with watching(folder) as server:
        ask(server)

    after = {each: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    assert before == after
    assert not (folder / "control").exists()


def test_a_folder_in_which_nothing_can_be_said_is_shown_all_the_same(server, folder):
    (folder / "control").write_text("a file in its place")

    assert 200 == ask(server)[0]
