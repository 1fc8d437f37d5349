"""Archives: real ones are unpacked whole, hostile and broken ones leave nothing behind."""

import io
import random
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.files.archives import BadArchive, DamagedArchive, unpack_into, unpacked_view
from podium.files.atomic_write import atomic_folder

Files = dict[str, bytes]
IMAGE = bytes(range(256)) * 20


def zipped(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def tarred(files: Files, mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def unpack(archive: Path, target: Path) -> None:
    with atomic_folder(target) as part:
        unpack_into(archive, part)


def files_in(folder: Path) -> Files:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Write an archive: `archive(bytes)`."""

    def write(data: bytes, name: str = "cars.zip") -> Path:
        path = tmp_path / "downloads" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "input" / "cars"


def refused(archive: Path, target: Path, kind: type[Exception] = BadArchive) -> str:
    """The message of a refusal that leaves nothing behind."""
    with pytest.raises(kind) as caught:
        unpack(archive, target)
    assert type(caught.value) is kind
    assert not target.parent.exists() or not list(target.parent.iterdir())
    assert "\n" not in str(caught.value)
    assert archive.name in str(caught.value)
    return str(caught.value)


# --- What is unpacked


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("cars.zip", zipped),
        ("cars.zip", lambda files: zipped(files, zipfile.ZIP_STORED)),
        ("cars.tar", tarred),
        ("cars.tar.gz", lambda files: tarred(files, "w:gz")),
        ("cars.tgz", lambda files: tarred(files, "w:gz")),
        ("cars.tar.xz", lambda files: tarred(files, "w:xz")),
        ("download", zipped),  # told by its content, not by its name
    ],
)
def test_every_file_comes_out_as_it_was(
    archive: Callable[..., Path], target: Path, name: str, pack: Callable[[Files], bytes]
) -> None:
    files = {"train.csv": b"Id,Category\n", "train/0/1.jpg": IMAGE, "train/9/ü — 2.jpg": b""}
    unpack(archive(pack(files), name), target)
    assert files_in(target) == files
    assert [path.name for path in target.parent.iterdir()] == ["cars"]


def test_empty_folders_come_out_and_what_macos_adds_does_not(
    archive: Callable[..., Path], target: Path
) -> None:
    files = {"train/": b"", "a.jpg": b"a", "__MACOSX/._a.jpg": b"x", ".DS_Store": b"x"}
    unpack(archive(zipped(files)), target)
    assert sorted(path.name for path in target.iterdir()) == ["a.jpg", "train"]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_backslashes_of_windows_are_folders(
    archive: Callable[..., Path], target: Path, pack: Callable[[Files], bytes]
) -> None:
    files = {"train\\clock\\1.jpg": IMAGE, "train\\2.jpg": b"2", "test/3.jpg": b"3"}
    unpack(archive(pack({**files, "__MACOSX\\._1.jpg": b"x"})), target)
    assert files_in(target) == {"train/clock/1.jpg": IMAGE, "train/2.jpg": b"2", "test/3.jpg": b"3"}


def test_a_folder_that_ends_with_a_backslash_is_one(
    archive: Callable[..., Path], target: Path
) -> None:
    unpack(archive(zipped({"train\\": b"", "train\\1.jpg": b"1"})), target)
    assert files_in(target) == {"train/1.jpg": b"1"}


def test_what_is_there_is_not_touched(archive: Callable[..., Path], target: Path) -> None:
    target.mkdir(parents=True)
    (target / "mine").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="is there already"):
        unpack(archive(zipped({"a": b"a"})), target)
    assert files_in(target.parent) == {"cars/mine": b"mine"}


# --- Archives within the archive


@pytest.mark.parametrize("pack", [zipped, tarred, lambda files: tarred(files, "w:gz")])
@pytest.mark.parametrize("top", ["train/", ""])
def test_an_inner_archive_is_unpacked_under_its_name(
    archive: Callable[..., Path], target: Path, pack: Callable[[Files], bytes], top: str
) -> None:
    ending = {zipped: ".zip", tarred: ".tar"}.get(pack, ".tar.gz")
    train = pack({f"{top}cat.0.jpg": b"cat", f"{top}dog.0.jpg": b"dog"})
    test = zipped({"test1/1.jpg": b"1", "__MACOSX/._1.jpg": b"x"})
    unpack(archive(zipped({f"train{ending}": train, "test1.zip": test, "s.csv": b"s"})), target)
    assert files_in(target) == {
        "s.csv": b"s",
        "test1/1.jpg": b"1",
        "train/cat.0.jpg": b"cat",
        "train/dog.0.jpg": b"dog",
    }


def test_a_packed_table_becomes_a_table(archive: Callable[..., Path], target: Path) -> None:
    inner = {
        "train.csv.zip": zipped({"train.csv": b"Id"}),
        "labels/a.zip": zipped({"b.csv": b"b"}),  # also further below
    }
    unpack(archive(zipped(inner)), target)
    assert files_in(target) == {"train.csv": b"Id", "labels/a/b.csv": b"b"}


def test_an_archive_whose_content_is_beside_it_stays_packed(
    archive: Callable[..., Path], target: Path
) -> None:
    files = {"train.zip": zipped({"other.jpg": b"other"}), "train/a.jpg": b"a"}
    unpack(archive(zipped(files)), target)
    assert files_in(target) == files


def test_archives_deeper_than_the_limit_stay_packed(
    archive: Callable[..., Path], target: Path
) -> None:
    fourth = zipped({"d.jpg": b"d"})
    third = zipped({"c.zip": fourth})
    unpack(archive(zipped({"a.zip": zipped({"b.zip": third})})), target)
    assert files_in(target) == {"a/b/c.zip": fourth}


def test_a_hostile_inner_archive_refuses_the_whole(
    archive: Callable[..., Path], target: Path
) -> None:
    path = archive(zipped({"a.jpg": b"a", "train.zip": zipped({"../b.jpg": b"b"})}))
    with pytest.raises(BadArchive) as caught:
        unpack(path, target)
    message = str(caught.value)
    assert not list(target.parent.iterdir())
    assert message == "train.zip: '../b.jpg' would be written outside of its folder"


def test_a_broken_inner_archive_is_not_damage_on_the_way(
    archive: Callable[..., Path], target: Path
) -> None:
    path = archive(zipped({"train.zip": zipped({"a.jpg": IMAGE})[:-30]}))
    assert "cars.zip: train.zip is damaged" in refused(path, target, kind=BadArchive)


# --- What is refused


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    "name",
    [
        "../evil", "train/../../evil", "..", "/etc/evil", "//etc/evil", "C:/evil", "c:evil",
        "..\\evil", "train\\..\\..\\evil", "\\\\server\\evil", "a/b/../../../evil", "./../evil",
    ],
)  # fmt: skip
def test_names_that_lead_out_are_refused(
    archive: Callable[..., Path], target: Path, pack: Callable[[Files], bytes], name: str
) -> None:
    message = refused(archive(pack({"a.jpg": b"a", name: b"evil"})), target)
    assert message == f"cars.zip: {name!r} would be written outside of its folder"
    assert not list(target.parents[1].rglob("evil"))


def test_a_name_that_hides_its_end_is_refused(archive: Callable[..., Path], target: Path) -> None:
    data = zipped({"a.jpg~.exe": b"a"}).replace(b"a.jpg~", b"a.jpg\0")
    assert "would be written outside" in refused(archive(data), target)


@pytest.mark.parametrize("kind", [0o120000, 0o020000, 0o060000, 0o010000, 0o140000])
def test_links_and_devices_in_a_zip_are_refused(
    archive: Callable[..., Path], target: Path, kind: int
) -> None:
    path = archive(b"")
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo("train")
        info.external_attr = (kind | 0o777) << 16
        file.writestr(info, b"/etc")
        file.writestr("train/passwd", b"evil")
    assert refused(path, target) == "cars.zip: train is a link or a device, not a file"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(
    archive: Callable[..., Path], target: Path, kind: bytes
) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as file:
        info = tarfile.TarInfo("train")
        info.type, info.linkname = kind, "/etc"
        file.addfile(info)
    path = archive(data.getvalue(), "cars.tar.gz")
    assert refused(path, target) == "cars.tar.gz: train is a link or a device, not a file"


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")])
def test_a_file_in_the_place_of_another_is_refused(
    archive: Callable[..., Path], target: Path, names: tuple[str, str]
) -> None:
    path = archive(zipped(dict.fromkeys(names, b"x")))
    assert "cars.zip" in refused(path, target, kind=DamagedArchive)


def test_an_encrypted_member_is_named(archive: Callable[..., Path], target: Path) -> None:
    data = bytearray(zipped({"secret.jpg": b"a" * 40}))
    at = data.index(b"PK\1\2") + 8
    data[at] |= 1
    data[data.index(b"PK\3\4") + 6] |= 1
    message = refused(archive(bytes(data)), target, kind=DamagedArchive)
    assert "secret.jpg" in message and "encrypted" in message


def test_a_size_that_is_a_lie_is_found(archive: Callable[..., Path], target: Path) -> None:
    data = zipped({"a": bytes(100_000)})
    lie = data.replace(struct.pack("<L", 100_000), struct.pack("<L", 100))
    assert lie != data
    refused(archive(lie), target, kind=DamagedArchive)


def test_a_bomb_is_told_before_anything_is_written(
    archive: Callable[..., Path], target: Path
) -> None:
    """A list of 2,000 files of 4 GB each, all of which are the same few bytes."""
    data = zipped({"0000": b"x" * 12_345}, zipfile.ZIP_STORED)
    at, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    size, lie = struct.pack("<L", 12_345), struct.pack("<L", 4_000_000_000)
    entry = data[at:end].replace(size, lie).removesuffix(b"0000")
    entries = b"".join(entry + b"%04d" % number for number in range(2000))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2000, 2000, len(entries), at, 0)
    path = archive(data[:at] + entries + tail)
    with pytest.raises(OSError, match=r"no space left to unpack cars.zip: it needs 8,000,000 MB"):
        unpack(path, target)
    assert not list(target.parent.iterdir())


# --- Damage


@pytest.mark.parametrize("data", [b"", b"<html>Sign in</html>", b"PK", b"PK\3\4", bytes(2000)])
def test_what_is_no_archive_is_told(
    archive: Callable[..., Path], target: Path, data: bytes
) -> None:
    message = refused(archive(data), target, kind=DamagedArchive)
    assert message.startswith(("cars.zip is damaged, or no zip or tar", "cars.zip has no files"))


@pytest.mark.parametrize("pack", [zipped, tarred, lambda files: tarred(files, "w:gz")])
def test_an_archive_cut_off_anywhere_is_damaged(
    archive: Callable[..., Path], target: Path, pack: Callable[[Files], bytes]
) -> None:
    noise = random.Random(1).randbytes
    data = pack({"a.jpg": noise(2000), "b.jpg": noise(1500), "c.jpg": b""})
    # What a tar is padded with, behind the first block of its end, may go.
    needed = -(-len(data.rstrip(b"\0")) // 512) * 512 + 512 if pack is tarred else len(data)
    for length in range(1, needed, 151):
        assert "cars" in refused(archive(data[:length]), target, kind=DamagedArchive)


def test_a_flipped_bit_is_found(archive: Callable[..., Path], target: Path) -> None:
    data = bytearray(zipped({"a.jpg": random.Random(2).randbytes(1000)}, zipfile.ZIP_STORED))
    data[500] ^= 1
    message = refused(archive(bytes(data)), target, kind=DamagedArchive)
    assert message == "cars.zip is damaged, or no zip or tar: Bad CRC-32 for file 'a.jpg'"


@pytest.mark.parametrize("name", ["cars.zip", "cars.tgz"])
def test_whatever_is_altered_the_files_are_right_or_none_are_there(
    archive: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    """Several bytes at random, 200 times: no other error, and no other content."""
    noise = random.Random(3)
    files = {
        "train/a.jpg": noise.randbytes(300),
        "b.csv": b"Id\n" * 90,
        "t.zip": zipped({"t/c": b"c"}),
    }
    whole = zipped(files) if name == "cars.zip" else tarred(files, "w:gz")
    contents = {files["train/a.jpg"], files["b.csv"], files["t.zip"], b"c"}
    for turn in range(200):
        data = bytearray(whole)
        for _ in range(noise.randrange(1, 4)):
            data[noise.randrange(len(data))] = noise.randrange(256)
        target = tmp_path / "out" / str(turn)
        try:
            unpack(archive(bytes(data), name), target)
        except BadArchive as error:
            assert "\n" not in str(error)
            assert not target.exists()
        else:
            assert set(files_in(target).values()) <= contents
    assert not list((tmp_path / "out").glob(".part-*"))
    assert not {path.name for path in tmp_path.iterdir()} - {"out", "downloads"}


# --- Killed


UNPACK = """
import sys
from pathlib import Path
from podium.files.archives import unpack_into
from podium.files.atomic_write import atomic_folder
with atomic_folder(Path(sys.argv[2])) as part:
    unpack_into(Path(sys.argv[1]), part)
"""


def test_a_killed_unpacking_leaves_no_half_folder(
    archive: Callable[..., Path], target: Path
) -> None:
    files = {f"train/{number}.jpg": IMAGE for number in range(2000)}
    path = archive(zipped(files, zipfile.ZIP_STORED))
    process = subprocess.Popen([sys.executable, "-c", UNPACK, str(path), str(target)])
    until = time.monotonic() + 60
    while not list(target.parent.glob(f".part-{process.pid}-cars/train/1*.jpg")):
        assert process.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < until
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [path.name for path in target.parent.iterdir()] == [f".part-{process.pid}-cars"]

    unpack(path, target)
    assert [path.name for path in target.parent.iterdir()] == ["cars"]
    assert files_in(target) == files


# --- Where nothing can be written


@pytest.fixture
def attached(tmp_path: Path) -> Path:
    """Dogs vs cats as Kaggle mounts it: a table, and two archives."""
    folder = tmp_path / "kaggle" / "dogs"
    folder.mkdir(parents=True)
    (folder / "train.zip").write_bytes(zipped({"train/cat.0.jpg": b"cat"}))
    (folder / "test.zip").write_bytes(zipped({"1.jpg": b"1"}))
    (folder / "sample_submission.csv").write_bytes(b"id,label\n")
    (folder / "more").mkdir()
    (folder / "more" / "2.jpg").write_bytes(b"2")
    return folder


def test_a_view_has_everything_unpacked_and_the_rest_as_links(
    attached: Path, tmp_path: Path
) -> None:
    before = files_in(attached)
    view = unpacked_view(attached, tmp_path / "scratch")
    assert view.name == "dogs"
    assert view.is_relative_to(tmp_path / "scratch")
    assert (view / "train" / "cat.0.jpg").read_bytes() == b"cat"
    assert (view / "test" / "1.jpg").read_bytes() == b"1"
    assert (view / "more" / "2.jpg").read_bytes() == b"2"
    assert (view / "more").is_symlink()
    assert (view / "sample_submission.csv").is_symlink()
    assert sorted(path.name for path in view.iterdir()) == [
        "more", "sample_submission.csv", "test", "train",
    ]  # fmt: skip
    assert files_in(attached) == before


def test_a_view_is_made_once(attached: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    view = unpacked_view(attached, scratch)
    made = (view / "train").stat().st_ino
    assert unpacked_view(attached, scratch) == view
    assert (view / "train").stat().st_ino == made


def test_a_folder_without_packed_archives_is_its_own_view(attached: Path, tmp_path: Path) -> None:
    for name in ("train", "test"):
        (attached / name).mkdir()
    assert unpacked_view(attached, tmp_path / "scratch") == attached
    assert not (tmp_path / "scratch").exists()
    (attached / "test").rmdir()
    view = unpacked_view(attached, tmp_path / "scratch")  # only what is not there yet
    assert (view / "train").is_symlink()
    assert (view / "train.zip").is_symlink()
    assert files_in(view / "test") == {"1.jpg": b"1"}


def test_a_view_of_a_broken_archive_is_none(attached: Path, tmp_path: Path) -> None:
    data = (attached / "train.zip").read_bytes()
    (attached / "train.zip").write_bytes(data[:-10])
    with pytest.raises(DamagedArchive, match=r"^train.zip is damaged"):
        unpacked_view(attached, tmp_path / "scratch")
    assert not files_in(tmp_path / "scratch")


def test_a_view_that_several_processes_make_at_once_is_one(attached: Path, tmp_path: Path) -> None:
    train = {f"train/cat.{number}.jpg": IMAGE for number in range(300)}
    (attached / "train.zip").write_bytes(zipped(train))
    make = "from pathlib import Path; from podium.files.archives import unpacked_view; "
    make += f"print(unpacked_view(Path({str(attached)!r}), Path({str(tmp_path / 'scratch')!r})))"
    command = [sys.executable, "-c", make]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    views = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    view = Path(views.pop())
    assert not views
    assert len(list((view / "train").iterdir())) == 300
    assert [path.name for path in view.parent.iterdir()] == ["dogs"]
