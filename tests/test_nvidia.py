"""r1reward.nvidia: GPUs that this process may use, from what nvidia-smi says."""

import pytest

from r1reward.nvidia import ask, count_gpus, values

LINES = ["0, GPU-aa11, NVIDIA H200\n", "1, GPU-ab22, NVIDIA H200\n", "2, GPU-cc33, NVIDIA L40S\n"]
ALL = ["NVIDIA H200", "NVIDIA H200", "NVIDIA L40S"]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ALL),
        ("", []),
        ("2", ["NVIDIA L40S"]),
        ("0, 2", ["NVIDIA H200", "NVIDIA L40S"]),
        ("0,0", ["NVIDIA H200"]),
        ("GPU-ab", ["NVIDIA H200"]),
        ("GPU-cc33", ["NVIDIA L40S"]),
        ("7", []),
        ("MIG-1234", ALL),
    ],
)
def test_gpus_are_those_that_cuda_visible_devices_names(visible, expected, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert values(LINES) == expected


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Give the machine an ``nvidia-smi`` of this body; None: none."""

    def install(body: str | None) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if body is not None:
            command = tmp_path / "nvidia-smi"
            command.write_text(f"#!/bin/sh\n{body}\n")
            command.chmod(0o755)
        count_gpus.cache_clear()

    yield install
    count_gpus.cache_clear()


def test_gpus_are_counted(smi) -> None:
    smi("\n".join(f"echo '{line.strip()}'" for line in LINES))
    assert count_gpus() == 3
    assert ask("name") == ALL


@pytest.mark.parametrize("body", [None, "echo 'no devices were found'; exit 6"])
def test_a_machine_without_a_driver_has_none(body, smi) -> None:
    smi(body)
    assert count_gpus() == 0
