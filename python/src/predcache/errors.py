"""What can go wrong, as exceptions.

::

    PredcacheError
    ├── ConfigurationError        no region, no credentials, a table that is not predcache's
    ├── InvalidPredictionError    what the worker would reject: raised before anything is sent
    ├── ItemError                 one item of the table that cannot be read
    ├── CallError                 the table or the queue could not be asked
    │   ├── ServiceError          AWS answered with an error
    │   └── NetworkError          no answer: connection, TLS or timeout
    ├── PartialError              some ids of a get_many() could not be read
    ├── PublishError              predictions that could not be sent
    ├── BufferFullError           as much waits to be sent as may wait
    └── ClosedError               the Publisher or the Cache is closed

Each message says what was being done, and where there is a remedy, the remedy. None holds a payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predcache.prediction import Prediction
    from predcache.publisher import Failure

__all__ = [
    "BufferFullError",
    "CallError",
    "ClosedError",
    "ConfigurationError",
    "InvalidPredictionError",
    "ItemError",
    "NetworkError",
    "PartialError",
    "PredcacheError",
    "PublishError",
    "ServiceError",
]


def counted(n: int, noun: str) -> str:
    """Return a number of things: 1 prediction, 2 predictions."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


class PredcacheError(Exception):
    """The base of every exception that this package raises by itself."""


class ConfigurationError(PredcacheError, ValueError):
    """Settings that cannot work: no region, no credentials, a table without a layout of predcache."""


class InvalidPredictionError(PredcacheError, ValueError):
    """A prediction, or an id, that the worker would reject. Nothing of it was sent.

    Attributes:
        reason: The worker's name for it, as in ``docs/data-model.md``: ``key``, ``number``, ``future``, …
        field: The field, as a path: ``prediction.scores[3]``. Empty where it is the whole.
        id: The prediction's id, where it has one.
        row: Its place in what was given to ``publish_many`` or ``publish_frame``, from 0; else None.
    """

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(reason, field, detail)
        self.reason = reason
        self.field = field
        self.detail = detail
        self.id: object = None
        self.row: int | None = None

    def __str__(self) -> str:
        where = [] if self.row is None else [f"row {self.row}"]
        if self.id is not None:
            text = f"{self.id!r}"
            where.append("id " + (text if len(text) <= 80 else text[:77] + "…'"))
        subject = f"{self.field} {self.detail}" if self.field else self.detail
        return f"{', '.join(where)}: {subject}" if where else subject


class ItemError(PredcacheError):
    """One item that cannot be read: it is corrupt, or a newer version of the worker wrote it.

    Attributes:
        table: The table's name.
        id: The item's id, as text.
        sort_key: The item's sort key, as text; None in the latest-only layout.
    """

    def __init__(self, table: str, id: str, sort_key: str | None, detail: str) -> None:  # noqa: A002
        super().__init__(table, id, sort_key, detail)
        self.table = table
        self.id = id
        self.sort_key = sort_key
        self.detail = detail

    def __str__(self) -> str:
        key = repr(self.id) if self.sort_key is None else f"{self.id!r}, {self.sort_key}"
        return f"the item {key} of the table {self.table!r} can't be read: {self.detail}"


class CallError(PredcacheError):
    """The table or the queue could not be asked. Nothing is known about what it holds.

    Attributes:
        operation: The name of the call, such as ``Query``.
    """

    def __init__(self, operation: str, detail: str) -> None:
        super().__init__(operation, detail)
        self.operation = operation
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.operation}: {self.detail}"


class ServiceError(CallError):
    """AWS answered with an error, after botocore's number of attempts where it could be tried again.

    Attributes:
        code: The service's error code, such as ``ThrottlingException``.
        status: The HTTP status.
        request_id: What AWS support asks for; empty where the answer had none.
    """

    def __init__(self, operation: str, code: str, message: str, status: int, request_id: str = "") -> None:
        remedy = remedy_for(code)
        super().__init__(operation, f"{code}: {message}" + (f" ({remedy})" if remedy else ""))
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        args = (self.operation, self.code, self.message, self.status, self.request_id)
        return type(self), args


class NetworkError(CallError):
    """No answer: the connection failed, or no byte came within the timeout."""


class PartialError(PredcacheError):
    """Some ids of a ``get_many`` could not be read.

    Attributes:
        found: What was read, as ``get_many`` returns it; an id that is missing here was not read.
        errors: The errors by id.
    """

    def __init__(
        self, found: Mapping[Any, Prediction | None], errors: Mapping[Any, PredcacheError]
    ) -> None:
        super().__init__(found, errors)
        self.found = found
        self.errors = errors

    def __str__(self) -> str:
        first = next(iter(self.errors.values()))
        ids = counted(len(self.errors) + len(self.found), "id")
        return f"{len(self.errors)} of {ids} not read: {first}"


class PublishError(PredcacheError):
    """Predictions that could not be sent; they are in the failures.

    Attributes:
        failures: One for each message that was given up, with its body and why.
    """

    def __init__(self, failures: list[Failure]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        what = counted(sum(f.predictions for f in self.failures), "prediction")
        return f"{what} not sent: {self.failures[0].error}"


class BufferFullError(PredcacheError):
    """As much waits to be sent as may wait: the queue takes less than is published."""

    def __str__(self) -> str:
        return "the publisher's buffer is full"


class ClosedError(PredcacheError):
    """The Publisher or the Cache was closed before."""


_REMEDIES = {
    "ResourceNotFoundException": "create the table in this account and region, or correct its name",
    "QueueDoesNotExist": "create the queue in this account and region, or correct its URL",
    "AWS.SimpleQueueService.NonExistentQueue": (
        "create the queue in this account and region, or correct its URL"
    ),
    "AccessDeniedException": "allow it in the policy of the role that calls",
    "AccessDenied": "allow it in the policy of the role that calls",
    "ExpiredTokenException": "the credentials have expired: renew them",
    "ExpiredToken": "the credentials have expired: renew them",
    "UnrecognizedClientException": "the credentials are not valid for this account",
    "InvalidClientTokenId": "the credentials are not valid for this account",
    "InvalidSignatureException": "the credentials, or this host's clock, are wrong",
    "SignatureDoesNotMatch": "the credentials, or this host's clock, are wrong",
    "RequestTimeTooSkewed": "this host's clock is wrong",
    "RequestExpired": "this host's clock is wrong",
}


def remedy_for(code: str) -> str:
    """Return what to change for an error code of AWS, or nothing."""
    return _REMEDIES.get(code, "")
