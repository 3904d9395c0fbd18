"""The folder of an annotated data set: answers, shards, manifest, and what could not be done."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any

from r1reward.cli.command import typed
from r1reward.core.errors import UserError
from r1reward.core.rows import files_of
from r1reward.data.annotate.attempts import Annotation
from r1reward.store.files import replacing
from r1reward.store.shards import read_manifest, write_manifest, write_shard

_ROWS = 4096  # of a shard


class FolderError(UserError):
    """A folder that an annotation must not write."""


class AnnotatedFolder:
    """Where one annotation goes: ``out`` of the command, made from ``source``."""

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self.source = path, source
        # Below, so that nothing takes the answers of an unfinished annotation for records.
        self.journal = path / "answers" / "journal.jsonl"
        self.report = path / "report.jsonl"

    def check(self, settings: dict[str, object]) -> None:
        """Refuse a folder that holds something else.

        Raises:
            FolderError: for the input itself, other data, or the annotation of other settings.
        """
        found = [path for kind in ("*.parquet", "*.jsonl") for path in self.path.glob(kind)]
        if self.path.resolve() == self.source.resolve() or (found and not self.journal.exists()):
            raise FolderError(f"out={self.path}: other data are there; give a folder of its own")
        manifest = read_manifest(self.path)
        before = settings if manifest is None else manifest.get("settings", {})
        changed = [
            f"{key} was {before.get(key)}, now {settings[key]}"
            for key in settings
            if before.get(key) != settings[key]
        ]
        if changed:
            raise FolderError(
                f"out={self.path}: annotated with other settings ({'; '.join(changed)}); give "
                "another folder, or these settings"
            )

    def write(self, annotation: Annotation, settings: dict[str, object], **facts: object) -> None:
        """Write shards, report and manifest; until the manifest is there, it is not finished."""
        (self.path / "manifest.json").unlink(missing_ok=True)
        with replacing(self.report) as part, open(part, "w", encoding="utf-8") as report:

            def line(row: dict[str, str]) -> None:  # in ASCII: a bad row may hold anything
                report.write(json.dumps(row) + "\n")

            for fault in annotation.faults:
                line(fault)
            shards = [
                write_shard(self.path / f"part-{number:05d}.parquet", rows)
                for number, rows in enumerate(_chunks(annotation.rows(line)))
            ]
        for path in self.path.glob("part-*.parquet"):  # of a run over more rows
            if path.name not in {shard.name for shard in shards}:
                path.unlink()
        counts = annotation.difficulty.to_dict()
        sources = {name: found["records"] for name, found in counts["by_source"].items()}
        write_manifest(
            self.path,
            shards,
            command=typed("annotate"),
            settings=settings,
            **facts,
            inputs=[_file(path) for path in files_of(self.source)],
            sources=sources,
            annotation={"preset": asdict(annotation.preset), **counts},
        )


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[Iterator[dict[str, Any]]]:
    for first in rows:
        yield chain([first], islice(rows, _ROWS - 1))


def _file(path: Path) -> dict[str, object]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest}
