"""A server on the loopback that speaks as OpenAI does, and fails as servers fail."""

import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ID = {"id": "1", "created": 1, "model": "tiny-1"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def completion(text, finish="stop"):
    """A chat completion in one piece."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return ID | {"object": "chat.completion", "choices": [choice], "usage": USAGE}


def chunk(delta, finish=None):
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return ID | {"object": "chat.completion.chunk", "choices": [choice]}


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the next behaviour, the last one again and again."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.turn:
            server.asked.append(request)
            number = min(len(server.asked), len(server.behaviours)) - 1
        try:
            server.behaviours[number](self, request)
        except ConnectionError:
            pass  # who asked has hung up

    def whole(self, status, body, kind="application/json", **headers):
        """An answer in one piece."""
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def event(self, data):
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *args):
        """Nothing on the terminal."""


def says(text, finish="stop", pause=0.0, pieces=7):
    """Answers with a text, as a stream where one is asked for and can be had."""

    def behave(handler, request):
        if not (request.get("stream") and handler.server.streams):
            handler.whole(200, json.dumps(completion(text, finish)))
            return
        handler.begin_stream()
        handler.event(chunk({"role": "assistant", "content": ""}))
        size = len(text) // pieces + 1
        for start in range(0, len(text), size):
            time.sleep(pause)
            handler.event(chunk({"content": text[start : start + size]}))
        handler.event(chunk({}, finish))
        if request.get("stream_options", {}).get("include_usage"):
            handler.event(ID | {"object": "x", "choices": [], "usage": USAGE})
        handler.wfile.write(b"data: [DONE]\n\n")

    return behave


def refuses(status, message="no", code=None, param=None, **headers):
    """Answers with an error, in which everything that was sent comes back."""

    def behave(handler, request):
        said = f"{message}; you sent {dict(handler.headers)}"
        error = {"message": said, "type": "t", "code": code, "param": param}
        handler.whole(status, json.dumps({"error": error}), **headers)

    return behave


def refuses_option(name, status=400):
    """Answers with an error as long as the option is sent, else with `good`."""

    def behave(handler, request):
        if name in request:
            said = f"Unsupported parameter: '{name}' is not supported with this model."
            body = {"error": {"message": said, "type": "invalid_request_error"}}
            handler.whole(status, json.dumps(body))
        else:
            handler.server.good(handler, request)

    return behave


def body(data, kind="application/json", status=200):
    """Answers with these bytes, whatever was asked for."""
    return lambda handler, request: handler.whole(status, data, kind)


def resets(handler, request):
    """The connection is reset before anything was said."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    raise ConnectionResetError


def breaks_off(handler, request):
    """A stream ends in the middle, without a word."""
    handler.begin_stream()
    handler.event(chunk({"content": "```python\nimport torch\n"}))


def stands_still(handler, request):
    """A stream says something, and then nothing more."""
    handler.begin_stream()
    handler.event(chunk({"content": "```python\n"}))
    handler.event(chunk({"content": "import torch\n"}))
    handler.server.over.wait()


def hangs(handler, request):
    """Nothing is ever said."""
    handler.server.over.wait()


def fails_in_a_stream(handler, request):
    """An error stands in the stream."""
    handler.begin_stream()
    handler.event({"error": {"message": "overloaded", "type": "t", "code": "x"}})


@contextmanager
def serving(*behaviours, good=None, streams=True):
    """The server; `asked` holds every request, `streams`: it can stream."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.behaviours = list(behaviours)
    server.good, server.streams = good, streams
    server.asked, server.turn = [], threading.Lock()
    server.over = threading.Event()
    server.address_v1 = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
