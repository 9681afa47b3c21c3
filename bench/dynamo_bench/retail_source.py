"""Fetching the Online Retail data: the public spreadsheet, turned into the CSV that we read.

The repository publishes a ZIP with one XLSX. A cell there is text, or a number whose meaning its
column decides: invoice numbers are whole, dates are days since 1899-12-30, prices are floats. The
result is accepted only if its rows have the digest below, whatever way they came.
"""

import io
import shutil
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from urllib.error import URLError
from xml.etree import ElementTree

from dynamo_bench.retail import HEADER, BadRetailFile, Row, read_rows, rows_digest, write_rows

PUBLIC_URL = "https://archive.ics.uci.edu/static/public/352/online+retail.zip"
ROWS = 541_909
ROWS_SHA256 = "e2a636fd5a0e22cedaee3548e435e665836d90c3b14187f1702b5f3ab778ef78"

FETCH_TIMEOUT_S = 60
EXCEL_EPOCH = datetime(1899, 12, 30)
NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def fetch(target: Path, source: str = PUBLIC_URL) -> bool:
    """Put the whole data set at `target`; False if it was there already.

    `source` is an address or a file: the published ZIP, the XLSX in it, or such a `.csv.gz`.
    Raises BadRetailFile if the rows are not those expected, OSError if it cannot be read.
    """
    if target.exists() and rows_digest(read_rows(target)) == (ROWS, ROWS_SHA256):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as temporary:
        fetched, converted = Path(temporary) / "fetched", Path(temporary) / "converted"
        if "://" in source:
            _download(source, fetched)
        else:
            fetched = Path(source)
        rows = _spreadsheet(fetched) if zipfile.is_zipfile(fetched) else read_rows(fetched)
        write_rows(converted, rows)
        count, digest = rows_digest(read_rows(converted))
        if (count, digest) != (ROWS, ROWS_SHA256):
            raise BadRetailFile(
                f"{source}: expected {ROWS} rows with SHA-256 {ROWS_SHA256}, "
                f"got {count} rows with SHA-256 {digest}"
            )
        converted.replace(target)
    return True


def spreadsheet_rows(file: IO[bytes]) -> Iterator[Row]:
    """The rows of the XLSX's first sheet, as our CSV writes them. Raises BadRetailFile."""
    with zipfile.ZipFile(file) as archive:
        texts = _shared_texts(archive)
        with archive.open("xl/worksheets/sheet1.xml") as sheet:
            rows = _sheet_rows(sheet, texts)
            header = tuple(next(rows, ()))
            if header != HEADER:
                raise BadRetailFile(f"the sheet begins with {header}, not with {HEADER}")
            for number, fields in enumerate(rows, 2):
                try:
                    yield tuple(form(text) for form, text in zip(FORMS, fields, strict=True))
                except ValueError as error:
                    raise BadRetailFile(f"row {number} of the sheet: {error}") from error


def _whole(text: str) -> str:
    return str(int(float(text)))


def _decimal(text: str) -> str:
    return repr(float(text)) if text else ""


def _date(text: str) -> str:
    minutes = round(float(text) * 24 * 60)
    return str(EXCEL_EPOCH + timedelta(minutes=minutes))


FORMS: tuple[Callable[[str], str], ...] = (
    *(str, str, str, _whole),
    *(_date, _decimal, _decimal, str),
)
"""How each column's cells are written."""


def _spreadsheet(path: Path) -> Iterator[Row]:
    """The rows of an XLSX, or of the one XLSX in a ZIP."""
    with zipfile.ZipFile(path) as archive:
        sheets = [name for name in archive.namelist() if name.endswith(".xlsx")]
        if sheets:
            yield from spreadsheet_rows(io.BytesIO(archive.read(sheets[0])))
            return
    with path.open("rb") as file:
        yield from spreadsheet_rows(file)


def _shared_texts(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    with archive.open("xl/sharedStrings.xml") as file:
        return [_text(each) for each in ElementTree.parse(file).iter(f"{NAMESPACE}si")]


def _sheet_rows(sheet: IO[bytes], texts: list[str]) -> Iterator[list[str]]:
    columns = len(HEADER)
    for _, row in ElementTree.iterparse(sheet):
        if row.tag != f"{NAMESPACE}row":
            continue
        fields = [""] * columns
        for cell in row.iter(f"{NAMESPACE}c"):
            column = ord(cell.get("r", "A")[0]) - ord("A")
            if column < columns:
                fields[column] = _cell(cell, texts)
        row.clear()
        yield fields


def _cell(cell: ElementTree.Element, texts: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{NAMESPACE}v", "")
    return texts[int(value)] if cell.get("t") == "s" else value


def _text(element: ElementTree.Element) -> str:
    return "".join(run.text or "" for run in element.iter(f"{NAMESPACE}t"))


def _download(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer, target.open("wb") as f:
            shutil.copyfileobj(answer, f)
    except URLError as error:
        raise OSError(
            f"{url}: {error.reason}; --from also takes a file fetched elsewhere: the ZIP, the XLSX "
            f"in it, or a .csv.gz of its {ROWS} rows"
        ) from error
