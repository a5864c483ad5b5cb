"""Make sure that every node on which trials run sees the run folder, before the first one costs anything."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stt_tune.errors import SettingsError
from stt_tune.progress import say

if TYPE_CHECKING:  # each node's first word waits for what is imported here
    from stt_tune.run.cluster import TrialResources
    from stt_tune.run.folder import RunFolder

_PATIENCE_S = 60.0
_SETTLING_S = 3.0  # what one node writes, NFS may show others only so much later


def check_visible(folder: RunFolder, resources: TrialResources) -> None:
    """Make sure that every node on which trials can run now sees the folder.

    Args:
        folder: Where the run lies, or is to.
        resources: What a trial gets.

    Raises:
        SettingsError: A node does not see it; nothing is left in the folder then.
    """
    with visible(folder, resources):
        pass


@contextlib.contextmanager
def visible(folder: RunFolder, resources: TrialResources) -> Iterator[Path | None]:
    """Have a file in the folder inside the block by which nodes know that they see it; first, all of them look.

    Must be called while connected to Ray.

    Args:
        folder: Where the run lies, or is to.
        resources: What a trial gets.

    Yields:
        The file, for `check_seen` on nodes that join later; None where no node has to see the folder.

    Raises:
        SettingsError: A node does not see the folder, or it cannot be written.
    """
    if folder.url:  # workers send what they write
        yield None
        return
    marker = folder.path / f".driver-{uuid.uuid4().hex}"
    was_there = folder.path.exists()
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        raise SettingsError(f"{folder.path}: must be a folder that can be written ({error.strerror}).") from error
    try:
        blind = _find_blind(marker, resources)
        if blind:
            raise SettingsError(_describe(folder.path, blind))
        yield marker
    finally:
        with contextlib.suppress(OSError):  # something else lies there now, or nothing can be written any more
            marker.unlink(missing_ok=True)
            if not was_there:
                folder.path.rmdir()


def check_seen(marker: Path) -> None:
    """Make sure, in a worker, that its node sees the run folder.

    Raises:
        SettingsError: It does not.
    """
    import ray

    if found := _look(str(marker)):
        address = ray.util.get_node_ip_address()
        raise SettingsError(_describe(marker.parent, {address: found}))


def _find_blind(marker: Path, resources: TrialResources) -> dict[str, str]:
    """Ask all nodes at once; give those that do not see the file, with what they found."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    own = ray.get_runtime_context().get_node_id()
    names = {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != own and _is_enough(node["Resources"], resources)
    }
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    asked = {
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(str(marker)): name
        for node, name in names.items()
    }
    if not asked:
        return {}
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE_S)
    found = {}
    for each in answered:
        try:
            found[asked[each]] = ray.get(each)
        except ray.exceptions.RayError:  # it left the cluster
            silent.append(each)
    for each in silent:
        ray.cancel(each)
        say(f"node {asked[each]} did not say whether it sees {marker.parent}; its first trial will")
    return {name: problem for name, problem in found.items() if problem}


def _is_enough(there: Mapping[str, Any], resources: TrialResources) -> bool:
    return bool(there.get("CPU", 0) >= resources.cpus and there.get("GPU", 0) >= resources.gpus)


def _look(marker: str) -> str:
    """What is wrong with the folder that the file lies in, as this node sees it; empty if nothing is."""
    folder, end = Path(marker).parent, time.monotonic() + _SETTLING_S
    try:
        while not Path(marker).exists():
            if time.monotonic() > end:
                return "another folder of that name" if folder.is_dir() else "no such folder"
            time.sleep(0.2)
    except PermissionError:
        return "a folder that it may not read"
    return "" if os.access(folder, os.W_OK) else "a folder that it may not write"


def _describe(folder: Path, blind: Mapping[str, str]) -> str:
    told = ", ".join(f"{name} found {problem}" for name, problem in blind.items())
    return (
        f"--out {folder}: must lie where every node of the cluster sees it, and {told}. Name a folder on a disk that "
        "all nodes share (NFS), or a URL such as s3://bucket/runs/NAME."
    )
