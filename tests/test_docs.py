"""The documentation: short in front, links that lead somewhere, commands that are there."""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.chromium import Chromium
from support.pages import Document, documents

from r1reward.cli.catalog import find
from r1reward.config.compose import REPO, compose_config

DOCUMENTS = documents()
MKDOCS = REPO / ".venv-docs" / "bin" / "python"
# Old names are history's to tell.
CURRENT = [document for document in DOCUMENTS if document.name != "CHANGELOG.md"]
EVERY = pytest.mark.parametrize("document", CURRENT, ids=lambda document: document.name)


def script(name):
    """Load a program of docs/_build, which is no package."""
    spec = importlib.util.spec_from_file_location(name, REPO / "docs" / "_build" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(*arguments):
    """Return what ``make`` prints, undisturbed by a ``make`` that runs this test."""
    outer = ("MAKE", "MFLAGS", "EXP", "ARGS", "RUN", "FILE", "OUT", "SWEEP", "JUDGE", "MODEL")
    env = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    done = subprocess.run(["make", *arguments], cwd=REPO, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_front_page_is_one_page() -> None:
    lines = (REPO / "README.md").read_text().splitlines()
    assert 40 < len(lines) <= 120


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_to_a_file_and_a_heading(document) -> None:
    broken = []
    for link in document.links:
        target, _, anchor = link.partition("#")
        path = (document.path.parent / target).resolve() if target else document.path
        if not path.exists() or (anchor and anchor not in Document(path).anchors):
            broken.append(link)
    assert broken == []


def test_a_broken_link_is_noticed(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One head\n[a](gone.md) [b](#one-head) [c](#two) `[d](code.md)`\n")
    assert Document(page).links == ["gone.md", "#one-head", "#two"]
    assert Document(page).anchors == {"one-head"}


@EVERY
def test_every_command_of_the_package_is_there(document) -> None:
    named = {line.split()[1] for line in document.commands("r1reward")}
    named -= {"COMMAND", "NAME"}  # stand for any
    assert {name for name in named if not name.startswith("-") and not find(name)} == set()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@EVERY
def test_every_target_and_variable_of_make_is_there(document) -> None:
    makefile = (REPO / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) | {"TARGET"}
    variables = set(re.findall(r"^([A-Z_]+) *\?=", makefile, re.MULTILINE))
    for line in document.commands("make"):
        words = shlex.split(line)[1:]
        assert {word for word in words if "=" not in word} <= targets, line
        assert {word.partition("=")[0] for word in words if "=" in word} <= variables, line


def training_commands():
    """Every `make` line of the documents that composes a training configuration, once."""
    wanted = ("train", "sft", "show", "plan")
    lines = {line for document in CURRENT for line in document.commands("make")}
    return sorted(
        line
        for line in lines
        if line.split()[1] in wanted and not re.search(r"=\.\.\.|<|my_experiment", line)
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("line", training_commands())
def test_what_the_documents_train_composes(line, monkeypatch) -> None:
    words = shlex.split(line)[1:]
    command = make("-n", *words).replace("\\\n", "").rstrip().splitlines()[-1]
    overrides = [word for word in shlex.split(command) if "=" in word and word[0] != "-"]
    kept = [word for word in overrides if not word.startswith("resume=") and "EXP" not in word]
    assert compose_config(kept, config_name="sft" if words[0] == "sft" else "train")


@EVERY
def test_python_in_the_documents_parses_and_imports_what_is_there(document) -> None:
    import r1reward

    for code in document.blocks("python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module == "r1reward":
                assert {alias.name for alias in node.names} <= set(r1reward.__all__)


def test_the_page_of_layers_shows_the_floors_that_are_tested() -> None:
    [shown] = Document(REPO / "docs" / "design" / "layers.md").blocks("text")
    tested = re.search(
        r'^FLOORS = """$(.*?)^"""', (REPO / "tests/test_layout.py").read_text(), re.M | re.S
    )
    assert shown.split() == tested[1].split()


def test_troubleshooting_is_in_step_with_the_hints() -> None:
    written = script("troubleshooting")
    assert written.PAGE.read_text(encoding="utf-8") == written.page(), "run `make docs`"


@pytest.mark.parametrize(
    ("pattern", "phrases"),
    [
        (r"one two|\bThree\b", ["one two", "Three"]),
        (r"(loss|norm) (is|are) (nan|inf)", ["loss is nan"]),
        (r"FlashAttention\d? has|x_\d+\.pt", ["FlashAttention has", "x_N.pt"]),
        (r"connect to 'https?://", ["connect to 'http://"]),
    ],
)
def test_expressions_are_shown_as_words(pattern, phrases) -> None:
    found = script("troubleshooting").phrases(pattern)
    assert found == phrases
    assert all(re.search(pattern, phrase.replace("N", "7")) for phrase in found)


def built(out, settings):
    """Build the site with the environment of `make docs`."""
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [MKDOCS, "-m", "mkdocs", "build", "--strict", "--site-dir", out, "--config-file", "-"]
    return subprocess.run(
        command, cwd=REPO, env=env, input=settings, capture_output=True, text=True
    )


needs_mkdocs = pytest.mark.skipif(not MKDOCS.exists(), reason="needs `make docs` once")


@pytest.mark.slow
@needs_mkdocs
def test_the_site_builds_and_asks_nobody_for_anything(tmp_path) -> None:
    done = built(tmp_path, (REPO / "mkdocs.yml").read_text())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "core" / "index.html").is_file()
    loaded = re.compile(r'<(?:script|img|link)\b[^>]*(?:src|href)="(?:https?:)?//[^"]+"')
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    assert {page.name: found for page in pages if (found := loaded.findall(page.read_text()))} == {}
    with Chromium() as browser:
        page = browser.open(tmp_path / "index.html")
        assert [url for url in page.requests if not url.startswith("file://")] == []


@pytest.mark.slow
@needs_mkdocs
def test_the_build_fails_for_a_broken_link(tmp_path) -> None:
    settings = (REPO / "mkdocs.yml").read_text()
    docs = tmp_path / "docs"
    shutil.copytree(REPO / "docs", docs)
    with open(docs / "data.md", "a") as page:
        page.write("\n[nowhere](gone.md)\n")
    done = built(tmp_path / "site", settings.replace("docs_dir: docs", f"docs_dir: {docs}"))
    assert done.returncode != 0
    [warning] = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert "gone.md" in warning


def test_the_citation_names_the_paper() -> None:
    import yaml

    cited = yaml.safe_load((REPO / "CITATION.cff").read_text())
    assert cited["preferred-citation"]["url"].endswith("2505.02835")
    assert sys.modules["r1reward"].__version__ == cited["version"]


def test_hooks_before_a_commit_call_what_is_there() -> None:
    import yaml

    [repository] = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        paths = [word for word in shlex.split(hook["entry"]) if "/" in word]
        assert [word for word in paths if not Path(REPO, word).exists()] == []


@EVERY
def test_files_that_are_named_are_there(document) -> None:
    if document.name == "docs/extend.md":
        pytest.skip("a contract test makes its files")
    ours = re.compile(
        r"(?:r1reward|conf|docs|examples|recipes|requirements|tests|tools|eval)/[\w./-]*"
    )
    spans = [span for span in document.spans if ours.fullmatch(span)]
    assert [span for span in spans if not (REPO / span).exists()] == []
