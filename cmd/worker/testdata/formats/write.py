"""Write the same predictions by the writers that people use, and a manifest of what must be in the table.

`python write.py DIRECTORY` needs pandas, pyarrow, polars and zstandard. `make test-formats` runs it.
"""

import csv
import decimal
import gzip
import io
import json
import pathlib
import pickle
import sys
from typing import Any, Callable

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import zstandard

OUT = pathlib.Path(sys.argv[1])
AT = 1769860800
IDS = ["user-1", 'quote "x", comma', "line\nbreak", "übër/\U0001f600", "007"]
SCORES = [0.1, 1e-9, None, 12345678.25, -0.5]
LABELS = ["a", 'say "hi"', "x,y;z\tw", None, "é\nü"]
COUNTS = [1, 2, 3, 4, 9007199254740993]

# Rows whose payload is a JSON value, and rows whose columns become the payload.
PAYLOADS = [{"predictionId": i, "timestamp": AT, "expiresAt": 4 * 10**9, "prediction": {"score": s, "labels": [label]}, "model": "m-1"} for i, s, label in zip(IDS, SCORES, LABELS)]
COLUMNS = [{"predictionId": i, "timestamp": AT, "expiresAt": 4 * 10**9, "score": s, "label": label, "n": n} for i, s, label, n in zip(IDS, SCORES, LABELS, COUNTS)]
TEXTS = [row | {"prediction": json.dumps(row["prediction"])} for row in PAYLOADS]

WANT_PAYLOADS = {row["predictionId"]: {"prediction": row["prediction"], "model": "m-1"} for row in PAYLOADS}
WANT_COLUMNS = {row["predictionId"]: {"prediction": {k: row[k] for k in ("score", "label", "n")}} for row in COLUMNS}

manifest: list[dict[str, Any]] = []


def add(name: str, writer: str, write: Callable[[pathlib.Path], Any], want: dict[str, Any] | None) -> None:
    """Write a file. want is None where it must be refused."""
    write(OUT / name)
    manifest.append({"file": name, "writer": writer, "want": want})


def text(value: str) -> Callable[[pathlib.Path], Any]:
    return lambda path: path.write_text(value, encoding="utf-8", newline="")


def csv_text(rows: list[dict[str, Any]], **options: Any) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), **options)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


