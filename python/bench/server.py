"""The endpoint that is measured against: answers of 1 KB items, made before they are asked for.

It runs in a process of its own, so that its CPU isn't counted. Every message is accepted.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import zlib

PAYLOAD = {"scores": [(i + 1) / 49 for i in range(48)]}  # with what is around it, 1 KB


def item(id_: str) -> dict[str, object]:
    return {
        "predictionId": {"S": id_},
        "timestamp": {"N": "1795550700"},
        "expiresAt": {"N": "4000000000"},
        "createdAt": {"N": "1795550700.25"},
        "prediction": {"S": json.dumps(PAYLOAD)},
        "model": {"S": "digits"},
    }


def answer(operation: bytes, body: bytes) -> bytes:
    if operation == b"GetItem":
        made = {"Item": item("user-1")}
    elif operation == b"Query":
        made = {"Items": [item("user-1")], "Count": 1, "ScannedCount": 1}
    elif operation == b"BatchGetItem":
        ids = re.findall(rb'"predictionId": ?\{"S": ?"([^"]+)"', body)
        made = {"Responses": {"predictions": [item(i.decode()) for i in ids]}, "UnprocessedKeys": {}}
    else:
        entries = json.loads(body)["Entries"]
        import hashlib

        made = {
            "Successful": [
                {
                    "Id": e["Id"],
                    "MessageId": "m",
                    "MD5OfMessageBody": hashlib.md5(e["MessageBody"].encode()).hexdigest(),
                }
                for e in entries
            ]
        }
    content = json.dumps(made).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: r\r\nx-amz-crc32: {zlib.crc32(content)}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    known: dict[bytes, bytes] = {}
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])  # type: ignore[index]
            operation = re.search(rb"(?i)x-amz-target: *[^.]+\.(\w+)", head)[1]  # type: ignore[index]
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(length)
            if operation == b"SendMessageBatch":
                writer.write(answer(operation, body))
                continue
            if operation not in known:
                known[operation] = answer(operation, body)
            writer.write(known[operation])
    except asyncio.IncompleteReadError:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=4 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
