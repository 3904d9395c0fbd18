"""Docstrings in the words of Markdown: roles, literal blocks and tables that griffe leaves as they are."""

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(`[^`]*`)")
_LITERAL = re.compile(r"::$", re.MULTILINE)
_TABLE = re.compile(r"^={3,} [= ]+\n(?:.+\n?)+", re.MULTILINE)


class Markdown(griffe.Extension):
    """Rewrites every docstring before the site shows it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """Return a docstring with code for roles, and a block of code for a table."""
    text = _TABLE.sub(lambda table: f"```text\n{table[0].rstrip()}\n```\n", text)
    return _LITERAL.sub(":", _ROLE.sub(r"\1", text))