python = f"Python {sys.version.split()[0]}"
lines = "".join(json.dumps(row) + "\n" for row in PAYLOADS)
add("lines.ndjson", f"{python} json.dumps, a line each", text(lines), WANT_PAYLOADS)
add("lines.crlf.ndjson", f"{python} json.dumps(ensure_ascii=False), CRLF, BOM", text("\ufeff" + "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in PAYLOADS)), WANT_PAYLOADS)
add("array.json", f"{python} json.dump", text(json.dumps(PAYLOADS)), WANT_PAYLOADS)
add("indented.json", f"{python} json.dump(indent=2)", text(json.dumps(PAYLOADS, indent=2)), WANT_PAYLOADS)
add("objects.json", f"{python} json.dump, one after the other", text("".join(json.dumps(row, indent=1) for row in PAYLOADS)), WANT_PAYLOADS)
add("lines.gz", f"{python} gzip", lambda path: path.write_bytes(gzip.compress(lines.encode())), WANT_PAYLOADS)
add("members.gz", f"{python} gzip, a member each", lambda path: path.write_bytes(b"".join(gzip.compress((line + "\n").encode()) for line in lines.splitlines())), WANT_PAYLOADS)
add("lines.zst", f"zstandard {zstandard.__version__}", lambda path: path.write_bytes(zstandard.compress(lines.encode())), WANT_PAYLOADS)
add("excel.csv", f"{python} csv.DictWriter", text(csv_text(TEXTS)), WANT_PAYLOADS)
add("all.csv", f"{python} csv.QUOTE_ALL", text(csv_text(TEXTS, quoting=csv.QUOTE_ALL)), WANT_PAYLOADS)
add("nonnumeric.csv", f"{python} csv.QUOTE_NONNUMERIC", text(csv_text(TEXTS, quoting=csv.QUOTE_NONNUMERIC)), WANT_PAYLOADS)
add("tab.csv", f"{python} csv, excel-tab", text(csv_text(TEXTS, dialect="excel-tab")), WANT_PAYLOADS)
add("unix.csv", f"{python} csv, unix", text(csv_text(TEXTS, dialect="unix")), WANT_PAYLOADS)
add("columns.csv", f"{python} csv.DictWriter, payload in columns", text(csv_text(COLUMNS)), WANT_COLUMNS)

pandas = f"pandas {pd.__version__}"
frame = pd.DataFrame(COLUMNS)
payload_frame = pd.DataFrame(PAYLOADS)
add("pandas.records.json", f"{pandas} to_json(orient='records')", lambda path: payload_frame.to_json(path, orient="records", double_precision=15), WANT_PAYLOADS)
add("pandas.lines.json.gz", f"{pandas} to_json(lines=True), gzip", lambda path: payload_frame.to_json(path, orient="records", lines=True, double_precision=15, compression="gzip"), WANT_PAYLOADS)
add("pandas.csv", f"{pandas} to_csv(index=False)", lambda path: frame.to_csv(path, index=False), WANT_COLUMNS)
add("pandas.index.csv", f"{pandas} to_csv", lambda path: frame.to_csv(path), WANT_COLUMNS)
add("pandas.semicolon.csv.zst", f"{pandas} to_csv(sep=';'), zstd", lambda path: frame.to_csv(path, sep=";", index=False, compression="zstd"), WANT_COLUMNS)
for codec in ("snappy", "gzip", "zstd", "brotli", "lz4", None):
    add(f"pandas.{codec}.parquet", f"{pandas} to_parquet({codec})", lambda path: frame.to_parquet(path, compression=codec), WANT_COLUMNS)
add("pandas.texts.parquet", f"{pandas} to_parquet, payload as JSON text", lambda path: pd.DataFrame(TEXTS).to_parquet(path), WANT_PAYLOADS)

arrow = f"pyarrow {pa.__version__}"
table = pa.Table.from_pylist(COLUMNS)
nested = pa.Table.from_pylist(PAYLOADS)
add("arrow.csv", f"{arrow} csv.write_csv", lambda path: pyarrow.csv.write_csv(table, path), WANT_COLUMNS)
add("arrow.v1.parquet", f"{arrow} parquet.write_table(version='1.0')", lambda path: pq.write_table(table, path, version="1.0"), WANT_COLUMNS)
add("arrow.v2.parquet", f"{arrow} parquet.write_table(data_page_version='2.0')", lambda path: pq.write_table(table, path, data_page_version="2.0", row_group_size=2), WANT_COLUMNS)
add("arrow.nested.parquet", f"{arrow} parquet.write_table, payload as a struct", lambda path: pq.write_table(nested, path), WANT_PAYLOADS)

polars = f"polars {pl.__version__}"
pframe = pl.DataFrame(COLUMNS)
pnested = pl.DataFrame(PAYLOADS)
add("polars.json", f"{polars} write_json", lambda path: pnested.write_json(path), WANT_PAYLOADS)
add("polars.ndjson", f"{polars} write_ndjson", lambda path: pnested.write_ndjson(path), WANT_PAYLOADS)
add("polars.csv", f"{polars} write_csv", lambda path: pframe.write_csv(path), WANT_COLUMNS)
add("polars.parquet", f"{polars} write_parquet", lambda path: pframe.write_parquet(path), WANT_COLUMNS)
add("polars.nested.parquet", f"{polars} write_parquet, payload as a struct", lambda path: pnested.write_parquet(path), WANT_PAYLOADS)

add("refused.pickle", f"{python} pickle", lambda path: path.write_bytes(pickle.dumps(PAYLOADS)), None)
add("refused.npy", f"numpy {np.__version__} save", lambda path: np.save(path, np.array([1.0])), None)
add("refused.feather", f"{arrow} feather", lambda path: pyarrow.feather.write_feather(table, path), None)
add("refused.orc", f"{arrow} orc", lambda path: pyarrow.orc.write_table(table, str(path)), None)
add("refused.utf16.csv", f"{pandas} to_csv(encoding='utf-16')", lambda path: frame.to_csv(path, index=False, encoding="utf-16"), None)
(OUT / "manifest.json").write_text(json.dumps(manifest))
