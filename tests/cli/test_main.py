"""The command ``r1reward``: what it finds, what it says, and what it starts."""

import re
import shutil
import subprocess
import sys

import pytest

from r1reward import __version__
from r1reward.cli import catalog, main
from r1reward.cli.catalog import Command, find, spoken
from r1reward.config.compose import REPO

BASH = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
read -ra COMP_WORDS <<< "$2"
_r1reward
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def typed(monkeypatch, capsys):
    """Type a command line; return its status and what it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/r1reward", *arguments])
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
        status = 0
        try:
            main.main()
        except SystemExit as ended:
            status = ended.code
        return status, *capsys.readouterr()

    return run


def listed(overview: str) -> list[str]:
    return re.findall(r"^  ([a-z-]+) +\S", overview, re.MULTILINE)


def test_plain_r1reward_lists_every_command_with_its_purpose(typed) -> None:
    status, printed, _ = typed()
    assert status == 0
    assert typed("--help") == (0, printed, "")
    with_main = [
        prefix + path.stem.replace("_", "-")
        for prefix, folder in (("", "tools"), ("bench-", "tools/bench"))
        for path in (REPO / folder).glob("*.py")
        if "def main(" in path.read_text()
    ]
    assert set(with_main) < set(listed(printed))
    assert {"train", "sft", "eval", "compare", "fetch", "export", "recipe"} < set(listed(printed))
    assert len(listed(printed)) == len(set(listed(printed)))
    assert "  train                Train a reward model\n" in printed


def test_a_file_in_tools_is_a_command(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path)
    (tmp_path / "tools" / "bench").mkdir(parents=True)
    text = '"""Say hello: ``r1reward say-hello``."""\n\n\ndef main() -> None:\n    pass\n'
    (tmp_path / "tools" / "say_hello.py").write_text(text)
    (tmp_path / "tools" / "bench" / "hello.py").write_text(text)
    (tmp_path / "tools" / "helper.py").write_text('"""Nobody calls it."""\n')
    found = {group: [one.name for one in ones] for group, ones in catalog.catalog().items() if ones}
    assert found == {"benchmarks": ["bench-hello"], "more": ["say-hello"]}
    command = find("say-hello")
    assert command == Command("say-hello", "r1reward.tools.say_hello")
    assert command.about == "Say hello"
    assert find("helper") is None


@pytest.mark.parametrize("name", ["say_hello", "../train", "bench.train", "", "tools"])
def test_what_is_no_name_is_no_command(name) -> None:
    assert find(name) is None


def test_an_unknown_command_names_the_nearest(typed) -> None:
    status, printed, said = typed("tran")
    assert (status, printed) == (2, "")
    assert said == "error unknown command tran: did you mean train?\n"
    assert "`r1reward --help` lists them all" in typed("xyzzy")[2]


def test_the_version_is_that_of_the_package(typed) -> None:
    assert typed("--version") == (0, f"r1reward {__version__}\n", "")


def test_help_has_the_docstring_the_groups_and_the_keys(typed) -> None:
    status, printed, _ = typed("validate", "--help")
    assert status == 0
    assert printed.startswith("Check preference records and list every bad row: r1reward validate")
    options = " ".join(sorted(path.stem for path in (REPO / "conf" / "data").glob("*.yaml")))
    assert f"  data   {options}\n" in printed
    assert "near_duplicates: 0.9\n" in printed
    assert "hydra:" not in printed
    assert "defaults:" not in printed
    # A command that parses its arguments itself has a usage, under its own name.
    status, printed, _ = typed("export", "--help")
    assert status == 0
    assert printed.startswith("usage: r1reward export ")


def test_a_command_is_started_under_its_name(typed) -> None:
    status, _, said = typed("export", "--no-such-flag")
    assert status == 2
    assert said.startswith("usage: r1reward export ")
    # As `python -m` leaves it, so that a sweep can start the module again.
    assert sys.modules["__main__"].__spec__.name == "r1reward.run.export"


@pytest.mark.parametrize(
    ("typed_words", "given"),
    [
        (["ablation", "run.seed=0,1"], ["--multirun", "sweep=ablation", "run.seed=0,1"]),
        (["run.seed=0,1"], ["--multirun", "run.seed=0,1"]),
        ([], ["--multirun"]),
    ],
)
def test_a_sweep_is_a_training_of_many_runs(typed, monkeypatch, typed_words, given) -> None:
    import r1reward.train

    seen = []
    monkeypatch.setattr(r1reward.train, "main", lambda: seen.extend(sys.argv))
    assert typed("sweep", *typed_words)[0] == 0
    assert seen == ["r1reward train", *given]
    assert sys.modules["__main__"].__spec__.name == "r1reward.train"


def test_a_module_is_spoken_of_by_its_command() -> None:
    assert spoken("r1reward.train") == ["r1reward", "train"]
    assert spoken("r1reward.tools.bench.data") == ["r1reward", "bench-data"]
    assert spoken("timeit") == ["python", "-m", "timeit"]


def test_every_command_that_a_text_names_is_one() -> None:
    folders = ("r1reward", "eval", "tools", "recipes", "conf")
    files = [REPO / "README.md", *(path for one in folders for path in (REPO / one).rglob("*.*"))]
    names = {
        name
        for path in files
        if path.suffix in (".py", ".yaml", ".md")
        for name in re.findall(r"`r1reward ([a-z][a-z-]+)", path.read_text())
    }
    assert {"train", "eval", "validate"} < names
    assert [name for name in names if find(name) is None] == []


# --- completion


@pytest.fixture
def script(typed, tmp_path):
    """Write the completion of a shell to a file."""

    def write(shell):
        status, printed, _ = typed("completion", shell)
        assert status == 0
        path = tmp_path / shell
        path.write_text(printed)
        return path

    return write


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("r1reward valid", ["validate"]),
        ("r1reward train experiment=gr", ["grpo"]),  # bash completes what follows the last =
        ("r1reward eval judge=hf protocol=rel", ["released"]),
        ("r1reward mix sel", ["select=all", "select=rl", "select=sft"]),
        ("r1reward show cluster=c", ["cpu"]),
        ("r1reward compare x", []),  # a file: bash's own
    ],
)
def test_bash_completes_commands_and_options(script, line, choices) -> None:
    command = ["bash", "-c", BASH, "bash", str(script("bash")), line]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == choices


@pytest.mark.parametrize(("shell", "check"), [("zsh", "-n"), ("fish", "--no-execute")])
def test_other_shells_can_read_theirs(script, shell, check) -> None:
    path = script(shell)
    assert "experiment=grpo" in path.read_text()
    if shutil.which(shell):
        subprocess.run([shell, check, str(path)], check=True)
