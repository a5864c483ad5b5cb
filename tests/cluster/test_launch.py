"""`cluster/onprem.yaml` launches a cluster with a token and ends it; `test_onprem.py` runs a sweep on one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.launching import launched_cluster


@pytest.mark.cluster
def test_the_launch_file_starts_a_cluster_of_two_hosts_with_a_token_and_ends_it(tmp_path: Path) -> None:
    with launched_cluster(tmp_path, 2) as launched:
        head = launched.hosts[0]
        status = f"~/venv/bin/ray status --address {head.address}:6379"
        assert "2.0 GPU" in head.run(f"RAY_AUTH_MODE=token {status}").stdout
        refused = head.run(f"RAY_AUTH_MODE=disabled {status}")
        assert refused.returncode != 0
        assert "2.0 GPU" not in refused.stdout
        listed = head.run("ps axwwo args").stdout
        assert "raylet" in listed
        assert launched.token not in listed
