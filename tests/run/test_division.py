from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stt_tune.errors import SettingsError
from stt_tune.run.division import Asked, divide
from stt_tune.run.growth import Growth, read_growth
from stt_tune.run.nodes import Node, describe_nodes, read_gpu_memory
from stt_tune.run.settings import TuneSettings, read_memory

_LAUNCH_FILES = Path(__file__).parents[2] / "cluster"
_HEAD = Node("head")
_A10G = Node("a10g", cpus=8, gpus=1, gpu_type="A10G", gpu_memory_gb=24)
_H100S = Node("h100", cpus=64, gpus=4, gpu_type="H100", gpu_memory_gb=80)
_NO_GROWTH = Growth()
_UNTOLD = Growth(is_possible=True, kinds=None)


def _divide(*nodes: Node, growth: Growth = _NO_GROWTH, at_once: int | None = None, **asked: Any) -> tuple[Any, ...]:
    found = divide(Asked.from_mapping(asked), nodes, growth, at_once)
    return found.cpus, found.gpus, found.max_concurrent, found.gpu_type


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        # the cores of nodes without GPUs are no help to trials that need one
        ([Node("cpus", cpus=96), _A10G], {}, (8, 1, 1)),
        ([_A10G, _H100S], {}, (8, 1, 5)),
        ([_H100S], {}, (16, 1, 4)),
        ([_H100S], {"gpu": 0.25}, (4, 0.25, 16)),
        ([_H100S], {"gpu": 0.3}, (5, 0.3, 12)),  # three on each GPU
        ([_H100S], {"gpu": 2}, (32, 2, 2)),
        ([_A10G, _A10G, _H100S], {"gpu": 2}, (32, 2, 2)),  # on one node
        ([_A10G, _A10G, _H100S], {"gpu": 2, "workers": 2}, (16, 2, 3)),  # on any
        ([_A10G, _H100S], {"cpu": 4}, (4, 1, 5)),
        ([_A10G, _H100S], {"gpu_type": "H100"}, (16, 1, 4)),
        ([_A10G, _H100S], {"gpu_memory_gb": 40}, (16, 1, 4)),
        ([_A10G, _H100S], {"at_once": 2}, (8, 1, 2)),
        # fewer cores than there is room on the GPUs
        ([Node(cpus=6, gpus=8)], {}, (0.75, 1, 8)),
        ([Node(cpus=2, gpus=1)], {"gpu": 0.25}, (0.5, 0.25, 4)),
        ([Node(cpus=2, gpus=3)], {}, (0.66, 1, 3)),
        ([Node(cpus=2, gpus=4)], {"gpu": 4, "workers": 4}, (2, 4, 1)),
        # without GPUs: one a node, or as many as asked for
        ([Node(cpus=8)], {}, (8, 0, 1)),
        ([Node(cpus=8)], {"at_once": 4}, (2, 0, 4)),
        ([Node(cpus=2)], {"at_once": 4}, (1, 0, 2)),
        ([Node(cpus=8), Node(cpus=8), _HEAD], {}, (8, 0, 2)),
        ([Node(cpus=8), Node(cpus=8)], {"at_once": 4}, (4, 0, 4)),
        ([Node(cpus=2), Node(cpus=64)], {}, (64, 0, 1)),
        # as many as have the cores that are asked for
        ([_A10G], {"gpu": 0, "cpu": 2}, (2, 0, 4)),
        ([Node(cpus=64)], {"cpu": 1}, (1, 0, 64)),
        ([Node(cpus=64)], {"cpu": 1, "at_once": 8}, (1, 0, 8)),
        ([Node(cpus=8), Node(cpus=8), _HEAD], {"cpu": 3}, (3, 0, 4)),
    ],
)
def test_trials_share_what_their_nodes_have(
    nodes: list[Node], asked: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert _divide(*nodes, **asked)[:3] == expected


def test_what_a_cluster_can_grow_to_counts_from_the_start() -> None:
    kind = Node(cpus=8, gpus=1, gpu_type="L4", gpu_memory_gb=24, count=8)
    assert _divide(_HEAD, growth=Growth(True, (kind,), 8)) == (8, 1, 8, None)
    # two kinds, such as spot and on demand, and a limit for both together
    assert _divide(_HEAD, growth=Growth(True, (kind, kind), 8)) == (8, 1, 8, None)
    assert _divide(_HEAD, growth=Growth(True, (kind,), 8), gpu=2, workers=2) == (16, 2, 4, None)
    assert _divide(_HEAD, growth=Growth(True, (Node(cpus=4, count=3),), 3)) == (4, 0, 3, None)


def test_where_growth_is_not_told_trials_wait_for_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    assert _divide(_HEAD, growth=_UNTOLD) == (1, 1, 1, None)
    assert _divide(_HEAD, growth=_UNTOLD, at_once=8) == (1, 1, 8, None)
    assert _divide(_HEAD, _A10G, growth=_UNTOLD, at_once=8) == (8, 1, 8, None)
    said = capsys.readouterr().err
    assert "the cluster has no cores yet, and does not tell what it grows to: trials ask for a GPU each" in said
    assert "a trial needs 1 GPU and 1 core on one node; the cluster has: 1 node with 0 cores. It may grow" in said
    # machines that are there already, and of which one has not joined yet
    assert _divide(Node(cpus=4), growth=Growth(True, (), 2), gpu=1)[:3] == (1, 1, 1)
    with pytest.raises(SettingsError, match="a trial needs 1 GPU and 1 core on one node; the cluster has: 3 nodes"):
        _divide(*[Node(str(i), cpus=4) for i in range(3)], growth=Growth(True, (), 2), gpu=1)


def test_what_never_finds_room_is_refused_with_what_there_is() -> None:
    kind = Node(cpus=8, gpus=1, gpu_type="L4", gpu_memory_gb=24, count=8)
    with pytest.raises(
        SettingsError, match=r"a trial needs 2 GPUs with 40 GB and 1 core on one node; the cluster has: 1"
    ):
        _divide(_A10G, gpu=2, gpu_memory_gb=40)
    expected = (
        r"needs 1 GPU of type H100 and 1 core on one node; the cluster has: 1 node with 0 cores; and can start up to 8 "
        r"of: 8 nodes with 1 L4 \(24 GB\) and 8 cores each\. Ask for less"
    )
    with pytest.raises(SettingsError, match=expected):
        _divide(_HEAD, growth=Growth(True, (kind,), 8), gpu_type="H100")
    with pytest.raises(SettingsError, match="a trial needs 6 GPUs and 96 cores; the cluster has: 1 node with 4 H100"):
        _divide(_H100S, gpu=6, workers=6)


def test_memory_that_only_one_type_has_makes_trials_ask_for_that_type() -> None:
    small, large, larger = (
        Node(cpus=8, gpus=1, gpu_type=name, gpu_memory_gb=gb, count=4)
        for name, gb in (("L4", 24), ("L40S", 48), ("H100", 80))
    )
    assert _divide(_HEAD, growth=Growth(True, (small, large), 8), gpu_memory_gb=40) == (8, 1, 4, "L40S")
    assert _divide(_HEAD, growth=Growth(True, (large, larger), 8), gpu_memory_gb=40) == (8, 1, 8, None)
    with pytest.raises(
        SettingsError, match=r"--min-gpu-memory: .*\(H100, L40S\) and others .* Name one with --gpu-type"
    ):
        _divide(_HEAD, growth=Growth(True, (small, large, larger), 8), gpu_memory_gb=40)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tpu": 1}, "resources per trial: must be one of cpu, gpu, workers, gpu_type, gpu_memory_gb, found 'tpu'"),
        ([1], r"""resources per trial: must be a mapping such as {"cpu": 2}, found \[1\]"""),
        ({"gpu": -1}, "gpu per trial must be a number of at least 0, found -1"),
        ({"cpu": "1"}, "cpu per trial must be a number of at least 0, found '1'"),
        ({"workers": 1.5}, "workers per trial must be a whole number of at least 1, found 1.5"),
        ({"gpu_type": 100}, "gpu_type per trial must be text, found 100"),
        ({"gpu": 1.5}, "GPUs per trial must be a fraction of one, or a whole number, found 1.5"),
        ({"gpu": 0, "gpu_type": "H100"}, "GPUs per trial must be above 0 where their type or memory is given, found 0"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(asked: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Asked.from_mapping(asked)


def test_the_launch_files_tell_what_they_start() -> None:
    aws = yaml.safe_load((_LAUNCH_FILES / "aws.yaml").read_text())
    # as `ray up` fills it in
    for name in ("gpu_spot", "gpu_on_demand"):
        aws["available_node_types"][name]["resources"] = {"CPU": 8, "GPU": 1, "accelerator_type:L4": 1}
    gcp = yaml.safe_load((_LAUNCH_FILES / "gcp.yaml").read_text())
    for config in (aws, gcp):
        growth = read_growth(config)
        assert growth.most == 8
        assert growth.kinds == (Node(cpus=8, gpus=1, gpu_type="L4", gpu_memory_gb=24, count=8),) * 2
        assert _divide(_HEAD, growth=growth, gpu_memory_gb=20)[:3] == (8, 1, 8)
    onprem = yaml.safe_load((_LAUNCH_FILES / "onprem.yaml").read_text())
    assert read_growth(onprem) == Growth(is_possible=True, kinds=(), most=2)


def test_sizes_of_memory_are_read_or_refused() -> None:
    assert TuneSettings(data="d", model="m", min_gpu_memory_gb=read_memory("40GB")).resources_per_trial == {
        "gpu_memory_gb": 40.0
    }
    for text in ("40", "GB", "-1GB", "lots"):
        with pytest.raises(
            SettingsError, match=f"--min-gpu-memory must be a size such as 40GB or 16GiB, found '{text}'"
        ):
            read_memory(text)


def test_nodes_are_described_most_gpus_first() -> None:
    assert describe_nodes([Node("a", cpus=1), _A10G, _H100S, Node("b", cpus=1)]) == (
        "1 node with 4 H100 (80 GB) and 64 cores, 1 node with 1 A10G (24 GB) and 8 cores, 2 nodes with 1 core each"
    )
    assert describe_nodes([]) == "no nodes"


def test_gpus_of_a_trial_are_a_fraction_or_processes_that_train_together() -> None:
    assert TuneSettings(data="d", model="m").resources_per_trial == {}
    assert TuneSettings(data="d", model="m", gpus_per_trial=0.5).resources_per_trial == {"gpu": 0.5}
    assert TuneSettings(data="d", model="m", gpus_per_trial=4).resources_per_trial == {"gpu": 4, "workers": 4}
    assert TuneSettings(data="d", model="m", trials_per_gpu=4).resources_per_trial == {"gpu": 0.25}
    assert TuneSettings(data="d", model="m", trials_per_gpu="auto").resources_per_trial == {}
    for given in (0, "many"):
        with pytest.raises(SettingsError, match=f"--trials-per-gpu must be auto or at least 1, found {given!r}"):
            TuneSettings(data="d", model="m", trials_per_gpu=given)
    with pytest.raises(
        SettingsError, match=r"--gpus-per-trial must be left out where --trials-per-gpu is given, found 0\.5"
    ):
        TuneSettings(data="d", model="m", trials_per_gpu=2, gpus_per_trial=0.5)
    for number in (1.5, -1):
        with pytest.raises(SettingsError, match="--gpus-per-trial must be a fraction of one, or a whole number, found"):
            TuneSettings(data="d", model="m", gpus_per_trial=number)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_driver_says_how_much_memory_gpus_have() -> None:
    properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    least_gb = min(each.total_memory for each in properties) / 1e9
    assert read_gpu_memory() == pytest.approx(least_gb, rel=0.05)
