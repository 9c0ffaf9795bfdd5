"""What this process has computed and published, and the table may not have yet."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cachetools import LRUCache

from predcache import _contract as contract
from predcache import _fork, _json, _times
from predcache._message import Encoder
from predcache._reads import Reads
from predcache.front import COMPUTED_AGE, Front
from predcache.prediction import Found, Prediction, Tombstone
from predcache.rules import Rules

_MAX_BYTES = 16 << 20


class Computed:
    """Remembers results for 30 seconds, in 16 MiB: computed once, published once."""

    def __init__(self, front: Front | None) -> None:
        self._front = front
        self._begin()
        _fork.watch(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._known: LRUCache[str, tuple[Prediction | Tombstone, float]] = LRUCache(
            _MAX_BYTES, lambda known: min(known[0].cost, _MAX_BYTES)
        )

    def after_fork(self) -> None:
        """Begin anew: a thread of the parent may have been changing it."""
        self._begin()

    def get(self, key: str) -> Prediction | None:
        """Return what was computed of an id, while it is fresh and its life is not over."""
        with self._lock:
            known = self._known.get(key)
        if known is None or known[1] <= time.monotonic() or known[0].expires <= time.time():
            return None
        return None if isinstance(known[0], Tombstone) else known[0]

    def known(self, key: str) -> Prediction | None:
        """Return what the front has of an id, or else what was computed of it."""
        if self._front is not None:
            prediction = self._front.lookup(key)[1]
            if prediction is not None:
                return prediction
        return self.get(key)

    def read(self, key: str, found: Found, sent: float) -> Prediction | None:
        """Take what a read found, and return what callers get of it.

        A tombstone drops what was computed of an event time that it hides.

        Args:
            key: The id as its items have it.
            found: What was read.
            sent: ``time.monotonic()`` of when the read was sent.
        """
        if isinstance(found, Tombstone):
            with self._lock:
                known = self._known.get(key)
                if known is None or known[0].created <= found.created:
                    self._known[key] = found, time.monotonic() + COMPUTED_AGE
        if self._front is not None:
            return self._front.remember(key, found, sent)
        return None if isinstance(found, Tombstone) else found

    def put(self, key: str, prediction: Prediction) -> None:
        """Remember what was computed, in the front too, unless a tombstone that was read hides it."""
        if self._front is not None:
            self._front.computed(key, prediction)
        with self._lock:
            known = self._known.get(key)
            hidden = known is not None and isinstance(known[0], Tombstone) and known[0].hides(prediction)
            if not hidden:
                self._known[key] = prediction, time.monotonic() + COMPUTED_AGE


@dataclass
class Made:
    """What was computed, as its callers get it and as it is published."""

    prediction: Prediction
    line: bytes


def prediction_of(
    reads: Reads,
    rules: Rules,
    key: str,
    id_: Any,
    payload: Any,
    options: dict[str, Any],
    nan: _json.NaN,
) -> Made:
    """Make a prediction of what was computed.

    Raises:
        InvalidPredictionError: The worker would reject it.
    """
    options = dict(options)
    timestamp = options.pop("timestamp", None)
    if timestamp is None:
        timestamp = time.time_ns() // 1000
    ttl, end = options.pop("ttl", None), options.pop("expires_at", None)
    if rules.layout.numeric and isinstance(id_, str):
        id_ = Decimal(key)
    line = Encoder(rules, nan).line(id_, payload, timestamp, ttl, end, options)
    created = _times.parse(timestamp, contract.TIMESTAMP)
    if end is not None:
        expires = _times.parse(end, contract.EXPIRES_AT) // _times.ATTO
    elif ttl is not None:
        life = _times.exact(_times.finite_seconds(ttl, contract.TTL_SECONDS), 18, "")
        expires = (created + life) // _times.ATTO
    else:
        expires = _times.LATEST  # the worker's WORKER_TTL decides; what is remembered ends before
    text = _json.encode(payload, contract.PAYLOAD, nan).decode()
    item: dict[str, Any] = {
        rules.layout.hash_key: {"N" if rules.layout.numeric else "S": key},
        contract.CREATED_AT: {"N": _times.seconds_text(created)},
        contract.PAYLOAD: {"S": text},
    }
    for name, value in options.items():
        item[name] = typed(_json.decode(_json.encode(value, name, nan).decode(), True))
    return Made(Prediction(reads.table, rules.layout, item, reads.decimals, key, expires), line)


def typed(value: Any) -> dict[str, Any]:
    """Return a plain value as DynamoDB's JSON, as the worker would store it."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, dict):
        return {"M": {name: typed(member) for name, member in value.items()}}
    if isinstance(value, list):
        return {"L": [typed(element) for element in value]}
    return {"N": str(value)}
