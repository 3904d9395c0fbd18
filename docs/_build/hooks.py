"""Hooks of the documentation site: pages that lie outside of docs/, and the API reference.

MkDocs reads one folder. These hooks add the Markdown of the repository (recipes, CHANGELOG, ...) under
the path it has there, and turn relative links that leave docs/ into links of the site, so that the
same link works on a file host and on the site.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPO = Path(__file__).resolve().parents[2]
# What belongs to the site beside docs/: pages, their pictures, and the programs that they link.
BESIDE = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"),
    *("recipes/**/*.md", "recipes/**/*.png", "examples/*.md", "examples/*.py"),
)
# Rooms of the package that a library user or an author of a plug-in reads, from the front door up.
ROOMS = ("core", "judge", "consistency", "rewards", "algorithms", "data", "eval", "sweep", "config")
_LINK = re.compile(r"(!?\[(?:[^\]\\]|\\.)*\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*:")


def on_config(config: Any) -> Any:
    """Fill in the reference's part of the navigation."""
    pages = [{"r1reward": "reference/index.md"}, *({room: f"reference/{room}.md"} for room in ROOMS)]
    for part in config.nav:
        if "API reference" in part:
            part["API reference"] = pages
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the repository's pages and the reference to the site."""
    for path in sorted(_repository_files()):
        files.append(File.generated(config, path, abs_src_path=str(REPO / path)))
    for room, text in _reference().items():
        files.append(File.generated(config, f"reference/{room}.md", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, files: Files, **_: Any) -> str:
    """Return the page with its relative links turned into links of the site."""
    return "".join(_relinked(markdown, page.file.src_uri, page.file.generated_by is None))


def _relinked(markdown: str, uri: str, in_docs: bool) -> Iterator[str]:
    fenced = False
    for line in markdown.splitlines(keepends=True):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        yield line if fenced else _LINK.sub(lambda match: _site_link(match, uri, in_docs), line)


def _site_link(match: re.Match[str], uri: str, in_docs: bool) -> str:
    before, target, anchor, after = match.groups(default="")
    if _REMOTE.match(target):
        return match[0]
    source = posixpath.join("docs", uri) if in_docs else uri
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    site = path.removeprefix("docs/")
    return f"{before}{posixpath.relpath(site, posixpath.dirname(uri) or '.')}{anchor}{after}"


def _repository_files() -> Iterator[str]:
    for pattern in BESIDE:
        yield from (path.relative_to(REPO).as_posix() for path in REPO.glob(pattern))


def _reference() -> dict[str, str]:
    """Return the reference by page: the front door, and one page a room."""
    pages = {"index": "# r1reward\n\n::: r1reward\n"}
    for room in ROOMS:
        folder = REPO / "r1reward" / room
        modules = sorted(
            ".".join(("r1reward", room, *file.relative_to(folder).with_suffix("").parts))
            for file in folder.rglob("*.py")
            if not file.name.startswith("_")
        )
        pages[room] = f"# r1reward.{room}\n\n" + "\n\n".join(f"::: {name}" for name in modules)
    return pages
