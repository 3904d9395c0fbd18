"""Noise goes to the log, from every kind of writer; what is meant for a person does not."""

import os
import subprocess
import sys
import textwrap

import pytest

from r1reward.machine.output import quiet

PROGRAM = textwrap.dedent(
    """
    import os, subprocess, sys
    from pathlib import Path
    from r1reward.machine.output import quiet

    print("before")
    with quiet(Path(sys.argv[1])) as shown:
        print("noise of print")
        print("noise of an error", file=sys.stderr)
        os.write(1, b"noise of compiled code\\n")
        subprocess.run(["echo", "noise of a child"])
        print("for a person", file=shown)
        if len(sys.argv) > 2:
            raise RuntimeError("broken")
    print("after")
    """
)
NOISE = ("noise of print", "noise of an error", "noise of compiled code", "noise of a child")


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True
    )


def test_only_what_is_meant_for_a_person_is_shown(tmp_path) -> None:
    log = tmp_path / "noise.log"
    log.write_text("of an earlier session\n")
    done = run(log)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "before\nfor a person\nafter\n"
    assert done.stderr == ""
    first, *rest = log.read_text().splitlines()
    assert first == "of an earlier session"
    assert sorted(rest) == sorted(NOISE)


@pytest.mark.parametrize("noise", NOISE)
def test_an_error_is_shown_and_names_the_log(noise, tmp_path) -> None:
    done = run(tmp_path / "noise.log", "break")
    assert done.returncode == 1
    assert "RuntimeError: broken" in done.stderr
    assert str(tmp_path / "noise.log") in done.stderr
    assert noise not in done.stdout + done.stderr


def test_a_person_sees_each_line_at_once_and_nothing_stays_redirected(tmp_path, capfd) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with quiet(tmp_path / "noise.log") as shown:
        print("for a person", file=shown)
        assert capfd.readouterr().out == "for a person\n"
    assert len(os.listdir("/proc/self/fd")) == descriptors
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"
