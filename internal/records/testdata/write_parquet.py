"""Write the Parquet files of TestParquet: `python write_parquet.py` in an environment with pandas, pyarrow and polars."""

import datetime as dt
import decimal
import pathlib

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent / "parquet"
UTC = dt.timezone.utc
AT = dt.datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)

ids = ["a", "b", "c", "d"]
scores = [0.1, 1e-9, None, 12345678.5]


def types() -> pa.Table:
    """Every type, null in the second row."""
    columns = {
        "predictionId": pa.array(ids),
        "timestamp": pa.array([AT, None, AT, AT], pa.timestamp("us", tz="UTC")),
        "expiresAt": pa.array([1800000000, None, 1800000000, 1800000000], pa.int64()),
        "prediction": pa.array(['{"score": 0.10}', "no JSON", "[1, 2]", "0.5"]),
        "ok": pa.array([True, None, False, True]),
        "i8": pa.array([-8, None, 8, 8], pa.int8()),
        "u32": pa.array([2**32 - 1, None, 8, 8], pa.uint32()),
        "u64": pa.array([2**64 - 1, None, 8, 8], pa.uint64()),
        "f16": pa.array([0.5, None, -2, 0], pa.float16()),
        "f32": pa.array([0.1, None, -2, 0], pa.float32()),
        "f64": pa.array(scores),
        "dec": pa.array([decimal.Decimal("-1.50"), None, decimal.Decimal("0.05"), decimal.Decimal("100.00")], pa.decimal128(10, 2)),
        "wide": pa.array([decimal.Decimal("12345678901234567890123456789.012345678"), None, decimal.Decimal(-1), decimal.Decimal(0)], pa.decimal128(38, 9)),
        "day": pa.array([dt.date(2026, 1, 31), None, dt.date(1969, 12, 31), dt.date(1970, 1, 1)]),
        "time": pa.array([dt.time(12, 30, 0, 5), None, dt.time(0), dt.time(1)], pa.time64("us")),
        "naive": pa.array([AT.replace(tzinfo=None), None, dt.datetime(1969, 12, 31, 23, 59, 59, 500000), AT.replace(tzinfo=None)], pa.timestamp("ns")),
        "bytes": pa.array([b"\x00\xff", None, b"", b"abc"], pa.binary()),
        "kind": pa.array(["x", None, "y", "x"]).dictionary_encode(),
        "list": pa.array([[1, 2], None, [], [None, 3]], pa.list_(pa.int32())),
        "lists": pa.array([[["a"], []], None, [], [None, ["b", "c"]]], pa.list_(pa.list_(pa.string()))),
        "struct": pa.array([{"x": 1, "y": ["p"]}, None, {"x": None, "y": None}, {"x": 2, "y": []}], pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))])),
        "structs": pa.array([[{"x": 1}, {"x": None}], None, [], [None]], pa.list_(pa.struct([("x", pa.int64())]))),
        "map": pa.array([[("k", 1), ("l", None)], None, [], [("m", 2)]], pa.map_(pa.string(), pa.int64())),
    }
    return pa.table(columns)


def features() -> dict:
    """Columns that become the payload."""
    return {"predictionId": ids, "timestamp": [1769860800, 1769860801, 1769860802, 1769860803], "score": scores, "label": ["x", None, "", "é"], "n": [1, 2, 3, 4]}


pq.write_table(types(), HERE / "pyarrow.parquet", row_group_size=3)
pq.write_table(types(), HERE / "pyarrow-v1-gzip-int96.parquet", version="1.0", data_page_version="1.0", compression="gzip", use_deprecated_int96_timestamps=True, use_dictionary=False)
pq.write_table(types(), HERE / "pyarrow-v2-brotli.parquet", data_page_version="2.0", compression="brotli", use_byte_stream_split=["f64"], use_dictionary=["kind"])
frame = pd.DataFrame(features())
frame.to_parquet(HERE / "pandas.parquet", compression="zstd")
pl.DataFrame(features()).write_parquet(HERE / "polars.parquet")
for name in ("pandas", "polars"):
    print(name, {"pandas": pd, "polars": pl}[name].__version__)
print("pyarrow", pa.__version__)
