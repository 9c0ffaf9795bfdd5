"""An endpoint of AWS that answers as a test says, for faults that no stand-in makes.

Where a test says nothing, it takes messages by SQS's rules, and has a latest-only table.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What is answered: None for ``body`` closes the connection without an answer."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def error(code: str, status: int = 400, message: str = "as the test says") -> Answer:
    return Answer({"__type": f"com.amazon.coral#{code}", "message": message}, status)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        answer = self.server.fake.answer(operation, body, dict(self.headers.items()))
        if answer.body is None:
            self.close_connection = True
            return
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response_only(answer.status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    fake: FakeAWS


class FakeAWS:
    """Use it as a context manager. ``script`` decides on a call; None leaves it to the defaults."""

    def __init__(self) -> None:
        self.script: Callable[[str, dict[str, Any]], Answer | None] = lambda operation, body: None
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.queue: list[str] = []  # bodies of messages
        self.items: dict[str, dict[str, Any]] = {}  # of the table, by id
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> FakeAWS:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, operation: str) -> int:
        with self._lock:
            return sum(name == operation for name, _ in self.calls)

    def predictions(self) -> list[dict[str, Any]]:
        """What was published, in order."""
        with self._lock:
            return [json.loads(line) for body in self.queue for line in body.split("\n")]

    def answer(self, operation: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        with self._lock:
            self.calls.append((operation, body))
            self.headers.append(headers)
        answer = self.script(operation, body)
        if answer is not None:
            return answer
        with self._lock:
            return Answer(getattr(self, f"_{operation}")(body))

    def _SendMessageBatch(self, body: dict[str, Any]) -> dict[str, Any]:
        entries = body["Entries"]
        assert 1 <= len(entries) <= 10
        assert len({e["Id"] for e in entries}) == len(entries)
        sizes = [len(e["MessageBody"].encode()) for e in entries]
        assert sum(sizes) <= 1 << 20
        assert min(sizes) >= 1
        assert not any(c in e["MessageBody"] for e in entries for c in "\ufffe\uffff\x00\x0b")
        self.queue += [e["MessageBody"] for e in entries]
        return {"Successful": [{"Id": e["Id"], "MessageId": "m"} for e in entries]}

    def _DescribeTable(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "Table": {
                "AttributeDefinitions": [{"AttributeName": "predictionId", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "predictionId", "KeyType": "HASH"}],
            }
        }

    def _DescribeTimeToLive(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt"}}

    def _GetItem(self, body: dict[str, Any]) -> dict[str, Any]:
        item = self.items.get(body["Key"]["predictionId"]["S"])
        return {"Item": item} if item else {}

    def _BatchGetItem(self, body: dict[str, Any]) -> dict[str, Any]:
        ((table, asked),) = body["RequestItems"].items()
        ids = [key["predictionId"]["S"] for key in asked["Keys"]]
        assert 1 <= len(ids) <= 100
        assert len(set(ids)) == len(ids)
        return {"Responses": {table: [self.items[i] for i in ids if i in self.items]}}

    def put(self, id_: str, payload: Any, *, created: float = 1e9, expires: int = 4_000_000_000) -> None:
        """Put an item, as the worker writes it."""
        self.items[id_] = {
            "predictionId": {"S": id_},
            "timestamp": {"N": str(int(created))},
            "expiresAt": {"N": str(expires)},
            "createdAt": {"N": str(created)},
            "prediction": {"S": json.dumps(payload)},
        }
