"""A zip's envelope is judged before a byte is unpacked; its items come one at a time."""

from __future__ import annotations

import io
import stat
import struct
import subprocess
import sys
import unicodedata
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lure_core import archive
from lure_core.archive import Item, Limits, Listing
from lure_core.errors import BadArchive

PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)
UTF8 = 0x800


def packed(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as zipped:
        for name, data in members.items():
            zipped.writestr(name, data)
    return buffer.getvalue()


def packed_info(info: zipfile.ZipInfo, data: bytes = b"data") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("cat/sound.png", b"data")
        zipped.writestr(info, data)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads") / "upload"


def check(upload: Path, data: bytes, limits: Limits = archive.DEFAULT_LIMITS) -> Listing:
    upload.write_bytes(data)
    return archive.check(upload, archive.ZIP, limits)


def read(upload: Path, data: bytes) -> list[Item]:
    return list(archive.items(upload, check(upload, data)))


def refused(upload: Path, data: bytes, limits: Limits = archive.DEFAULT_LIMITS) -> BadArchive:
    with pytest.raises(BadArchive) as refusal:
        check(upload, data, limits)
    assert refusal.value.remedy
    assert str(refusal.value).isprintable()
    return refusal.value


def test_folders_are_classes_and_files_their_images(upload: Path) -> None:
    data = packed({"dog/b.png": b"1", "cat/a.png": b"22", "dog/a.png": b"3"})
    assert check(upload, data) == Listing("zip", 3, 4, ("cat", "dog"))
    assert read(upload, data) == [
        Item("dog/b.png", "dog", b"1"),
        Item("cat/a.png", "cat", b"22"),
        Item("dog/a.png", "dog", b"3"),
    ]


def test_deflated_members_are_read(upload: Path) -> None:
    data = packed({"cat/a.bmp": b"abc" * 1000}, zipfile.ZIP_DEFLATED)
    assert read(upload, data) == [Item("cat/a.bmp", "cat", b"abc" * 1000)]


def test_one_wrapping_folder_is_taken_off(upload: Path) -> None:
    data = packed({"set/README.txt": b"r", "set/cat/a.png": b"1", "set/dog/b.png": b"2"})
    listing = check(upload, data)
    assert (listing.classes, listing.top, listing.items) == (("cat", "dog"), "set", 3)
    readme, cat, dog = archive.items(upload, listing)
    assert "not in a class folder" in (readme.error or "")
    assert (cat.label, dog.label) == ("cat", "dog")


def test_a_single_class_is_not_mistaken_for_a_wrapping_folder(upload: Path) -> None:
    good, deep = read(upload, packed({"cat/a.png": b"1", "cat/small/b.png": b"2"}))
    assert good.label == "cat"
    assert "not in a class folder" in (deep.error or "")


def test_hidden_files_folders_and_a_macs_additions_are_left_out(upload: Path) -> None:
    names = ("cat/", "cat/.DS_Store", "__MACOSX/cat/._a.png", ".git/cat/x.png", "./cat//a.png")
    data = packed(dict.fromkeys(names, b""))
    assert [item.name for item in read(upload, data)] == ["cat/a.png"]


def test_class_names_are_normalised(upload: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "caf\xe9") for form in ("NFC", "NFD"))
    data = packed({f"{composed}/a.png": b"1", f"{decomposed}/b.png": b"2"})
    assert check(upload, data).classes == (composed,)
    assert {item.label for item in read(upload, data)} == {composed}


def test_utf8_names_that_do_not_say_so_are_understood(upload: Path) -> None:
    data = packed({"caf\xe9/a.png": b"1"})
    flagged = struct.pack("<H", UTF8)
    assert data.count(flagged) == 2
    assert check(upload, data.replace(flagged, b"\0\0")).classes == ("caf\xe9",)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x" * 256 + "/a.png", "longer than 255"),
        (" /a.png", "is empty"),
        ("\u202e/a.png", "printed"),
    ],
)
def test_a_bad_class_name_refuses_its_item_alone(upload: Path, name: str, reason: str) -> None:
    bad, good = read(upload, packed({name: b"1", "cat/a.png": b"2"}))
    assert reason in (bad.error or "")
    assert bad.image is None
    assert good.error is None


def test_an_empty_file_refuses_its_item_alone(upload: Path) -> None:
    bad, good = read(upload, packed({"cat/a.png": b"", "cat/b.png": b"1"}))
    assert (bad.error, good.error) == ("the file is empty", None)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_refuses_its_item_alone(upload: Path, method: int) -> None:
    content = bytes(range(200))
    data = bytearray(packed({"cat/a.png": content, "cat/b.png": content}, method))
    for at in range(60, 80):
        data[at] ^= 0x5A
    bad, good = read(upload, bytes(data))
    assert "damaged" in (bad.error or "")
    assert good.image == content


