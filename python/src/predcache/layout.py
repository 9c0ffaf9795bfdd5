"""The three layouts of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from predcache import _contract as contract
from predcache.errors import ConfigurationError

__all__ = ["Kind", "Layout"]

Kind = Literal["versioned", "expiry-sorted", "latest-only"]


@dataclass(frozen=True)
class Layout:
    """Which attributes a table's key and its TTL are.

    ``Layout.of("versioned")``, ``"expiry-sorted"`` and ``"latest-only"`` have the default names.

    Attributes:
        hash_key: The attribute of the id.
        sort_key: The attribute of the sort key; None where there is only the newest prediction of an id.
        ttl_attribute: Where the end of life is; the sort key itself in the expiry-sorted layout.
        numeric: The hash key is a number (N), not a string (S).
    """

    hash_key: str = contract.ID
    sort_key: str | None = contract.TIMESTAMP
    ttl_attribute: str = contract.EXPIRES_AT
    numeric: bool = False

    @classmethod
    def of(cls, kind: Kind, *, numeric: bool = False) -> Layout:
        """Return the layout of a table with the default names.

        Raises:
            ConfigurationError: There is no such layout.
        """
        if kind == "versioned":
            return cls(numeric=numeric)
        if kind == "expiry-sorted":
            return cls(ttl_attribute=contract.TIMESTAMP, numeric=numeric)
        if kind == "latest-only":
            return cls(sort_key=None, numeric=numeric)
        raise ConfigurationError(
            f"there is no layout {kind!r}: use versioned, expiry-sorted or latest-only"
        )

    @property
    def kind(self) -> Kind:
        """The name of the layout."""
        if self.sort_key is None:
            return "latest-only"
        return "expiry-sorted" if self.sort_key == self.ttl_attribute else "versioned"

    @property
    def reserved(self) -> frozenset[str]:
        """The attributes that the worker sets by itself: no prediction may have one of these names."""
        own = {self.hash_key, self.ttl_attribute, contract.TIMESTAMP, *contract.OWN}
        return frozenset(own | {self.sort_key} if self.sort_key else own)


def from_description(
    table: str, description: dict[str, Any], ttl: dict[str, Any]
) -> tuple[Layout, dict[str, str]]:
    """Return the layout that DescribeTable and DescribeTimeToLive tell.

    Raises:
        ConfigurationError: It is none of predcache's.
    """
    types = {a["AttributeName"]: a["AttributeType"] for a in description["AttributeDefinitions"]}
    keys = {k["KeyType"]: k["AttributeName"] for k in description["KeySchema"]}
    hash_key, sort_key = keys["HASH"], keys.get("RANGE")
    on = ttl.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    ttl_attribute = ttl.get("AttributeName") if on else None
    wrong = []
    if types[hash_key] not in ("S", "N"):
        wrong.append(f"the hash key {hash_key!r} is of type {types[hash_key]}, neither S nor N")
    if sort_key is not None and types[sort_key] != "N":
        wrong.append(f"the sort key {sort_key!r} is of type {types[sort_key]}, not N")
    layout = Layout(
        hash_key=hash_key,
        sort_key=sort_key,
        ttl_attribute=ttl_attribute or contract.EXPIRES_AT,
        numeric=types[hash_key] == "N",
    )
    names = [hash_key, layout.ttl_attribute, *contract.OWN]
    if layout.kind == "versioned":
        names.append(sort_key or "")
    wrong += [f"the attribute {n!r} would hold two things" for n in set(names) if names.count(n) > 1]
    if wrong:
        raise ConfigurationError(
            f"the table {table!r} has no layout of predcache: {'; '.join(sorted(wrong))}"
        )
    return layout, types
