"""Collection of Multimodal RewardBench from its sources, where no mirror is complete.

The official repository distributes annotations without most questions and without images. Which
row of which data set they are, and what is asked, stands in :mod:`.mmrb_sources`. What a source
gave is kept in ``collected/<folder>.json``, so a rerun asks it for nothing again.
"""

import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from httpx import HTTPError
from huggingface_hub.file_download import http_get
from rich.console import Console

from r1reward.core.media import ImageError, open_image
from r1reward.core.rows import Row
from r1reward.eval.benchmarks.rows import BenchmarkError, images, read_rows
from r1reward.eval.download.errors import FetchError, UnreachableError
from r1reward.eval.download.files import Digest, alone, digest, inside
from r1reward.eval.download.hub import HUGGING_FACE, Hub, Snapshot, brief
from r1reward.eval.download.hub_rows import HubRows, key_of
from r1reward.eval.download.mmrb_sources import OFFICIAL, SOURCES, GitHubFolder, Script, Source
from r1reward.eval.download.progress import Transfers
from r1reward.eval.download.sync import STAGING, record
from r1reward.store.files import replacing, write_text

_ANNOTATIONS = "data/all_data_release.json"
_SCRIPT = "scripts/0_download_data.py"


class Collector:
    """Gets annotations from the official repository, questions and images from their sources."""

    def __init__(self, github: str, commit: str, annotations: str, script: str) -> None:
        """Take what to ask and what to expect.

        Args:
            github: address of the files of GitHub repositories.
            commit: of the official repository.
            annotations: git's hash of ``data/all_data_release.json`` there.
            script: git's hash of ``scripts/0_download_data.py`` there.
        """
        self._github = github.rstrip("/")
        self._commit = commit
        self._expected = {_ANNOTATIONS: annotations, _SCRIPT: script}
        self._failed: dict[str, str] = {}  # folder -> why its source gives nothing
        self._tried: set[str] = set()

    def annotate(self, root: Path, hub: Hub, console: Console) -> None:
        """Write ``all_data.json`` with every question, unless it is there.

        Raises:
            UnreachableError: when GitHub does not answer.
            FetchError: when a question cannot be had.
        """
        target = root / "all_data.json"
        if target.exists():
            return
        with alone(root / STAGING), Transfers(console, len(self._expected), None) as transfers:
            digests = {path: self._official(root, path, transfers) for path in self._expected}
        record(root, Snapshot(f"github.com/{OFFICIAL}", self._commit, self._commit, ()), digests)
        script = Script((root / _SCRIPT).read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = [dict(row) for _, row in read_rows(root / _ANNOTATIONS)]
        bare = [row for row in rows if not row.get("Text")]
        found = self._collect(root, (row["Image"] for row in bare), hub, console, questions=True)
        self._ask(bare, found, script)
        write_text(target, json.dumps(rows, ensure_ascii=False, indent=1))

    def collect(self, root: Path, missing: Iterable[str], hub: Hub, console: Console) -> None:
        """Get missing images from their sources; what a source does not give stays missing."""
        self._collect(root, missing, hub, console, questions=False)

    def address(self, uri: str) -> str:
        """Return where to get an image that could not be had, and which one it is there."""
        folder, key = _folder(uri), key_of(uri)
        source = SOURCES.get(folder)
        if source is None:
            return f"https://github.com/{OFFICIAL} names no source for {folder or 'it'}"
        if isinstance(source, GitHubFolder):
            return self._raw(source, uri)
        where = [f"config {' or '.join(map(str, source.configs))}"] if any(source.configs) else []
        row = f"{source.key} {key}" if source.key else f"row {key} (from 0)"
        where += [f"split {source.split}", row, f"column {source.image}"]
        reason = f" ({self._failed[folder]})" if folder in self._failed else ""
        return f"{HUGGING_FACE}/datasets/{source.repo}, {', '.join(where)}{reason}"

    def _ask(
        self,
        rows: Iterable[dict[str, Any]],
        found: Mapping[str, Mapping[str, Row]],
        script: Script,
    ) -> None:
        """Fill ``Text``, in the order of the file."""
        sources = {name: one for name, one in SOURCES.items() if isinstance(one, Source)}
        texts = {name: source.text(script) for name, source in sources.items()}
        silent: Counter[str] = Counter()
        for row in rows:
            folder, key = _folder(row["Image"]), key_of(row["Image"])
            if folder in sources and not sources[folder].columns:
                row["Text"] = texts[folder]({})
            elif key in found.get(folder, {}):
                row["Text"] = texts[folder](found[folder][key])
            else:
                silent[folder] += 1
        if silent:
            reasons = (f"{name} {n} ({self._why(name)})" for name, n in silent.items())
            raise FetchError(f"questions that could not be had: {'; '.join(reasons)}")

    def _why(self, folder: str) -> str:
        if folder in self._failed:
            return self._failed[folder]
        return "no such rows there" if folder in SOURCES else "no known source"

    def _collect(
        self, root: Path, uris: Iterable[str], hub: Hub, console: Console, *, questions: bool
    ) -> dict[str, dict[str, Row]]:
        """Return, for each folder, the rows that are known of its source."""
        wanted: dict[str, set[str]] = {}
        for uri in uris:
            inside(root, uri)
            wanted.setdefault(_folder(uri), set()).add(uri)
        found: dict[str, dict[str, Row]] = {}
        silent: dict[type, str] = {}  # kind of source -> why all of them are out of reach
        staging = root / STAGING
        with alone(staging):
            for folder in [name for name in wanted if name in SOURCES.keys() - self._tried]:
                source = SOURCES[folder]
                self._tried.add(folder)
                try:
                    if type(source) in silent:
                        raise UnreachableError(silent[type(source)])
                    if isinstance(source, GitHubFolder):
                        self._copy(root, source, wanted[folder], console)
                    else:
                        rows = HubRows(root, folder, source, hub, console)
                        found[folder] = rows.collect(wanted[folder], staging, questions=questions)
                except (FetchError, BenchmarkError, ImageError) as error:
                    if isinstance(error, UnreachableError):
                        silent[type(source)] = str(error)
                    self._failed[folder] = str(error)
                    console.print(f"{folder}: {error}", markup=False)
            if not silent:  # else a rerun takes up what came
                shutil.rmtree(staging)
        return found

    def _copy(
        self, root: Path, source: GitHubFolder, uris: Iterable[str], console: Console
    ) -> None:
        todo = [uri for uri in sorted(uris) if not (root / uri).is_file()]
        with Transfers(console, len(todo), None) as transfers:
            for uri in todo:
                content = self._get(self._raw(source, uri), transfers)
                open_image(images({"bytes": content})[0].uri, None)  # not a page that says no
                with replacing(root / uri) as part:
                    part.write_bytes(content)

    def _raw(self, source: GitHubFolder, uri: str) -> str:
        path = PurePosixPath(source.folder, *PurePosixPath(uri).parts[2:])
        return f"{self._github}/{source.repo}/{source.commit}/{quote(path.as_posix())}"

    def _official(self, root: Path, path: str, transfers: Transfers) -> Digest:
        """Return the digest of one file of the official repository, which is now there."""
        there, right = root / path, self._expected[path]
        if there.is_file() and (found := digest(there)).git == right:
            return found
        content = self._get(f"{self._github}/{OFFICIAL}/{self._commit}/{path}", transfers)
        with replacing(there) as part:
            part.write_bytes(content)
            found = digest(part)
            if found.git != right:
                raise FetchError(f"{path} of {OFFICIAL} is not the one expected ({found.git})")
        return found

    def _get(self, url: str, transfers: Transfers) -> bytes:
        content = io.BytesIO()
        try:
            http_get(url, content, tqdm_class=transfers.meter())
        except (HTTPError, OSError) as error:
            raise UnreachableError(f"{url} cannot be downloaded ({brief(error)})") from None
        transfers.whole()
        return content.getvalue()


def _folder(uri: str) -> str:
    """Return ``<folder>`` of ``images/<folder>/<name>``, or nothing for another path."""
    parts = PurePosixPath(uri).parts
    return parts[1] if len(parts) > 2 and parts[0] == "images" else ""
