"""`cluster/slurm.sbatch` on two hosts. Slurm cannot run here: what the file asks of it is stood in for, over ssh."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.hosts import Host, running_hosts
from tests.conftest import SMALL_SWEEP

pytestmark = pytest.mark.cluster

_CLUSTER = Path(__file__).parents[2] / "cluster"
# As srun: in this folder and environment, on all nodes or on the first one, ending as the last that fails.
_SRUN = """\
#!/bin/bash
nodes="{addresses}"
for (( ; ; )); do
    case $1 in --nodes=1) nodes=${{nodes%% *}}; shift ;; --*) shift ;; *) break ;; esac
done
export -p > {folder}/environment
running=()
for node in $nodes; do
    ssh -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "root@$node" \\
        ". {folder}/environment; cd $PWD; exec $(printf '%q ' "$@")" &
    running+=($!)
done
code=0
for each in "${{running[@]}}"; do wait "$each" || code=$?; done
exit "$code"
"""
_SCONTROL = """\
#!/bin/bash
printf '%s\\n' {names}
"""


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Host]]:
    """Two that know each other's names, and have the token."""
    token, names = secrets.token_hex(32), tmp_path / "names"
    with running_hosts(tmp_path, 2) as hosts:
        names.write_text("127.0.0.1 localhost\n" + "".join(f"{each.address} {each.name}\n" for each in hosts))
        for each in hosts:
            each.run(f"mount --bind {names} /etc/hosts; mkdir ~/.ray; cat > ~/.ray/auth_token", input=token)
        yield hosts


def test_a_job_has_a_cluster_of_its_nodes_and_goes_on_with_a_run(
    nodes: list[Host], corpus: Path, small_model: str, tmp_path: Path
) -> None:
    project, slurm, out = tmp_path / "project", tmp_path / "slurm", tmp_path / "run"
    project.mkdir()
    slurm.mkdir()
    (project / ".venv").symlink_to(Path(sys.executable).parents[1])
    (project / "cluster").symlink_to(_CLUSTER)
    (project / "small.yaml").write_text(SMALL_SWEEP)
    (project / "default.yaml").write_text("{epochs: 1, batch_size: 8}")
    addresses = " ".join(each.address for each in nodes)
    for name, text in (
        ("srun", _SRUN.format(addresses=addresses, folder=slurm, key=nodes[0].key)),
        ("scontrol", _SCONTROL.format(names=" ".join(each.name for each in nodes))),
    ):
        (slurm / name).write_text(text)
        (slurm / name).chmod(0o755)
    own = f"PATH={slurm}:{os.defpath} SLURM_JOB_NODELIST=all SLURM_NNODES=2 SLURM_CPUS_PER_TASK=2"

    def run(*arguments: object) -> None:
        done = nodes[0].run(f"cd {project} && {own} bash cluster/slurm.sbatch {' '.join(map(str, arguments))}")
        assert done.returncode == 0, done.stdout + done.stderr

    run(
        "small.yaml", "--data", corpus, "--model", small_model, "--default", "default.yaml", "--trials", 2, "--out", out
    )
    assert json.loads((out / "optimal_config.json").read_text())["trials"] == 2
    for each in nodes:
        assert list((each.home.parent / "ray").glob("session_2*/artifacts/*/sweep/working_dirs/trial-*")), each.name
    run("resume", out, "--trials", 3)
    assert json.loads((out / "optimal_config.json").read_text())["trials"] == 3
