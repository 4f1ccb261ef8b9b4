"""A zip with `labels.csv` beside its images, read and written."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lure_core import archive
from lure_core.archive import Item, Limits, writing
from lure_core.archive.listing import class_name
from lure_core.errors import BadArchive
from tests.lure_core.test_archive import PROPERTY, check, packed, read, refused, upload

__all__ = ["upload"]

LABELS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@settings(PROPERTY)
@given(st.lists(st.tuples(LABELS, st.binary(min_size=1, max_size=20)), min_size=1, max_size=6))
def test_whatever_a_class_may_be_called_comes_back(
    upload: Path, images: list[tuple[str, bytes]]
) -> None:
    sent = [
        (f"prd_{at}", label, data)
        for at, (label, data) in enumerate(images)
        if class_name(label)[1] is None
    ]
    if not sent:
        return
    upload.unlink(missing_ok=True)
    assert writing.write(upload, sent) == len(sent)
    first = upload.read_bytes()
    listing = archive.check(upload, archive.ZIP)
    assert listing.items == len(sent)
    assert list(archive.items(upload, listing)) == [
        Item(name, unicodedata.normalize("NFC", label), data) for name, label, data in sent
    ]
    upload.unlink()
    writing.write(upload, iter(sent))
    assert upload.read_bytes() == first


@pytest.mark.parametrize("label", ["a/b", "..", ".", "../../etc", "C:", "a\\b", '"', "a,b", " x "])
def test_labels_that_no_folder_may_have_come_back(tmp_path: Path, label: str) -> None:
    path = tmp_path / "chunk.zip"
    writing.write(path, [("one", label, b"data")])
    listing = archive.check(path, archive.ZIP)
    assert listing.classes == (label,)
    assert [item.label for item in archive.items(path, listing)] == [label]


def test_a_wrapping_folder_other_columns_and_folders_are_taken(upload: Path) -> None:
    table = "\ufefflabel,seen,file\r\ncat,noon,a.png\r\ndog,,./deep/b.png\r\n".encode()
    members = {"all/labels.csv": table, "all/a.png": b"A", "all/deep/b.png": b"B"}
    members |= {"__MACOSX/all/._a.png": b"rubbish", "all/.DS_Store": b"rubbish"}
    assert read(upload, packed(members)) == [
        Item("a.png", "cat", b"A"),
        Item("deep/b.png", "dog", b"B"),
    ]


def test_what_the_table_and_the_archive_do_not_agree_on_is_refused_by_itself(
    upload: Path,
) -> None:
    members = {"labels.csv": b"file,label\na,cat\nb,cat\nc,\n", "a": b"A", "c": b"C", "d": b"D"}
    found = {item.name: (item.label, item.error) for item in read(upload, packed(members))}
    assert found == {
        "a": ("cat", None),
        "b": ("", "labels.csv names it, and the archive does not hold it"),
        "c": ("", "the class name is empty"),
        "d": ("", "labels.csv has no line for it"),
    }


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"", "no columns file and label"),
        (b"a.png,cat\n", "no columns file and label"),
        (b"file,label\na\n", "line 2: it is not of as many columns"),
        (b"file,label\na,b,c\n", "line 2: it is not of as many columns"),
        (b"file,label\na,cat\na,dog\n", "line 3: it names a file for the second time"),
        (b"file,label\na,cat\n./a,dog\n", "line 3: it names a file for the second time"),
        (b'file,label\na,"cat\n', "unexpected end of data"),
        (b"file,label\na,\xff\n", "no UTF-8"),
    ],
)
def test_a_broken_table_is_refused_with_the_line(upload: Path, table: bytes, words: str) -> None:
    fault = refused(upload, packed({"labels.csv": table, "a": b"A"}))
    assert words in fault.what
    assert fault.where == "labels.csv"


def test_a_table_alone_holds_no_image(upload: Path) -> None:
    assert "no image" in refused(upload, packed({"labels.csv": b"file,label\n"})).what


@pytest.mark.parametrize(
    "limits",
    [Limits(max_members=3), Limits(max_directory_bytes=200)],
)
def test_a_table_is_bounded(upload: Path, limits: Limits) -> None:
    lines = "".join(f"{at:030},cat\n" for at in range(9))
    members = {"labels.csv": b"file,label\n" + lines.encode(), "a": b"A"}
    refused(upload, packed(members), limits)
    assert check(upload, packed(members)).items == 10


def test_an_unsafe_member_beside_a_table_is_refused(upload: Path) -> None:
    members = {"labels.csv": b"file,label\n../a,cat\n", "../a": b"A"}
    assert "climbs out" in refused(upload, packed(members)).what


def test_a_table_deeper_in_an_archive_is_none(upload: Path) -> None:
    members = {"cat/labels.csv": b"file,label\n", "cat/a.png": b"A", "dog/b.png": b"B"}
    assert check(upload, packed(members)).kind == "zip"


@settings(PROPERTY)
@given(st.binary(max_size=60))
def test_any_table_gives_items_or_a_refusal(upload: Path, table: bytes) -> None:
    upload.write_bytes(packed({"labels.csv": b"file,label\n" + table, "a": b"A"}))
    try:
        listing = archive.check(upload, archive.ZIP)
    except BadArchive:
        return
    assert len(list(archive.items(upload, listing))) == listing.items


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "chunk.zip"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        writing.write(path, [])
