"""The Cache and the Publisher for asyncio, on aiohttp.

::

    async with Publisher(queue_url) as publisher, Cache("predictions") as cache:
        await publisher.publish("user-42", {"score": 0.93})
        prediction = await cache.get("user-42")

Use each in one event loop: the one in which it is first awaited. ``async with`` loads botocore, which takes
about a quarter of a second, in a thread; without it the first call does.
"""

try:
    import aiohttp as _aiohttp  # noqa: F401
except ImportError as err:
    raise ImportError("predcache.aio needs aiohttp: install predcache[aio]") from err

from predcache.aio.cache import Cache
from predcache.aio.publisher import Publisher

__all__ = ["Cache", "Publisher"]
