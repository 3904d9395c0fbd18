"""What a command says, and how it ends, when its input or the disk cannot be used."""

import errno
import os
from pathlib import Path

import pytest

from r1reward.cli.command import user_errors
from r1reward.core.errors import R1RewardError, UserError


def ended(capsys, action) -> tuple[int, str]:
    """Run ``action`` as a command does; return its exit status and the line that it printed."""
    with pytest.raises(SystemExit) as exited, user_errors():
        action()
    shown = capsys.readouterr()
    assert shown.out == ""
    return exited.value.code, shown.err


def fail(error: BaseException):
    def action() -> None:
        raise error

    return action


def test_input_that_cannot_be_used_is_one_message_and_status_2(capsys) -> None:
    status, said = ended(capsys, fail(UserError("a.jsonl:3: label=[3]; give 1 or 2")))
    assert (status, said) == (2, "error a.jsonl:3: label=[3]; give 1 or 2\n")


def test_an_interruption_is_status_130(capsys) -> None:
    assert ended(capsys, fail(KeyboardInterrupt()))[0] == 130


def test_a_folder_below_a_file_is_one_message(capsys, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    status, said = ended(capsys, lambda: os.mkdir(folder))
    assert status == 2
    assert said.startswith(f"error {folder}: ")
    assert "file, not a folder" in said


def test_a_full_disk_is_one_message(capsys) -> None:
    def fill() -> None:
        with open("/dev/full", "wb", buffering=0) as disk:
            disk.write(b"x")

    status, said = ended(capsys, fill)
    assert status == 2
    assert "disk is full" in said


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_takes_nothing_is_one_message(number, capsys) -> None:
    status, said = ended(capsys, fail(OSError(number, os.strerror(number), "out/a.parquet")))
    assert status == 2
    assert said.startswith("error out/a.parquet: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), FileNotFoundError(errno.ENOENT, "gone", "x"), R1RewardError("x")]
)
def test_any_other_error_keeps_its_trace(error) -> None:
    with pytest.raises(type(error)), user_errors():
        raise error
