"""Make sure that every node on which trials run sees the run folder, before the first one costs anything."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.run.patience import PATIENCE_S

if TYPE_CHECKING:  # each node's first word waits for what is imported here
    from stt_tune.run.cluster import TrialResources
    from stt_tune.run.folder import RunFolder

_PATIENCE_S = 60.0
_SETTLING_S = 3.0  # what one node writes, NFS may show others only so much later


@dataclass(frozen=True)
class Marker:
    """A file in the run folder by which nodes know that they see it.

    Attributes:
        path: The file.
        seen_by: Ids of the nodes that have seen it; for them it is gone for a while if they do not.
    """

    path: Path
    seen_by: tuple[str, ...]


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
def visible(folder: RunFolder, resources: TrialResources) -> Iterator[Marker | None]:
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
        seen_by, blind = _ask_all(marker, resources)
        if blind:
            raise SettingsError(_describe(folder.path, blind))
        yield Marker(marker, tuple(seen_by))
    finally:
        with contextlib.suppress(OSError):  # something else lies there now, or nothing can be written any more
            marker.unlink(missing_ok=True)
            if not was_there:
                folder.path.rmdir()


def check_seen(marker: Marker) -> None:
    """Make sure, in a worker, that its node sees the run folder; wait for one that is gone for a while.

    Raises:
        SettingsError: It does not.
    """
    import ray

    is_known = ray.get_runtime_context().get_node_id() in marker.seen_by
    if found := _look(str(marker.path), PATIENCE_S if is_known else _SETTLING_S):
        address = ray.util.get_node_ip_address()
        raise SettingsError(_describe(marker.path.parent, {address: found}))


def _ask_all(marker: Path, resources: TrialResources) -> tuple[list[str], dict[str, str]]:
    """Ask all nodes at once; give the ids of those that see the file, and names of the others with what they found."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from stt_tune.run.cluster import find_fitting

    own = ray.get_runtime_context().get_node_id()
    others = {*find_fitting(resources)} - {own}
    names = {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["NodeID"] in others
    }
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    asked = {
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(str(marker)): node
        for node in names
    }
    if not asked:
        return [own], {}
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE_S)
    found = {}
    for each in answered:
        try:
            found[asked[each]] = ray.get(each)
        except ray.exceptions.RayError:  # it left the cluster
            silent.append(each)
    for each in silent:
        ray.cancel(each)
        say(f"node {names[asked[each]]} did not say whether it sees {marker.parent}; its first trial will")
    seen_by = [own, *(node for node, problem in found.items() if not problem)]
    return seen_by, {names[node]: problem for node, problem in found.items() if problem}


def _look(marker: str, patience_s: float = _SETTLING_S) -> str:
    """What is wrong with the folder that the file lies in, as this node sees it; empty if nothing is."""
    folder, end = Path(marker).parent, time.monotonic() + patience_s
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
