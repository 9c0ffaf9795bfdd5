"""The front: a bounded memory of what was read, in the service's own process."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from cachetools import LRUCache

from predcache import _fork
from predcache._arguments import Arguments
from predcache.prediction import Found, Prediction, Tombstone

__all__ = ["Front", "FrontStats"]

_MISS_COST = 300  # about what Python needs for an id that was not found
COMPUTED_AGE = 30.0  # seconds that a result of this process is known before the table has it


@dataclass(frozen=True)
class FrontStats:
    """Counts since the start.

    Attributes:
        hits: Predictions returned from memory.
        negative_hits: Misses returned from memory.
        misses: Ids that had to be asked for.
        entries: Ids that are remembered now.
        bytes: About what they take now.
    """

    hits: int
    negative_hits: int
    misses: int
    entries: int
    bytes: int


class _Entry:
    __slots__ = ("cost", "deadline", "prediction", "tombstone")

    def __init__(
        self, key: str, prediction: Prediction | None, tombstone: Tombstone | None, deadline: float
    ) -> None:
        self.prediction = prediction
        self.tombstone = tombstone  # the newest that was read; it outlasts the deadline
        self.deadline = deadline
        self.cost = len(key) + (_MISS_COST if prediction is None else prediction.cost)
        if tombstone is not None:
            self.cost += tombstone.cost


class Front:
    """Remembers predictions, and ids that have none, bounded in bytes and in age.

    Nothing older than ``max_age`` is returned, counted from when the read was sent; nothing past its
    own expiry; and nothing older than what is remembered and still live, be it a prediction or a
    delete. A delete is a miss from when it is read. The least recently used goes first. Errors are not
    remembered. Give each Cache a Front of its own.

    Args:
        max_bytes: About how much memory it may take, undecoded. Payloads that were decoded take more.
        max_age: How many seconds a prediction is returned without asking the table again.
        negative_age: How many seconds an id without a prediction is taken for one. 0 remembers none.

    Raises:
        ConfigurationError: An age or a size is none, or out of range. It is a ValueError.
    """

    def __init__(self, max_bytes: int = 64 << 20, max_age: float = 60.0, negative_age: float = 1.0) -> None:
        arguments = Arguments("Front")
        arguments.above_zero("max_bytes", max_bytes)
        arguments.above_zero("max_age", max_age)
        arguments.at_least("negative_age", negative_age, 0)
        arguments.check()
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.negative_age = negative_age
        self._lock = threading.Lock()  # of everything below
        self._entries: LRUCache[str, _Entry] = LRUCache(max_bytes, lambda entry: entry.cost)
        self._hits = self._negative_hits = self._misses = 0
        _fork.watch(self)

    def after_fork(self) -> None:
        """Begin anew: a thread of the parent may have been changing it."""
        self._lock = threading.Lock()
        self._entries = LRUCache(self.max_bytes, lambda entry: entry.cost)

    def lookup(self, key: str) -> tuple[bool, Prediction | None]:
        """Return whether an id is known, and its prediction or None for a miss."""
        with self._lock:
            try:
                entry = self._entries[key]
            except KeyError:
                self._misses += 1
                return False, None
            if entry.deadline > time.monotonic():
                prediction = entry.prediction
                if prediction is None:
                    self._negative_hits += 1
                    return True, None
                if prediction.expires > time.time():
                    self._hits += 1
                    return True, prediction
            self._misses += 1
            return False, None

    def remember(self, key: str, found: Found, sent: float) -> Prediction | None:
        """Remember what a read returned, and return what callers should get.

        Args:
            key: The id as its items have it.
            found: What was read; None and a tombstone are misses.
            sent: ``time.monotonic()`` of when the read was sent.
        """
        with self._lock:
            known = self._entries.get(key)
            tombstone = self._tombstone(known, found)
            prediction = None if isinstance(found, Tombstone) else found
            if prediction is not None and tombstone is not None and tombstone.hides(prediction):
                prediction = None  # an eventually consistent read has missed the delete
            newer = self._newer(known, prediction, tombstone)
            if newer is not None:
                return newer
            age = self.negative_age if prediction is None else self.max_age
            self._store(key, _Entry(key, prediction, tombstone, sent + age))
        return prediction

    def computed(self, key: str, prediction: Prediction) -> None:
        """Remember what this process has computed and published, until the table has it."""
        with self._lock:
            tombstone = self._tombstone(self._entries.get(key), None)
            if tombstone is not None and tombstone.hides(prediction):
                return
            age = min(COMPUTED_AGE, self.max_age)
            self._store(key, _Entry(key, prediction, tombstone, time.monotonic() + age))

    def _tombstone(self, known: _Entry | None, found: Found) -> Tombstone | None:
        """Return the newest live tombstone of what is remembered and what was read."""
        tombstone = found if isinstance(found, Tombstone) else None
        if known is None or known.tombstone is None or known.tombstone.expires <= time.time():
            return tombstone
        if tombstone is None or tombstone.created < known.tombstone.created:
            return known.tombstone
        return tombstone

    def _newer(
        self, known: _Entry | None, prediction: Prediction | None, tombstone: Tombstone | None
    ) -> Prediction | None:
        """Return what is remembered, where it may be returned and a read found what is older."""
        if known is None or known.prediction is None or known.deadline <= time.monotonic():
            return None
        if known.prediction.expires <= time.time():
            return None
        if tombstone is not None and tombstone.hides(known.prediction):
            return None
        if prediction is None or prediction.created < known.prediction.created:
            known.tombstone = tombstone
            return known.prediction
        return None

    def _store(self, key: str, entry: _Entry) -> None:
        if entry.cost > self.max_bytes:
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry

    def forget(self, key: str) -> None:
        """Forget an id: the next read asks the table."""
        with self._lock:
            self._entries.pop(key, None)

    def stats(self) -> FrontStats:
        """Return the counts since the start."""
        with self._lock:
            return FrontStats(
                self._hits,
                self._negative_hits,
                self._misses,
                len(self._entries),
                int(self._entries.currsize),
            )
