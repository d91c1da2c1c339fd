"""A server on the loopback that speaks as OpenAI does and answers by written rules."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dux_graphs.offline.model import OfflineRules
from dux_graphs.prompt_digest import digest_of_chat


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        messages = json.loads(self.rfile.read(length))["messages"]
        server = self.server
        server.asked.append(
            digest_of_chat([(each["role"], each["content"]) for each in messages])
        )
        if server.fault is None:
            status, body = 200, _completion(str(OfflineRules().invoke(messages).text))
        else:
            # As careless servers do: everything that was sent comes back.
            sent = f"{dict(self.headers)} {self.path}"
            status = server.fault
            body = {"error": {"message": f"refused: {sent}", "type": "t", "code": "c"}}
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            pass  # who asked was killed

    def log_message(self, *args):
        """Nothing on the terminal."""


def _completion(content):
    message = {"role": "assistant", "content": content}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
    }


@contextmanager
def serving(fault=None):
    """The server; `asked` holds the digest of every prompt it got."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked, server.fault = [], fault
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
