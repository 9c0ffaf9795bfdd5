"""Rows of DataFrames, without importing what isn't in use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from predcache import _json

_CHUNK = 10_000  # rows that are turned into Python's values at a time


def rows_of(
    frame: Any,
    id_: str,
    payload: str | list[str],
    timestamp: str | None,
    ttl: str | None,
    attributes: list[str],
    constants: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """Yield each row as the arguments of ``publish``.

    Raises:
        TypeError: It is no DataFrame of pandas or polars.
        KeyError: It has no such column.
    """
    columns = _columns_of(frame)
    results = [payload] if isinstance(payload, str) else list(payload)
    times = {"timestamp": timestamp, "ttl": ttl}
    names = [name for name in times.values() if name is not None]
    for name in (id_, *results, *names, *attributes):
        if name not in frame.columns:
            raise KeyError(name)
    return _rows(len(frame), columns, id_, payload, results, times, attributes, constants)


def _rows(
    length: int,
    columns: Callable[[str, int, int], list[Any]],
    id_: str,
    payload: str | list[str],
    results: list[str],
    times: dict[str, str | None],
    attributes: list[str],
    constants: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    for start in range(0, length, _CHUNK):

        def column(name: str, start: int = start) -> list[Any]:
            return columns(name, start, start + _CHUNK)

        ids = column(id_)
        values = [column(name) for name in results]
        optional = [(key, column(name)) for key, name in times.items() if name is not None]
        others = [(name, column(name)) for name in attributes]
        for i, id_value in enumerate(ids):
            row = dict(constants)
            row["id"] = None if id_value != id_value else id_value  # NaN, NaT: no id
            if isinstance(payload, str):
                row["payload"] = values[0][i]
            else:
                row["payload"] = {name: v[i] for name, v in zip(results, values, strict=True)}
            for key, cells in optional:
                row[key] = cells[i]
            for name, cells in others:
                row[name] = cells[i]
            yield row


def _columns_of(frame: Any) -> Callable[[str, int, int], list[Any]]:
    kind = type(frame)
    library = kind.__module__.partition(".")[0]
    if kind.__name__ == "DataFrame" and library == "pandas":
        return lambda name, start, end: _pandas(frame[name].iloc[start:end])
    if kind.__name__ == "DataFrame" and library == "polars":
        return lambda name, start, end: _polars(frame[name].slice(start, end - start))
    raise TypeError(f"publish_frame takes a DataFrame of pandas or polars, not {kind.__name__}")


def _pandas(series: Any) -> list[Any]:
    if str(series.dtype) in ("float32", "float16"):
        return list(_json.simplify(series.to_numpy(), series.name))
    return list(series.tolist())


def _polars(series: Any) -> list[Any]:
    if str(series.dtype) == "Float32":  # the shortest decimals, as for numpy
        text = series.cast(sys.modules["polars"].String).to_list()
        return [None if t is None else float(t) for t in text]
    return list(series.to_list())
