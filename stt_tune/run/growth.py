"""Find out what the connected cluster can grow to, where an autoscaler starts nodes as they are needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
import yaml
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.worker import global_worker
from ray.autoscaler.v2.sdk import get_cluster_status

from stt_tune.run.nodes import Node

_ADDRESS, _CONFIG = "--gcs-address=", "--autoscaling-config="


@dataclass(frozen=True)
class Growth:
    """What an autoscaler can add.

    Attributes:
        is_possible: Whether there is one.
        kinds: The kinds of nodes that it starts, those left out that it says nothing of; None: nothing can be told.
        most: How many nodes it starts of all kinds together.
    """

    is_possible: bool = False
    kinds: tuple[Node, ...] | None = ()
    most: int = 0


def find_growth() -> Growth:
    """What the connected cluster can grow to.

    Ray tells its drivers nothing of it. The autoscaler of a cluster that `ray up` has launched runs on the head, as
    sweeps do, and its command line names the file that it follows. Elsewhere, as under KubeRay, there is but to see
    that there is one.
    """
    address = ray.get_runtime_context().gcs_address
    path = _find_config(address)
    try:
        if path is not None:
            return read_growth(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError:
        return Growth(is_possible=True, kinds=None)  # another user's
    return Growth(is_possible=True, kinds=None) if _is_managed(address) else Growth()


def _find_config(address: str) -> Path | None:
    """The file that the autoscaler of the cluster follows, if it runs on this machine."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if f"{_ADDRESS}{address}" in command:
            for part in command:
                if part.startswith(_CONFIG):
                    return Path(part.removeprefix(_CONFIG)).expanduser()
    return None


def read_growth(config: Mapping[str, Any]) -> Growth:
    """Read the file that an autoscaler follows."""
    most = int(config.get("max_workers", 0))
    kinds = tuple(
        Node.from_resources(kind["resources"], count=min(int(kind.get("max_workers", most)), most))
        for name, kind in config.get("available_node_types", {}).items()
        if name != config.get("head_node_type") and kind.get("resources")
    )
    return Growth(is_possible=True, kinds=tuple(kind for kind in kinds if kind.count), most=most)


def _is_managed(address: str) -> bool:
    """Whether an autoscaler has a say in the nodes: it has given them kinds.

    Ray's monitor runs in every cluster; where it only watches, nodes are called `node_ID`.
    """
    status = get_cluster_status(address)
    kinds = {node.node_id: node.ray_node_type_name for node in [*status.active_nodes, *status.idle_nodes]}
    # where the autoscaler of version 1 says it
    worker: Any = global_worker
    written = worker.gcs_client.internal_kv_get(DEBUG_AUTOSCALING_STATUS.encode(), None)
    report = json.loads(written).get("autoscaler_report") if written else None
    kinds |= (report or {}).get("node_type_mapping") or {}
    return any(kind != f"node_{name}" for name, kind in kinds.items())
