"""Which GPUs a process may see: free ones, each promised to one process at a time."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.launchers.locks import try_lock

FREE_SHARE = 0.05
"""A device with more of its memory in use than this is busy (an idle one holds some for its driver)."""
LOCK_FOLDER = Path(tempfile.gettempdir()) / "toolpath-gpus"


class TooFewGpusError(ValueError):
    """A recipe asks for more GPUs than are free."""


@dataclass(frozen=True)
class Device:
    """One GPU as `nvidia-smi` sees it."""

    index: str
    uuid: str
    used_mib: int
    total_mib: int
    busy: bool
    """Whether a process computes on it, or more than FREE_SHARE of its memory is in use."""


@dataclass(frozen=True)
class Claim:
    """GPUs that this process holds for one it starts."""

    devices: tuple[Device, ...]
    lock_fds: tuple[int, ...]

    @property
    def visible(self) -> str:
        """The value of CUDA_VISIBLE_DEVICES: empty for none."""
        return ",".join(device.uuid for device in self.devices)


def _query(*options: str) -> list[list[str]]:
    try:
        done = subprocess.run(
            ["nvidia-smi", *options, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=60
        )
    except FileNotFoundError:  # no driver: no GPU
        return []
    if done.returncode != 0:  # it prints its reason where the figures should be (no driver loaded, say)
        return []
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if "," in line]


def _mib(text: str) -> int:
    """Some devices state no memory of their own (`[N/A]`)."""
    return int(text) if text.isdigit() else 0


def list_devices() -> list[Device]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES does not hide; none where there is no `nvidia-smi`."""
    computing = {uuid for uuid, _ in _query("--query-compute-apps=gpu_uuid,pid")}
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = []
    for index, uuid, used, total in _query("--query-gpu=index,uuid,memory.used,memory.total"):
        if allowed is None or {index, uuid} & set(allowed.split(",")):
            busy = uuid in computing or _mib(used) > FREE_SHARE * _mib(total)
            devices.append(Device(index, uuid, _mib(used), _mib(total), busy))
    return devices


@contextmanager
def claim_gpus(num_gpus: int, stage: str, lock_folder: Path = LOCK_FOLDER) -> Iterator[Claim]:
    """Hold `num_gpus` free devices for a process of `stage` (its recipe table). Raises TooFewGpusError."""
    devices = list_devices() if num_gpus else []
    held: list[tuple[Device, int]] = []
    try:
        for device in devices:
            if len(held) < num_gpus and not device.busy:
                lock = try_lock(lock_folder / f"{device.uuid}.lock")
                held += [(device, lock)] if lock is not None else []
        if len(held) < num_gpus:
            raise TooFewGpusError(
                f"recipe asks for {num_gpus} GPUs in [{stage}], {len(held)} are free of {len(devices)}: "
                f"lower num_gpus in [{stage}] (--set {stage}.num_gpus={len(held)}), wait until others are done, "
                f"or run on a machine with {num_gpus} free GPUs"
            )
        yield Claim(tuple(device for device, _ in held), tuple(lock for _, lock in held))
    finally:
        for _, lock in held:
            os.close(lock)
