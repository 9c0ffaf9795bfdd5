"""Every vector of the contract, as a reader and as a publisher."""

from __future__ import annotations

import json
import time
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import vectors

from predcache import InvalidPredictionError, Prediction
from predcache import _contract as contract
from predcache._message import Encoder, parse
from predcache._reads import Reads
from predcache.prediction import Found, Tombstone

VECTORS = vectors.load()
each = pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])
DELETE_FIELDS = {*contract.FIELDS} - {contract.PAYLOAD}
NUMBER_ERRORS = (ValueError, ArithmeticError, RecursionError)


def digits(value: Any) -> Any:
    """Make numbers comparable by value with all of their digits: 1, 1.0 and 1E+0 are one number."""
    if isinstance(value, dict):
        return {name: digits(member) for name, member in value.items()}
    if isinstance(value, list):
        return [digits(element) for element in value]
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return Decimal(str(value)).normalize()
    return value


@pytest.fixture
def at(vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> float:
    """Set the clock to the vector's."""
    now = datetime.fromisoformat(vector.get("now", vectors.DEFAULT_NOW).replace("Z", "+00:00")).timestamp()
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "time_ns", lambda: int(now) * 10**9)
    return now


def read(vector: dict[str, Any], item: dict[str, Any], now: int, decimals: bool = True) -> Found:
    reads = Reads("predictions", vectors.rules_of(vector).layout, decimals, False, False)
    return reads.live(item, now)


@each
def test_reads(vector: dict[str, Any], at: float) -> None:
    assert len(vector.get("items", ())) == len(vector.get("reads", ()))
    for item, want in zip(vector.get("items", ()), vector.get("reads", ()), strict=True):
        got = read(vector, item, want["expiresAt"] - 1)
        if want.get("deleted"):
            assert isinstance(got, Tombstone)
            assert (got.id, got.expires) == (want["predictionId"], want["expiresAt"])
            assert got.created == Decimal(want["createdAt"]).scaleb(18)
            assert read(vector, item, want["expiresAt"]) is None, "an expired tombstone was read"
            continue
        assert isinstance(got, Prediction)
        assert got.id == want["predictionId"]
        assert got.event_time_exact == Decimal(want["createdAt"])
        assert got.expires == want["expiresAt"]
        assert digits(got.payload) == digits(want["prediction"])
        assert digits(json.loads(got.text, parse_float=Decimal)) == digits(want["prediction"])
        assert digits(got.attributes) == digits(want.get("attributes", {}))
        assert got.cost > len(got.text) or contract.ENCODING in item
        assert read(vector, item, want["expiresAt"]) is None, "an expired prediction was read"
        as_floats = read(vector, item, 0, decimals=False)
        assert isinstance(as_floats, Prediction)
        assert isinstance(as_floats.payload, type(json.loads(got.text)))


@each
def test_publishes(vector: dict[str, Any], at: float) -> None:
    """What the worker takes is taken, and arrives as it was; what it rejects is an error."""
    rules = vectors.rules_of(vector)
    # A publisher can't know WORKER_DELETES.
    refused = [r for r in vector.get("rejects", ()) if r["reason"] != "deletes_off"]
    expected = [(r["reason"], r.get("field", "")) for r in refused]
    whole = any(r.get("whole") for r in vector.get("rejects", ()))
    try:
        texts = vectors.unwrap(vectors.body_of(vector), vector["message"].get("contentEncoding", ""))
    except (ValueError, OSError, AttributeError, TypeError):
        assert whole, "only a body that is rejected as a whole can't be read"
        return
    rejected = []
    taken = 0
    for text in texts:
        try:
            raw = Encoder(rules, "error").raw_line(text)
        except InvalidPredictionError as err:
            assert str(err)
            rejected.append((err.reason, err.field))
            if err.reason in ("syntax", "duplicate_name") or err.field == "":
                continue  # text only: arguments can't be so
            with pytest.raises(InvalidPredictionError) as again:
                publish(rules, text)
            assert again.value.reason == err.reason
            continue
        taken += 1
        assert b"\n" not in raw
        assert json.loads(raw) == json.loads(text)
        line = publish(rules, text)
        if line is not None:
            assert b"\n" not in line
            sent, want = parse(line.decode()), {k: v for k, v in parse(text).items() if v is not None}
            if contract.TIMESTAMP not in want:
                del sent[contract.TIMESTAMP]
            if want.get(contract.DELETED):
                want = {name: want[name] for name in want if name in DELETE_FIELDS}
            else:
                want.setdefault(contract.PAYLOAD, None)
                want.pop(contract.DELETED, None)
            assert digits(sent) == digits(want)
    assert [r for r, _ in rejected] == [r for r, _ in expected]
    for (_, got), (_, want_field) in zip(rejected, expected, strict=True):
        assert got == want_field or got.startswith((f"{want_field}.", f"{want_field}["))
    assert taken == len(vector.get("sizes", ())) + len(vector.get("rejects", ())) - len(refused)


def publish(rules: Any, text: str) -> bytes | None:
    """Publish a prediction, or a delete, by its members."""
    members = dict(parse(text))
    encoder = Encoder(rules, "error")
    if members.get(contract.DELETED, False) is not False:
        names = (contract.ID, contract.TIMESTAMP, contract.TTL_SECONDS, contract.EXPIRES_AT)
        row = zip(("id", "timestamp", "ttl", "expires_at"), map(members.get, names), strict=True)
        others = {name: value for name, value in members.items() if name not in contract.FIELDS}
        return next(encoder.lines([{**others, **dict(row), "deleted": members[contract.DELETED]}], None))
    members.pop(contract.DELETED, None)
    if contract.PAYLOAD not in members and contract.ID in members:
        raise InvalidPredictionError("missing_field", "", "no payload was given")
    return encoder.line(
        members.pop(contract.ID, None),
        members.pop(contract.PAYLOAD),
        members.pop(contract.TIMESTAMP, None),
        members.pop(contract.TTL_SECONDS, None),
        members.pop(contract.EXPIRES_AT, None),
        members,
    )


def test_names_are_the_schemas() -> None:
    """The constants are those of contract/*.schema.json."""
    folder = vectors.folder()
    message = json.loads((folder / "message.schema.json").read_text(encoding="utf-8"))
    item = json.loads((folder / "item.schema.json").read_text(encoding="utf-8"))
    properties = message["$defs"]["prediction"]["properties"]
    assert set(properties) == set(contract.FIELDS)
    reserved = message["$defs"]["prediction"]["else"]["properties"]
    assert set(reserved) == set(contract.OWN) - set(contract.FIELDS)
    assert set(item["properties"]) == {contract.ID, contract.TIMESTAMP, contract.EXPIRES_AT, *contract.OWN}
    key = properties[contract.ID]["oneOf"][0]
    assert key["maxLength"] == contract.MAX_HASH_BYTES
