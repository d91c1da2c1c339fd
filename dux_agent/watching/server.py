"""Serves the pages of a folder on the loopback."""

import os
import socketserver
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from dux_agent.errors import BadArgument, DuxError
from dux_agent.report.money import Prices
from dux_agent.report.page import policy
from dux_agent.watching.access import new_token, refusal, same_origin
from dux_agent.watching.watched_folder import WatchedFolder
from dux_graphs.plain_json import NoPlainJson, read_json

_ADDRESS = "127.0.0.1"
_MOST_OF_A_BODY = 2**16
_SECONDS_OF_A_REQUEST = 10.0
_HTML, _TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"


class Watch(socketserver.ThreadingMixIn, HTTPServer):
    """A server on the loopback, not yet at work."""

    daemon_threads = True
    # On Windows it would let another process listen in.
    allow_reuse_address = os.name != "nt"

    def __init__(self, path: Path, *, port: int, prices: Prices) -> None:
        """Take the port.

        Args:
            path: a run folder, a folder of such, or one that is to come.
            port: 0 for one that is free.
            prices: of language models.

        Raises:
            BadArgument: `path` is no folder.
            DuxError: the port is taken.
        """
        if path.exists() and not path.is_dir():
            raise BadArgument(
                f"{path} is no folder; a run folder, or one that holds several, was "
                f"wanted; name one that dux run printed."
            )
        self.token = new_token()
        self.watched = WatchedFolder(path, prices, self.token)
        try:
            super().__init__((_ADDRESS, port), _Handler)
        except OSError as error:
            raise DuxError(
                f"port {port} of the loopback cannot be served: "
                f"{error.strerror or error}; a free port was wanted; name another "
                f"with --port, or leave it out."
            ) from None

    def server_bind(self) -> None:
        """Bind it; the name that the library would look up may ask a name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = _ADDRESS, self.server_address[1]

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{_ADDRESS}:{self.server_port}/?token={self.token}"

    def server_close(self) -> None:
        """Let go of the port and of the runs."""
        super().server_close()
        self.watched.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: whoever asked is gone."""


class _Handler(BaseHTTPRequestHandler):
    server: Watch
    timeout = _SECONDS_OF_A_REQUEST
    server_version, sys_version = "dux", ""

    def do_GET(self) -> None:
        """The page."""
        if not self._let_in():
            return
        page = self.server.watched.page(self._run())
        headers = {"ETag": page.tag, "X-Dux-Behind": "1" if page.behind else "0"}
        if self.headers.get("If-None-Match") == page.tag:
            self._send(HTTPStatus.NOT_MODIFIED, "", **headers)
        else:
            self._send(HTTPStatus.OK, page.text, kind=_HTML, **headers)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """What a button says."""
        if not self._let_in():
            return
        origins, hosts = (self.headers.get_all(n, []) for n in ("Origin", "Host"))
        if not same_origin(origins, hosts):
            told = "it comes from another page; use the one that dux watch serves."
            self._send(HTTPStatus.FORBIDDEN, told)
            return
        said = self._body()
        if said is None:
            return
        run = self.server.watched.run_named(self._run())
        wrong = "there is no run yet." if run is None else run.say(said)
        self._send(HTTPStatus.CONFLICT if wrong else HTTPStatus.OK, wrong)

    def _let_in(self) -> bool:
        """Whether it comes from whoever has the address; else it is answered."""
        path, _, query = self.path.partition("?")
        hosts = self.headers.get_all("Host", [])
        wrong = refusal(hosts, query, self.server.token)
        if wrong:
            self._send(HTTPStatus.FORBIDDEN, wrong)
        elif path != "/":
            wrong = "there is one page alone; open the address that dux watch printed."
            self._send(HTTPStatus.NOT_FOUND, wrong)
        return not wrong

    def _run(self) -> str | None:
        query = parse_qs(self.path.partition("?")[2], errors="surrogateescape")
        return next(iter(query.get("run", [])), None)

    def _body(self) -> dict[str, object] | None:
        """The JSON object that was sent; None where it was none, and was answered."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json":
            self._send(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON was wanted.")
        elif not (length.isascii() and length.isdigit()):
            self._send(HTTPStatus.LENGTH_REQUIRED, "its length was wanted.")
        elif len(length) > 6 or int(length) > _MOST_OF_A_BODY:
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "it is too long.")
        else:
            with suppress(NoPlainJson):
                said = read_json(self.rfile.read(int(length)))
                if isinstance(said, dict):
                    return said
            self._send(HTTPStatus.BAD_REQUEST, "a JSON object was wanted.")
        return None

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """What the library refuses, in the same few words as all else."""
        self._send(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _send(
        self, status: HTTPStatus, text: str, kind: str = _TEXT, **headers: str
    ) -> None:
        content = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", f"{policy(live=True)}; {_FRAMES}")
        for name, value in {**_CAREFUL, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: a line would hold the token."""


_FRAMES = "frame-ancestors 'none'"
_CAREFUL = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Connection": "close",
}


def serve(
    path: Path, *, port: int, prices: Prices, tell: Callable[[str], object]
) -> None:
    """Show a folder until Ctrl-C; the training does not notice.

    Args:
        path: a run folder, a folder of such, or one that is to come.
        port: 0 for one that is free.
        prices: of language models.
        tell: called with each line for the user.

    Raises:
        DuxError: `path` is no folder, or the port is taken.
        KeyboardInterrupt: Ctrl-C.
    """
    server = Watch(path, port=port, prices=prices)
    try:
        where = "" if path.exists() else ", which is not there yet"
        tell(f"watching {path}{where}; Ctrl-C ends the page, not the training")
        tell(server.address)
        server.serve_forever()
    finally:
        server.server_close()
