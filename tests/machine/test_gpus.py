"""r1reward.machine.gpus: GPUs that this process may use, from what nvidia-smi says."""

import pytest

from r1reward.config.cluster import resolve_cluster
from r1reward.core.errors import ConfigError
from r1reward.machine import gpus as nvidia
from r1reward.machine.gpus import ask, count_gpus

THREE = """
echo '0, GPU-aa11, NVIDIA H200'
echo '1, GPU-ab22, NVIDIA A100'
echo '2, GPU-cc33, NVIDIA L40S'
"""
ALL = ["NVIDIA H200", "NVIDIA A100", "NVIDIA L40S"]


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Give the machine an ``nvidia-smi`` of this body; None: none."""

    def install(body: str | None, visible: str | None = None) -> None:
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin" if body else str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        if body is not None:
            command = tmp_path / "nvidia-smi"
            command.write_text(f"#!/bin/sh\n{body}\n")
            command.chmod(0o755)
        ask.cache_clear()

    yield install
    ask.cache_clear()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ALL),
        ("", []),
        ("2", ALL[2:]),
        ("2, 0", [ALL[2], ALL[0]]),  # the order in which CUDA numbers them
        ("0,0", ALL[:1]),
        ("GPU-ab", [ALL[1]]),
        ("0,-1,2", ALL[:1]),  # CUDA stops at the first that is not there
        ("7", []),
        ("MIG-1234", ALL),
    ],
)
def test_gpus_are_those_that_cuda_visible_devices_names(visible, expected, smi) -> None:
    smi(THREE, visible)
    assert list(ask("name")) == expected
    assert count_gpus() == len(expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, 0),
        ("echo 'no devices were found'; exit 6", 0),
        ("echo No devices were found", 0),
        (f"{THREE}echo 'WARNING: infoROM is corrupted at gpu 0000:0B:00.0'; echo", 3),
    ],
)
def test_what_is_no_gpu_does_not_count(body, expected, smi) -> None:
    smi(body)
    assert count_gpus() == expected


def test_a_driver_that_does_not_answer_is_not_taken_for_none(smi, monkeypatch) -> None:
    smi("exec sleep 60")
    monkeypatch.setattr(nvidia, "_SECONDS", 0.2)
    with pytest.raises(ConfigError, match="cluster="):
        resolve_cluster([])
