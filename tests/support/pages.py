"""The repository's Markdown, read as its readers do: headings, links, blocks of code."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from r1reward.config.compose import REPO

_FENCE = re.compile(r"^[ ]*```(\w*)[^\n]*\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"(?<!`)`((?:[^`\n]|\n(?!\n))+)`(?!`)")


@dataclass(frozen=True)
class Document:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(REPO).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without blocks of code."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        """Targets of links and pictures, within the repository."""
        found = _LINK.findall(_INLINE.sub("", self.prose))
        return [link for link in found if not re.match(r"[a-z][a-z0-9+.-]*:", link)]

    @cached_property
    def anchors(self) -> set[str]:
        """The headings as fragments of a link."""
        headings = re.findall(r"^#+ +(.+?) *$", self.prose, re.MULTILINE)
        plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
        return {re.sub(r"\s", "-", heading.strip()) for heading in plain}

    @property
    def spans(self) -> list[str]:
        """Inline code."""
        return [" ".join(span.split()) for span in _INLINE.findall(self.prose)]

    def blocks(self, language: str) -> list[str]:
        """Return the blocks of code in a language."""
        return [code for found, code in _FENCE.findall(self.text) if found == language]

    def commands(self, program: str) -> list[str]:
        """Return the command lines of ``program``, from shell blocks and from inline code."""
        shell = "\n".join(self.blocks("bash")).replace("\\\n", " ")
        lines = [line.partition(" #")[0].strip() for line in shell.splitlines()]
        return [line for line in (*lines, *self.spans) if line.startswith(f"{program} ")]


def documents() -> list[Document]:
    """Return the Markdown that people read; the table of photographs aside."""
    top = [*REPO.glob("*.md"), *(REPO / "examples").glob("*.md"), *(REPO / "tests").glob("*.md")]
    deep = [*(REPO / "docs").rglob("*.md"), *(REPO / "recipes").rglob("*.md")]
    return [Document(path) for path in sorted({*top, *deep}) if path.name != "ATTRIBUTION.md"]
