"""The Online Retail data: every line of a British shop's invoices from one year.

Source: Daqing Chen, "Online Retail", UCI Machine Learning Repository, 2015, data set 352
(CC BY 4.0). A file of it is CSV, gzipped, with the header below; the repository holds its first
20,000 lines, `retail_source` fetches all 541,909.
"""

import csv
import gzip
import hashlib
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

Row = tuple[str, ...]
"""The fields of one invoice line as the file writes them, in the header's order."""

HEADER: Row = (
    *("InvoiceNo", "StockCode", "Description", "Quantity"),
    *("InvoiceDate", "UnitPrice", "CustomerID", "Country"),
)
SAMPLE = Path(__file__).parent / "data" / "online_retail_20000.csv.gz"


class BadRetailFile(Exception):
    """The file is not what this module reads; the message says what is wrong."""


class Invoice(NamedTuple):
    """One cart: its key, and its rows in the file's order."""

    number: str
    rows: list[Row]


def read_rows(path: Path, lines: int | None = None) -> Iterator[Row]:
    """The rows after the header, at most `lines`. Raises BadRetailFile."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != HEADER:
                raise BadRetailFile(f"{path}: the first line must be {','.join(HEADER)}")
            for fields in itertools.islice(reader, lines):
                if len(fields) != len(HEADER):
                    raise BadRetailFile(
                        f"{path}:{reader.line_num}: {len(fields)} fields, not {len(HEADER)}"
                    )
                yield tuple(map(sys.intern, fields))
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadRetailFile(f"{path}: {error}") from error


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """A file of the same form; equal rows make equal bytes."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped,
    ):
        lines = csv.writer(_Encoder(zipped))
        lines.writerow(HEADER)
        lines.writerows(rows)


def invoices(rows: Iterable[Row]) -> list[Invoice]:
    """Rows grouped by invoice, both in the order of the file.

    Lines of one invoice need not lie together.
    """
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return [Invoice(number, lines) for number, lines in grouped.items()]


def rows_digest(rows: Iterable[Row]) -> tuple[int, str]:
    """(how many, SHA-256 of all fields in order): the same however a file quotes or compresses."""
    count, digest = 0, hashlib.sha256()
    for row in rows:
        count += 1
        digest.update("\x1f".join(row).encode() + b"\x1e")
    return count, digest.hexdigest()


class _Encoder:
    """What `csv.writer` needs of a text file, over a binary one."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())
