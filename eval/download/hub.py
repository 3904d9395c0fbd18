"""Data sets of the Hugging Face hub, or of a server that speaks its API: list, download, verify."""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httpx import HTTPError, TransportError
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.hf_api import RepoFile

from r1reward.eval.download.errors import FetchError, UnreachableError
from r1reward.eval.download.files import Digest, digest, matches

HUGGING_FACE = "https://huggingface.co"
_PATIENCE = 30.0  # seconds for an answer about a data set
_COMMIT = re.compile(r"[0-9a-f]{40}")

# Its advice and its retries are not the user's business.
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a data set, as the hub describes it; large files have a SHA-256."""

    path: str
    size: int
    git: str
    sha256: str | None

    def is_at(self, found: Digest) -> bool:
        """Return whether a file with this digest is the one."""
        same = found.sha256 == self.sha256 if self.sha256 else found.git == self.git
        return same and found.size == self.size


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some files of a data set at a commit; ``revision`` is what was asked for."""

    repo: str
    revision: str
    commit: str
    files: tuple[HubFile, ...]


class Hub:
    """One endpoint. A stored login goes to huggingface.co alone."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint.rstrip("/")
        if not self.endpoint.startswith(("http://", "https://")):
            raise FetchError(f"hub.endpoint={endpoint}: begin it with https:// or http://")
        self._token = None if self.endpoint == HUGGING_FACE else False
        self._api = HfApi(endpoint=self.endpoint, token=self._token)

    def snapshot(self, repo: str, revision: str, patterns: Iterable[str]) -> Snapshot:
        """Return the files of a data set that match one of the patterns, sorted.

        Raises:
            UnreachableError: when the endpoint does not answer.
            FetchError: when it does not have the data set or the revision.
        """
        with self._asking(f"{repo} at {revision}"):
            commit = self._api.dataset_info(repo, revision=revision, timeout=_PATIENCE).sha or ""
            other = _COMMIT.fullmatch(revision) and revision != commit
            if other or not _COMMIT.fullmatch(commit):
                raise ValueError(f"commit {commit!r}")
            tree = self._api.list_repo_tree(
                repo, recursive=True, revision=commit, repo_type="dataset"
            )
            files = [entry for entry in tree if isinstance(entry, RepoFile)]
        found = (
            HubFile(file.path, file.size, file.blob_id, file.lfs.sha256 if file.lfs else None)
            for file in files
            if matches(file.path, patterns)
        )
        return Snapshot(repo, revision, commit, tuple(sorted(found, key=lambda file: file.path)))

    def get(self, snapshot: Snapshot, file: HubFile, folder: Path, meter: type[Any]) -> Digest:
        """Download one file to its place below ``folder``, unless it is there; verify it.

        Args:
            snapshot: whose file it is.
            file: one of ``snapshot.files``.
            folder: where files of this commit lie, and notes of huggingface_hub.
            meter: :meth:`r1reward.eval.download.progress.Transfers.meter`.

        Raises:
            FetchError: when it does not come, or is not what the hub describes.
        """
        with self._asking(f"{file.path} of {snapshot.repo}"):
            path = hf_hub_download(
                snapshot.repo,
                file.path,
                repo_type="dataset",
                revision=snapshot.commit,
                local_dir=folder,
                endpoint=self.endpoint,
                token=self._token,
                tqdm_class=meter,
            )
        found = digest(Path(path))
        if not file.is_at(found):
            Path(path).unlink()
            raise FetchError(
                f"{file.path} of {snapshot.repo} arrived damaged: {found.size} bytes, SHA-256 "
                f"{found.sha256}; run the same command again"
            )
        return found

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except (TransportError, OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
            raise UnreachableError(
                f"{self.endpoint} cannot be reached for {what} ({brief(error.__cause__ or error)})"
            ) from None
        except HfHubHTTPError as error:
            kind = UnreachableError if error.response.status_code >= 500 else FetchError
            raise kind(f"{self.endpoint} refuses {what} ({brief(error)})") from None
        except (HTTPError, OSError) as error:
            raise FetchError(f"{what} cannot be downloaded ({brief(error)})") from None
        except (ValueError, KeyError, TypeError) as error:  # a proxy's page, for example
            raise FetchError(
                f"{self.endpoint} does not answer like a hub about {what} ({brief(error)})"
            ) from None


def brief(error: BaseException) -> str:
    """Return an error's message as one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__