def test_a_member_that_unpacks_to_less_than_it_says_is_refused(upload: Path) -> None:
    data = packed({"cat/a.png": b"abc" * 100}, zipfile.ZIP_DEFLATED)
    told, lied = struct.pack("<L", 300), struct.pack("<L", 301)
    (item,) = read(upload, data.replace(told, lied))
    assert "damaged" in (item.error or "")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not a zip"),
        (b"this is a text", "not a zip"),
        (packed({"a/b": b"1"})[:-1], "cut off"),
        (packed({"a/b": b"1" * 500})[:300], "cut off"),
        (packed({}), "empty"),
        (packed({"cat/": b""}), "holds no image"),
        (packed({"a.png": b"1"}), "no file lies in a class folder"),
        (packed({"a/b": b"1"}) + b"more", "does not end"),
        (b"before" + packed({"a/b": b"1"}), "not where its end record says"),
    ],
)
def test_what_is_no_whole_zip_of_images_is_refused(upload: Path, data: bytes, what: str) -> None:
    assert what in refused(upload, data).what


def test_arrays_sent_as_a_zip_are_told_their_media_type(upload: Path) -> None:
    fault = refused(upload, packed({"images.npy": b"", "labels.npy": b""}))
    assert fault.remedy == "send it as application/x-npz"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../a.png", "climbs"),
        ("cat/../../a.png", "climbs"),
        ("cat/..", "climbs"),
        ("/etc/a.png", "absolute"),
        ("C:/a.png", "absolute"),
        ("c:cat/a.png", "absolute"),
        ("cat\\a.png", "backslash"),
        ("..\\a.png", "backslash"),
        ("cat/a\n.png", "control"),
        ("cat/a\x9b.png", "control"),
        (".", "no name"),
    ],
)
def test_unsafe_names_are_refused(upload: Path, name: str, what: str) -> None:
    assert what in refused(upload, packed({"cat/a.png": b"1", name: b"2"})).what


def test_a_name_cut_by_nul_is_refused(upload: Path) -> None:
    data = packed({"cat/a.png": b"1", "cat/bXpng": b"2"}).replace(b"bXpng", b"b\0png")
    assert "control" in refused(upload, data).what


@PROPERTY
@given(
    st.lists(st.text("ab.", min_size=1, max_size=3), max_size=3),
    st.sampled_from(["..", "../..", "..\\", "/..", "\\\\host", "C:", "\x00x\x01"]),
    st.booleans(),
)
def test_no_name_that_leaves_the_archive_passes(
    upload: Path, steps: list[str], evil: str, first: bool
) -> None:
    parts = [evil, *steps] if first or evil == "C:" else [*steps, evil]
    info = zipfile.ZipInfo()
    info.filename = "/".join([*parts, "a.png"]).replace("\0", "")
    refused(upload, packed_info(info))


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        (stat.S_IFLNK | 0o777, "symbolic link"),
        (stat.S_IFIFO | 0o644, "special file"),
        (stat.S_IFCHR | 0o644, "special file"),
        (stat.S_IFDIR | 0o755, "a folder"),
    ],
)
def test_what_is_no_plain_file_is_refused(upload: Path, mode: int, what: str) -> None:
    info = zipfile.ZipInfo("cat/link.png")
    info.external_attr = mode << 16
    fault = refused(upload, packed_info(info))
    assert what in fault.what
    assert fault.where == "cat/link.png"


