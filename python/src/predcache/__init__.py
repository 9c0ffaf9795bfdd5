"""Reads predictions that predcache keeps in DynamoDB, and publishes new ones to its queue.

::

    from predcache import Cache, Publisher

    with Publisher(queue_url) as publisher:
        publisher.publish("user-42", {"score": 0.93}, model="churn", modelVersion=3)

    prediction = Cache("predictions").get("user-42")
    if prediction is not None:
        print(prediction.payload["score"], prediction.event_time)

``predcache.aio`` has the same for asyncio. ``docs/python.md`` in the repository is the guide.
"""

from predcache._version import __version__
from predcache.cache import Cache
from predcache.errors import (
    BufferFullError,
    CallError,
    ClosedError,
    ConfigurationError,
    InvalidPredictionError,
    ItemError,
    NetworkError,
    PartialError,
    PredcacheError,
    PublishError,
    ServiceError,
)
from predcache.front import Front, FrontStats
from predcache.layout import Layout
from predcache.prediction import Prediction
from predcache.publisher import Failure, Publisher, PublisherStats
from predcache.rules import Rules

__all__ = [
    "BufferFullError",
    "Cache",
    "CallError",
    "ClosedError",
    "ConfigurationError",
    "Failure",
    "Front",
    "FrontStats",
    "InvalidPredictionError",
    "ItemError",
    "Layout",
    "NetworkError",
    "PartialError",
    "PredcacheError",
    "Prediction",
    "PublishError",
    "Publisher",
    "PublisherStats",
    "Rules",
    "ServiceError",
    "__version__",
]
