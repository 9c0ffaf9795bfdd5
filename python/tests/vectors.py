"""The contract's vectors: contract/README.md has the meaning of each member."""

from __future__ import annotations

import base64
import gzip
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

from predcache import Layout, Rules

DEFAULT_NOW = "2026-01-31T12:00:00Z"
READS_NOW = 2208988800  # 2040-01-01T00:00:00Z


def folder() -> Path:
    """The contract's folder: in the repository, unless the environment says otherwise."""
    default = Path(__file__).resolve().parents[2] / "contract"
    return Path(os.environ.get("PREDCACHE_CONTRACT", default))


def load() -> list[Any]:
    """Return the vectors, each with its name, its text's numbers as Decimal."""
    found = []
    for path in sorted((folder() / "vectors").glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal):
            vector["name"] = f"{path.stem}: {vector['name']}"
            found.append(vector)
    assert len(found) > 100, f"no vectors in {folder()}"
    return found


def load_reads() -> list[Any]:
    """Return the read vectors, each with its name."""
    found = []
    for path in sorted((folder() / "reads").glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8")):
            vector["name"] = f"{path.stem}: {vector['name']}"
            found.append(vector)
    assert len(found) > 50, f"no read vectors in {folder()}"
    return found


def body_of(vector: dict[str, Any]) -> str:
    message = vector["message"]
    text = message.get("body", "")
    for part in message.get("parts", ()):
        text += part["text"] * max(part.get("times", 1), 1)
    return text


def rules_of(vector: dict[str, Any]) -> Rules:
    s = vector.get("settings", {})
    layout = Layout.of(s.get("layout", "versioned"), numeric=s.get("hashKeyType") == "N")
    return Rules(
        layout=layout,
        payload_encoding=s.get("payloadEncoding", "json"),
        indexes={i["attribute"]: i["type"] for i in s.get("indexes", ())},
    )


def unwrap(text: str, encoding: str = "") -> list[str]:
    """Return the texts of the predictions in a body, as a publisher would have them one by one.

    Raises:
        ValueError: The body can't be read as a whole.
    """
    if encoding:
        raw = base64.b64decode(text, validate=True)
        if encoding == "gzip":
            text = gzip.decompress(raw).decode()
        elif encoding == "zstd":
            import zstandard

            text = zstandard.ZstdDecompressor().decompressobj().decompress(raw).decode()
        else:
            raise ValueError(encoding)
    text = text.removeprefix("\ufeff").strip(" \t\r\n")
    if text.startswith("[") and "S3Pointer" in text:
        raise ValueError("a pointer of the Extended Client Library")
    if text.startswith("["):
        spans, decoder, at = [], json.JSONDecoder(), 1
        while text[at] != "]":
            _, end = decoder.raw_decode(text, at)
            spans.append(text[at:end])
            at = end + (text[end] == ",")
        return spans
    if "\n" in text and all(line.strip().startswith("{") or not line.strip() for line in text.split("\n")):
        return [line.strip() for line in text.split("\n") if line.strip()]
    try:
        members = json.loads(text)
    except ValueError:
        return [text]
    is_prediction = "predictionId" in members and ("prediction" in members or "deleted" in members)
    if isinstance(members, dict) and not is_prediction:
        if members.get("Type", "").endswith("Confirmation"):
            raise ValueError("no notification of SNS")
        if members.get("Type") == "Notification":
            attribute = members.get("MessageAttributes", {}).get("Content-Encoding", {})
            return unwrap(members["Message"], attribute.get("Value", ""))
        if "detail" in members:
            return unwrap(json.dumps(members["detail"], separators=(",", ":")))
    return [text]
