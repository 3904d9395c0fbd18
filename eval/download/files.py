"""Files of a download: patterns, places, hashes."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from r1reward.eval.download.errors import FetchError
from r1reward.store.files import hold


@dataclass(frozen=True, slots=True)
class Digest:
    """A file's size in bytes, and its content's hashes: SHA-256, and SHA-1 as git names it."""

    size: int
    sha256: str
    git: str


def digest(path: Path) -> Digest:
    """Read the file once and return its size and hashes."""
    size = path.stat().st_size
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            git.update(block)
    return Digest(size, sha256.hexdigest(), git.hexdigest())


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a shell pattern fits the whole path; ``*`` crosses folders."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def inside(root: Path, name: str) -> Path:
    """Return where a file that a server names lies below ``root``.

    Raises:
        FetchError: for a name that would leave ``root``.
    """
    parts = PurePosixPath(name).parts
    path = root / name
    leaves = not parts or ".." in parts or PurePosixPath(name).is_absolute()
    if leaves or "\\" in name or "\0" in name or not path.resolve().is_relative_to(root.resolve()):
        raise FetchError(f"a file named {name!r} would leave {root}; nothing of it is downloaded")
    return path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make ``folder``, where downloads are on their way, and hold it against another download.

    Raises:
        FetchError: when one is under way, or there can be no such folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "w")  # noqa: SIM115 - closed below
    except OSError as error:
        raise FetchError(f"{folder}: cannot be written ({error.strerror})") from None
    with lock:
        hold(lock, FetchError(f"{folder}: another download is writing it; wait for it"))
        try:
            yield
        finally:
            (folder / "lock").unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or gone
                folder.rmdir()
