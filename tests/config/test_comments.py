"""Every key of conf/ is explained: by its own comment, by its parent's, or by what it refers to."""

from dataclasses import dataclass, field

import pytest
from support.conf import FILES, name_of

# Explained elsewhere: stages once in conf/recipe.yaml; Hydra's own words in its manual.
STAGE = ("about", "run", "inputs", "output", "plan")
HYDRA = ("_target_", "defaults", "hydra")
# Words that say nothing of a key.
EMPTY = ("as above", "as below", "as the actor", "implementation", "none", "nothing", "see above")


@dataclass
class Key:
    """A key of a YAML file, as its text has it."""

    name: str
    line: int
    indent: int
    comment: str
    value: str
    children: list["Key"] = field(default_factory=list)


def parsed(text: str) -> Key:
    """Return the keys of block mappings; list items and flow mappings are values."""
    root = Key("", 0, -1, "", "")
    above, comment = [root], ""
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            comment = f"{comment} {content[1:].strip()}".strip() if content else ""  # a head ends
            continue
        if not content.startswith("-") and (colon := content.find(":")) > 0:
            value, _, inline = content[colon + 1 :].partition(" #")
            indent = len(line) - len(line.lstrip())
            while above[-1].indent >= indent:
                above.pop()
            said = comment or inline.strip()
            key = Key(content[:colon], number, indent, said, value.strip())
            above[-1].children.append(key)
            above.append(key)
        comment = ""
    return root


def bare(key: Key, skipped: tuple[str, ...]) -> list[str]:
    """Return the leaves that nothing explains.

    A parent's comment covers its leaves when it is all that there is: beside leaves with comments
    of their own, one without is an omission.
    """
    leaves = [
        child
        for child in key.children
        if not child.children and child.name not in skipped and "${" not in child.value
    ]
    covered = bool(key.comment) and not any(leaf.comment for leaf in leaves)
    missing = [f"{leaf.line}: {leaf.name}" for leaf in leaves if not (covered or leaf.comment)]
    for child in key.children:
        missing += bare(child, skipped)
    return missing


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_key_is_explained(path) -> None:
    skipped = HYDRA + (STAGE if path.parent.name == "recipe" else ())
    root = parsed(path.read_text(encoding="utf-8"))
    assert bare(root, skipped) == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_comment_says_something(path) -> None:
    def comments(key: Key):
        yield key
        for child in key.children:
            yield from comments(child)

    for key in comments(parsed(path.read_text(encoding="utf-8"))):
        words = key.comment.lower().rstrip(".")
        assert words not in EMPTY, f"{path.name}:{key.line}: {key.comment}"
        assert not words.startswith(("of ", "to a ", "who ")), f"{path.name}:{key.line}"


def test_what_is_missing_is_found() -> None:
    covered = "# C.\nc:\n  d: 1\n  e: {f: 2}\n"
    mixed = "# G.\ng:\n  # H.\n  h: 1\n  i: 2\n"
    text = f"# A.\na: 1\nb: 2\n{covered}{mixed}j:\n  k: ${{a}}\n"
    assert bare(parsed(text), ()) == ["3: b", "12: i"]
