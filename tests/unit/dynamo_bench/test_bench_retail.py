"""Reading the invoice lines, and turning the published spreadsheet into them."""

import gzip
import hashlib
import zipfile
from pathlib import Path

import pytest

from dynamo_bench import retail_source
from dynamo_bench.retail import (
    HEADER,
    SAMPLE,
    BadRetailFile,
    invoices,
    read_rows,
    rows_digest,
    write_rows,
)

ROW_A = ("1", "85123A", 'A "HEART", WHITE', "6", "2010-12-01 08:26:00", "2.55", "17850.0", "France")
ROW_B = ("2", "71053", "", "-1", "2010-12-01 08:28:00", "0.0", "", "EIRE")


def test_the_sample_is_the_first_20_000_lines() -> None:
    rows = list(read_rows(SAMPLE))
    assert len(rows) == 20_000
    assert rows[0][:3] == ("536365", "85123A", "WHITE HANGING HEART T-LIGHT HOLDER")
    assert len(list(read_rows(SAMPLE, 7))) == 7


def test_lines_of_an_invoice_are_gathered_in_order() -> None:
    later = (ROW_A[0], *ROW_B[1:])
    grouped = invoices([ROW_A, ROW_B, later])
    assert [(invoice.number, invoice.rows) for invoice in grouped] == [
        ("1", [ROW_A, later]),
        ("2", [ROW_B]),
    ]


def test_what_is_written_is_read_and_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        write_rows(tmp_path / name, [ROW_A, ROW_B])
    assert list(read_rows(tmp_path / "a.csv.gz")) == [ROW_A, ROW_B]
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_the_digest_tells_rows_and_fields_apart() -> None:
    assert rows_digest([ROW_A, ROW_B])[0] == 2
    assert rows_digest([ROW_A, ROW_B]) != rows_digest([ROW_B, ROW_A])
    assert rows_digest([("a", "b")]) != rows_digest([("ab", "")])
    assert rows_digest([]) == (0, hashlib.sha256().hexdigest())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the first line must be InvoiceNo"),
        ("a,b\r\n", "the first line must be InvoiceNo"),
        (",".join(HEADER) + "\r\n1,2\r\n", r":2: 2 fields, not 8"),
    ],
)
def test_a_wrong_file_is_refused_with_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "x.csv.gz"
    file.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(BadRetailFile, match=sentence):
        list(read_rows(file))


def test_what_is_not_gzip_or_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.csv.gz"
    file.write_bytes(b"InvoiceNo")
    with pytest.raises(BadRetailFile, match="csv"):
        list(read_rows(file))
    file.write_bytes(SAMPLE.read_bytes()[:1000])
    with pytest.raises(BadRetailFile, match="csv"):
        list(read_rows(file))


def spreadsheet(path: Path) -> Path:
    """The two rows as the published file has them: shared texts, and numbers without a form."""
    texts = [*HEADER, ROW_A[1], ROW_A[2], ROW_A[7], ROW_B[7]]
    shared = "".join(f"<si><t>{text.replace(chr(34), '&quot;')}</t></si>" for text in texts)
    named = "".join(f'<c r="{"ABCDEFGH"[i]}1" t="s"><v>{i}</v></c>' for i in range(8))
    first = (
        '<c r="A2"><v>1</v></c><c r="B2" t="s"><v>8</v></c><c r="C2" t="s"><v>9</v></c>'
        '<c r="D2"><v>6</v></c><c r="E2"><v>40513.351388888892</v></c>'
        '<c r="F2"><v>2.5499999999999998</v></c><c r="G2"><v>17850</v></c>'
        '<c r="H2" t="s"><v>10</v></c>'
    )
    second = (
        '<c r="A3"><v>2</v></c><c r="B3"><v>71053</v></c><c r="D3"><v>-1</v></c>'
        '<c r="E3"><v>40513.352777777778</v></c><c r="F3"><v>0</v></c>'
        '<c r="H3" t="s"><v>11</v></c>'
    )
    namespace = retail_source.NAMESPACE.strip("{}")
    rows = "".join(f"<row>{cells}</row>" for cells in (named, first, second))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{namespace}">{shared}</sst>')
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>',
        )
    return path


def test_the_spreadsheet_becomes_the_same_rows(tmp_path: Path) -> None:
    with spreadsheet(tmp_path / "x.xlsx").open("rb") as file:
        assert list(retail_source.spreadsheet_rows(file)) == [ROW_A, ROW_B]


def test_fetching_accepts_only_the_rows_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = spreadsheet(tmp_path / "Online Retail.xlsx")
    published, target = tmp_path / "online+retail.zip", tmp_path / "made" / "x.csv.gz"
    with zipfile.ZipFile(published, "w") as archive:
        archive.write(sheet, sheet.name)
    with pytest.raises(BadRetailFile, match=r"expected 541909 rows with SHA-256 .* got 2 rows"):
        retail_source.fetch(target, str(published))
    assert not target.exists()

    count, digest = rows_digest([ROW_A, ROW_B])
    monkeypatch.setattr(retail_source, "ROWS", count)
    monkeypatch.setattr(retail_source, "ROWS_SHA256", digest)
    assert retail_source.fetch(target, str(published))
    assert not retail_source.fetch(target, "nowhere")
    assert list(read_rows(target)) == [ROW_A, ROW_B]
    assert [file.name for file in target.parent.iterdir()] == ["x.csv.gz"]