def test_an_encrypted_member_is_refused(upload: Path) -> None:
    data = bytearray(packed({"cat/a.png": b"1"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refused(upload, bytes(data)).what


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(upload: Path, method: int) -> None:
    assert "compression" in refused(upload, packed({"cat/a.png": b"1"}, method)).what


def test_duplicates_are_refused(upload: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zipped.writestr("cat/a.png", b"1")
        zipped.writestr("cat/./a.png", b"2")
    assert "twice" in refused(upload, buffer.getvalue()).what


def test_a_ratio_bomb_is_refused(upload: Path) -> None:
    bomb = packed({"cat/a.bmp": bytes(2 << 20)}, zipfile.ZIP_DEFLATED)
    fault = refused(upload, bomb)
    assert "200 times" in fault.what
    assert fault.where == "cat/a.bmp"


def test_many_small_bombs_are_refused_in_sum(upload: Path) -> None:
    members = {f"cat/{number}.bmp": bytes(1 << 20) for number in range(4)}
    assert "the archive unpacks to more" in refused(upload, packed(members, 8)).what


def test_a_small_plain_image_is_no_bomb(upload: Path) -> None:
    assert check(upload, packed({"cat/a.bmp": bytes(150_000)}, zipfile.ZIP_DEFLATED)).items == 1


def test_the_limits_hold(upload: Path) -> None:
    data = packed({f"cat/{number}.png": b"12345" for number in range(4)})
    assert check(upload, data, Limits(4, 5, 20)).uncompressed_bytes == 20
    assert "4 members are too many" in refused(upload, data, Limits(max_members=3)).what
    assert "5 bytes are too many" in refused(upload, data, Limits(max_member_bytes=4)).what
    assert "20 bytes unpacked" in refused(upload, data, Limits(max_total_bytes=19)).what
    assert "list of names" in refused(upload, data, Limits(max_directory_bytes=100)).what


def raw_zip(count: int, *, stated: int | None = None, overlap: bool = False) -> bytes:
    """Write a zip of empty members by hand; `stated` is its lie about their number."""
    local, directory = bytearray(), bytearray()
    for number in range(count):
        name = b"c/%07d" % number
        at = 0 if overlap else len(local)
        if number == 0 or not overlap:
            local += struct.pack("<4s5H3L2H", b"PK\3\4", 20, *[0] * 7, len(name), 0) + name
        entry = (b"PK\1\2", 20, 20, *[0] * 7, len(name), *[0] * 5, at)
        directory += struct.pack("<4s6H3L5H2L", *entry) + name
    stated = count if stated is None else stated
    end_64 = (b"PK\6\6", 44, 45, 45, 0, 0, stated, stated, len(directory), len(local))
    locator = (b"PK\6\7", 0, len(local) + len(directory), 1)
    end = (b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    closing = struct.pack("<4sQ2H2L4Q", *end_64) + struct.pack("<4sLQL", *locator)
    return bytes(local + directory + closing + struct.pack("<4s4H2LH", *end))


def test_a_zip64_archive_is_read(upload: Path) -> None:
    assert check(upload, raw_zip(3)).items == 3


@pytest.mark.parametrize("stated", [1, 4, 2**40])
def test_a_false_count_of_members_is_refused(upload: Path, stated: int) -> None:
    fault = refused(upload, raw_zip(3, stated=stated))
    assert "members" in fault.what or "directory is damaged" in fault.what


def test_members_that_share_bytes_are_refused(upload: Path) -> None:
    assert "shares bytes" in refused(upload, raw_zip(3, overlap=True)).what


def test_a_million_members_are_refused_at_once_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "million.zip"
    path.write_bytes(raw_zip(1_000_000))
    code = """
import pathlib, resource, sys
from lure_core import archive, errors
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
try:
    archive.check(pathlib.Path(sys.argv[1]), archive.ZIP)
except errors.BadArchive as fault:
    print(peak() - before, fault)
"""
    command = [sys.executable, "-c", code, str(path)]
    grown, _, what = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.partition(" ")
    assert what == "1000000 members are too many; at most 200000 are taken\n"
    assert int(grown) < 10_000  # KiB


def test_a_million_members_that_say_they_are_few_are_not_parsed_either(tmp_path: Path) -> None:
    path = tmp_path / "liar.zip"
    path.write_bytes(raw_zip(300_000, stated=3))
    with pytest.raises(BadArchive, match="another number of members"):
        archive.check(path, archive.ZIP, Limits(max_directory_bytes=1 << 30))


SOUND = packed({"cat/a.png": b"1" * 40, "dog/b.png": b"2" * 40}, zipfile.ZIP_DEFLATED)


@PROPERTY
@given(st.binary(max_size=300), st.sampled_from([archive.ZIP, archive.NPZ, None]))
@example(b"PK\5\6" + bytes(18), None)
@example(b"PK\5\6" + b"\xff" * 16 + b"\0\0", archive.ZIP)
def test_any_bytes_give_a_listing_or_a_refusal(upload: Path, data: bytes, media: str) -> None:
    _check_and_read(upload, data, media)


@settings(PROPERTY, max_examples=400)
@given(st.data())
def test_a_damaged_archive_gives_items_or_a_refusal(upload: Path, data: st.DataObject) -> None:
    damaged = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    _check_and_read(upload, bytes(damaged), archive.ZIP)


def _check_and_read(upload: Path, data: bytes, media: str | None) -> None:
    upload.write_bytes(data)
    try:
        listing = archive.check(upload, media)
    except BadArchive:
        return
    found = list(archive.items(upload, listing))
    assert len(found) == listing.items
    assert all((item.image is None) == (item.error is not None) for item in found)
