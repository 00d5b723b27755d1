"""GPUs are picked once, only free ones, and too few is one message. `nvidia-smi` is a script that prints a table."""

import os
import subprocess
import sys

import pytest

from pipelines.launchers.gpus import TooFewGpusError, claim_gpus, list_devices

SMI = """#!/bin/sh
case "$1" in
*compute-apps*) printf 'GPU-c, 4242\\n' ;;
*) printf '0, GPU-a, 3, 81920\\n1, GPU-b, 40000, 81920\\n2, GPU-c, 3, 81920\\n3, GPU-d, [N/A], [N/A]\\n' ;;
esac
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Four devices: a and d are free, b is full, c computes."""
    path = tmp_path / "bin" / "nvidia-smi"
    path.parent.mkdir()
    path.write_text(SMI)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return path


def test_busy_devices_are_told_apart(smi):
    assert [(d.uuid, d.busy) for d in list_devices()] == [
        ("GPU-a", False),
        ("GPU-b", True),
        ("GPU-c", True),
        ("GPU-d", False),
    ]


def test_two_launchers_never_pick_the_same_device(smi, tmp_path):
    with claim_gpus(1, "rl", tmp_path) as first, claim_gpus(1, "rl", tmp_path) as second:
        assert (first.visible, second.visible) == ("GPU-a", "GPU-d")
        with pytest.raises(TooFewGpusError), claim_gpus(1, "rl", tmp_path):
            pass
    with claim_gpus(2, "rl", tmp_path) as again:
        assert again.visible == "GPU-a,GPU-d"


def test_a_killed_launcher_gives_its_devices_back(smi, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from pipelines.launchers.gpus import claim_gpus\n"
        "with claim_gpus(2, 'rl', Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(TooFewGpusError), claim_gpus(1, "rl", tmp_path):
        pass
    other.kill()
    other.wait()
    with claim_gpus(2, "rl", tmp_path) as claim:
        assert len(claim.devices) == 2


def test_what_cuda_visible_devices_hides_is_never_picked(smi, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    with claim_gpus(1, "rl", tmp_path) as claim:
        assert claim.visible == "GPU-d"


def test_too_few_is_one_message_with_value_and_remedy(smi, tmp_path):
    message = r"asks for 8 GPUs in \[rl\], 2 are free of 4: lower num_gpus in \[rl\]"
    with pytest.raises(TooFewGpusError, match=message), claim_gpus(8, "rl", tmp_path):
        pass


def test_without_a_driver_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TooFewGpusError, match=r"asks for 1 GPUs.*0 are free of 0"), claim_gpus(1, "sft", tmp_path):
        pass
    with claim_gpus(0, "sft", tmp_path) as claim:
        assert claim.visible == ""
