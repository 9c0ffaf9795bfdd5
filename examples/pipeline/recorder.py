"""Stands in for SQS and writes the messages to a file, one a line, as `{"sentAt": seconds, "body": text}`.

The body is a JSON string of exactly what SQS would get, so that broken ones survive too.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Recorder:
    """Use it as a context manager; `url` is the endpoint to publish to."""

    def __init__(self, file):
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802 # SendMessageBatch
                entries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Entries"]
                with lock:
                    for entry in entries:
                        message = {"sentAt": round(time.time(), 3), "body": entry["MessageBody"]}
                        file.write(json.dumps(message, separators=(",", ":"), ensure_ascii=False) + "\n")
                answer = json.dumps({"Successful": [{"Id": entry["Id"]} for entry in entries]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
