"""The files in `cluster/`: against the schemas of Ray and KubeRay, and by the rules that hold for all of them."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.ray_head import BIN

_ROOT = Path(__file__).parents[2]
_CLUSTER = _ROOT / "cluster"
_LAUNCHED_BY_RAY = ("aws.yaml", "gcp.yaml", "onprem.yaml")
_FILES = (*_LAUNCHED_BY_RAY, "kuberay-rayjob.yaml", "slurm.sbatch")
_NOT_OURS = ("kubectl", "sbatch", "export")


def test_all_launch_files_are_known() -> None:
    assert {path.name for path in _CLUSTER.iterdir() if path.is_file()} == {*_FILES, "run_sweep.py"}


@pytest.mark.parametrize("name", _LAUNCHED_BY_RAY)
def test_ray_takes_the_file(name: str) -> None:
    config = yaml.safe_load((_CLUSTER / name).read_text())
    validate_config(prepare_config(config))
    mounts = {local for local in config["file_mounts"].values() if not local.startswith("~")}
    assert all((_ROOT / local).exists() for local in mounts)


def test_kuberay_takes_the_file() -> None:
    # v1 of the custom resource as KubeRay's operator defines it (Apache 2.0), without its descriptions
    schema = json.loads(gzip.decompress(Path(__file__).with_name("rayjob_schema.json.gz").read_bytes()))
    job = yaml.safe_load((_CLUSTER / "kuberay-rayjob.yaml").read_text())
    jsonschema.validate(job, schema)
    assert list(_find_unknown(job, schema)) == []
    del job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    with pytest.raises(jsonschema.ValidationError, match="'template' is a required property"):
        jsonschema.validate(job, schema)


def _find_unknown(found: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Fields that Kubernetes would drop without a word."""
    if isinstance(found, list):
        for each in found:
            yield from _find_unknown(each, schema.get("items", {}), f"{where}[]")
    if not isinstance(found, dict) or "properties" not in schema:
        return
    for key, value in found.items():
        if key in schema["properties"]:
            yield from _find_unknown(value, schema["properties"][key], f"{where}.{key}")
        elif where or key not in ("apiVersion", "kind", "metadata"):
            yield f"{where}.{key}"


def test_slurm_takes_the_file() -> None:
    assert subprocess.run(["bash", "-n", _CLUSTER / "slurm.sbatch"]).returncode == 0
    options = _run("symmetric-run", "--help") + _run("start", "--help")
    script = (_CLUSTER / "slurm.sbatch").read_text()
    for option in re.findall(r" (--[a-z-]+)", script[script.index("symmetric-run") :]):
        assert option in options


@pytest.mark.parametrize("name", _FILES)
def test_the_commands_in_the_header_are_three_and_exist(name: str) -> None:
    commands = _read_commands(name)
    assert len(commands) == 3
    for command in commands:
        program, verb, *rest = command.split()
        assert program.removeprefix(".venv/bin/") == "ray" or program in _NOT_OURS, command
        if program.endswith("ray"):
            usage = _run(verb, "--help")
            for option in (each for each in rest[: rest.index("--") if "--" in rest else None] if each[0] == "-"):
                assert option in usage, command
        for path in re.findall(r"(?:cluster|configs)/[\w.-]+", command):
            assert (_ROOT / path).is_file(), command


@pytest.mark.parametrize(("name", "rights"), [("aws.yaml", "IamInstanceProfile"), ("gcp.yaml", "serviceAccounts")])
def test_where_machines_share_no_disk_the_run_lies_in_a_bucket_that_all_may_write_to(name: str, rights: str) -> None:
    assert re.search(r" --data (s3|gs)://\S+ --out \1://\S+ --model \S+$", _read_commands(name)[-1])
    types = yaml.safe_load((_CLUSTER / name).read_text())["available_node_types"]
    assert len(types) == 3
    assert all(rights in each["node_config"] for kind, each in types.items() if kind != "head")


def _read_commands(name: str) -> list[str]:
    header = [line for line in (_CLUSTER / name).read_text().splitlines() if line.startswith("#")]
    return [line[4:] for line in header if line.startswith("#   ")]


def _run(*command: str) -> str:
    done = subprocess.run([BIN / "ray", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", _FILES)
def test_every_cluster_asks_for_a_token_and_keeps_its_dashboard_to_itself(name: str) -> None:
    text = (_CLUSTER / name).read_text()
    if name == "kuberay-rayjob.yaml":
        assert yaml.safe_load(text)["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
        return
    assert re.search(r"dashboard-host[= ]127\.0\.0\.1", text)
    assert "0.0.0.0" not in text
    if name == "slurm.sbatch":
        assert "export RAY_AUTH_MODE=token" in text
        return
    config = yaml.safe_load(text)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for command in (*config["head_start_ray_commands"], *config["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in command


@pytest.mark.parametrize("name", _FILES)
def test_versions_are_those_of_the_lock(name: str) -> None:
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", (_ROOT / "requirements.lock").read_text(), re.MULTILINE))
    text = (_CLUSTER / name).read_text()
    named = re.findall(r"(?:rayVersion: \"|rayproject/ray:)([\d.]+\d)", text)
    assert all(version == locked["ray"] for version in named)
    if name in _LAUNCHED_BY_RAY:
        installs = [line for line in text.splitlines() if "pip install" in line]
        assert installs
        assert all("--constraint ~/stt_tune/requirements.lock" in line for line in installs)
