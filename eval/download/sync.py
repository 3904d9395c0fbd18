"""Synchronization of a folder with a snapshot, recorded in ``download.json``."""

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

from r1reward.eval.download.errors import FetchError
from r1reward.eval.download.files import Digest, alone, digest, inside, matches
from r1reward.eval.download.hub import Hub, HubFile, Snapshot
from r1reward.eval.download.progress import Transfers
from r1reward.store.files import write_text

RECORD = "download.json"
STAGING = ".download"  # files on their way, below the folder; a rerun takes up what is whole
_WORKERS = 8  # files at a time


@dataclass(frozen=True, slots=True)
class Synced:
    """What a download left behind: every file, and how many of them are new."""

    files: int
    size: int
    new: int


def sync(
    hub: Hub, repo: str, revision: str, patterns: Sequence[str], root: Path, console: Console
) -> Synced:
    """Download what ``root`` lacks, or has otherwise than the hub.

    A file takes its place when it is whole and its hash is the hub's. What an earlier commit had
    and this one has not is removed, unless it was changed here.

    Raises:
        UnreachableError: when the hub does not answer.
        FetchError: for anything else that leaves ``root`` without the files.
    """
    snapshot = hub.snapshot(repo, revision, patterns)
    if not snapshot.files:
        raise FetchError(f"{repo} at {revision} has no file named {' or '.join(patterns)}")
    for file in snapshot.files:
        inside(root, file.path)
    with alone(root / STAGING):
        here = {file.path: _here(root, file) for file in snapshot.files}
        digests = {path: found for path, found in here.items() if found is not None}
        lacking = [file for file in snapshot.files if file.path not in digests]
        _announce(console, snapshot, lacking)
        if lacking:
            digests |= _bring(hub, snapshot, lacking, root, console)
        shutil.rmtree(root / STAGING, ignore_errors=True)
        _remove_old(root, repo, patterns, digests)
        record(root, snapshot, digests)
    size = sum(one.size for one in digests.values())
    return Synced(len(digests), size, len(lacking))


def record(root: Path, snapshot: Snapshot, digests: dict[str, Digest]) -> None:
    """Write ``download.json``: what was asked, what came, and the hash of every file."""
    content = {
        "schema": 1,
        "repo": snapshot.repo,
        "revision": snapshot.revision,
        "commit": snapshot.commit,
        "files": [
            {"path": path, "size": one.size, "sha256": one.sha256}
            for path, one in sorted(digests.items())
        ],
    }
    write_text(root / RECORD, json.dumps(content, indent=1) + "\n")


def _here(root: Path, file: HubFile) -> Digest | None:
    """Return the digest of the file in its place, or None when it is not the one."""
    path = root / file.path
    if not path.is_file() or path.stat().st_size != file.size:
        return None
    found = digest(path)
    return found if file.is_at(found) else None


def _announce(console: Console, snapshot: Snapshot, lacking: Sequence[HubFile]) -> None:
    total, size = (sum(file.size for file in files) for files in (snapshot.files, lacking))
    console.print(
        f"{snapshot.repo} at {snapshot.commit[:12]}: {len(snapshot.files)} files "
        f"({decimal(total)}), {len(lacking)} to download ({decimal(size)})",
        markup=False,
    )


def _bring(
    hub: Hub, snapshot: Snapshot, files: Sequence[HubFile], root: Path, console: Console
) -> dict[str, Digest]:
    size, free = sum(file.size for file in files), shutil.disk_usage(root).free
    if size > free:
        raise FetchError(f"{root}: {decimal(size)} to download, {decimal(free)} free on the disk")
    staging = root / STAGING / snapshot.commit
    found: dict[str, Digest] = {}
    pool = ThreadPoolExecutor(_WORKERS)
    with Transfers(console, len(files), size) as transfers:
        meter = transfers.meter()
        try:
            running = {pool.submit(hub.get, snapshot, file, staging, meter): file for file in files}
            for done in as_completed(running):
                path = running[done].path
                found[path] = done.result()
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(staging / path, root / path)
                transfers.whole()
        finally:
            transfers.stop()
            pool.shutdown(cancel_futures=True)
    return found


def _remove_old(root: Path, repo: str, patterns: Sequence[str], digests: dict[str, Digest]) -> None:
    """Remove what an earlier commit had: two generations of shards would be read as one."""
    for entry in _last(root, repo):
        path = inside(root, entry["path"])
        ours = entry["path"] not in digests and matches(entry["path"], patterns)
        if ours and path.is_file() and digest(path).sha256 == entry["sha256"]:
            path.unlink()


def _last(root: Path, repo: str) -> list[dict[str, str]]:
    try:
        content = json.loads((root / RECORD).read_bytes())
    except FileNotFoundError:
        return []
    except ValueError:
        raise FetchError(f"{root / RECORD}: not JSON; delete it") from None
    files: list[dict[str, str]] = content["files"]
    return files if content.get("repo") == repo else []
