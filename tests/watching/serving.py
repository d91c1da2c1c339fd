"""A watch of a folder that is served while a test runs."""

import http.client
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

from dux_agent.report.money import Prices
from dux_agent.watching.server import Watch


@contextmanager
def watching(path, *, port=0):
    """The server over this folder."""
    server = Watch(path, port=port, prices=Prices())
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(server, method="GET", *, address=None, body=None, **headers):
    """One request, with these headers and no others; status, headers and text.

    A header that is None is left out; `_` stands for `-`.
    """
    split = urlsplit(address or server.address)
    given = {"Host": split.netloc, **{k.replace("_", "-"): headers[k] for k in headers}}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    try:
        target = split._replace(scheme="", netloc="").geturl()
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None and "Content-Length" not in given:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()
