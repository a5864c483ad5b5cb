"""What trials ask for, on nodes that say that they have GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.gpu_cluster import ask, running_cluster

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_cluster(tmp_path_factory.mktemp("driver")) as address:
        yield address


def test_trials_get_what_each_node_has_and_what_none_has_is_refused_at_once(address: str) -> None:
    script = """
import time

def find(**asked):
    found = find_resources(max_concurrent=None, per_trial=asked)
    return [found.cpus, found.gpus, found.max_concurrent, [kinds[each] for each in found.unfit_nodes]]

def refuse(**asked):
    start = time.monotonic()
    try:
        return find(**asked)
    except SttTuneError as error:
        return [str(error), time.monotonic() - start]

answer["one"] = find()
answer["type"] = find(gpu_type="A10G")
answer["memory"] = find(gpu_memory_gb=40)
answer["three together"] = find(gpu=3, workers=3)
answer["no such type"] = refuse(gpu_type="H200")
answer["too much memory"] = refuse(gpu=2, gpu_memory_gb=100.0)
"""
    found = ask(address, script)
    assert found["one"] == [4, 1, 3, []]
    assert found["type"] == [4, 1, 1, []]
    assert found["memory"] == [4, 1, 2, ["A10G"]]  # nvidia-smi says it of one node, its type of the other
    assert found["three together"] == [12, 3, 1, []]
    start = "resources per trial: must be what the cluster has. a trial needs"
    others = "1 node with 1 A10G (24 GB) and 4 cores, 1 node with 0 cores. Ask for less (--gpus-per-trial, --gpu-type, "
    told, seconds = found["no such type"]
    assert told.startswith(
        f"{start} 1 GPU of type H200 and 1 core on one node; the cluster has: 1 node with 2 H100 (80 "
    )
    assert others in told
    assert seconds < 60
    told, seconds = found["too much memory"]
    assert told.startswith(
        f"{start} 2 GPUs with 100 GB and 1 core on one node; the cluster has: 1 node with 2 H100 (86 "
    )
    assert seconds < 60


def test_trials_and_tasks_run_only_where_they_may_and_a_long_sweep_queues(address: str, tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from stt_tune.run.reporting import report
from stt_tune.run.sweep import run_sweep

def where():
    return ray.get_runtime_context().get_node_id()

def train(config):
    start = time.time()
    time.sleep(1)
    Path({str(tmp_path)!r}, f"{{config['x']}}.txt").write_text(json.dumps([where(), start, time.time()]))
    report(wer=config["x"])

sweep = {{"name": "placed", "method": "grid", "metric": {{"name": "wer", "goal": "minimize"}},
         "parameters": {{"x": {{"values": [0.1, 0.2, 0.3, 0.4, 0.5]}}}}}}
run_sweep(sweep, train, storage_path=Path({str(tmp_path / "run")!r}), wandb_mode="disabled",
          resources_per_trial={{"gpu_memory_gb": 40.0}})
times = [json.loads(path.read_text()) for path in Path({str(tmp_path)!r}).glob("*.txt")]
answer["trials"] = [kinds[node] for node, _start, _end in times]
answer["at a time"] = max(sum(start <= begun < end for _node, start, end in times) for _node, begun, _end in times)
for name, asked in {{"memory": {{"gpu_memory_gb": 40.0}}, "type": {{"gpu_type": "A10G"}}}}.items():
    resources = find_resources(max_concurrent=None, per_trial=asked)
    answer[name] = kinds[ray.get(ray.remote(**resources.to_task_options())(where).remote())]
other = next(each for each in kinds if kinds[each] == "H100")
bundles = find_resources(max_concurrent=None).to_placement([other]).to_placement_group()
bundles.wait(30)
table = ray.util.placement_group_table(bundles)
answer["excluded"] = [kinds[each] for each in table["bundles_to_node_id"].values()]
"""
    found = ask(address, script)
    assert found["trials"] == ["H100"] * 5
    assert found["at a time"] == 2
    assert found["memory"] == "H100"
    assert found["type"] == "A10G"
    assert found["excluded"] == ["A10G"]


def test_after_a_minute_it_is_said_what_trials_wait_for(address: str, tmp_path: Path) -> None:
    script = f"""
import threading
from pathlib import Path
from stt_tune.run import waiting
from stt_tune.run.sweep import run_sweep

def take_room():
    taken = ray.util.placement_group([{{"GPU": 2}}])  # as another job does
    taken.wait(30)
    threading.Timer(3, ray.util.remove_placement_group, [taken]).start()

asked = {{"gpu": 2, "cpu": 1}}
resources = find_resources(max_concurrent=None, per_trial=asked)
waiting.WaitingRoom.__init__.__defaults__ = (1,)
take_room()
waiting.wait_for_room(resources, 1)
take_room()
sweep = {{"name": "waits", "method": "grid", "metric": {{"name": "wer", "goal": "minimize"}},
         "parameters": {{"x": {{"values": [0.1]}}}}}}
done = run_sweep(sweep, lambda config: {{"wer": config["x"]}}, storage_path=Path({str(tmp_path / "run")!r}),
                 wandb_mode="disabled", resources_per_trial=asked)
answer["trials"] = done.table.counts()["completed"]
"""
    found = ask(address, script)
    assert found["trials"] == 1
    said = [line for line in found["stderr"].splitlines() if line.startswith("trials wait for resources")]
    assert len(said) == 2
    for line in said:
        assert "a trial needs 2 GPUs and 1 core on one node; the cluster has: 1 node with 2 H100 (80 GB) and " in line
        assert line.endswith("Others may be using it: `ray status` shows that")


def test_how_many_trials_share_a_gpu_is_measured_where_trials_run(address: str) -> None:
    script = """
from types import SimpleNamespace
from stt_tune.run import packing
from stt_tune.speech.use import Use

def measure_use(*arguments):
    takes = 0.2 if kinds[ray.get_runtime_context().get_node_id()] == "H100" else 0.5
    return Use(memory=takes, time=takes)

packing.measure_use = measure_use
task = SimpleNamespace(
    data=SimpleNamespace(train=[1, 2]),
    model=SimpleNamespace(find_length=lambda example: example),
    settings=SimpleNamespace(audio_context_s=None),
)

def count(**asked):
    return [packing.find_trials_per_gpu(task, SimpleNamespace(parameters={}), {"batch_size": 1}, asked) for _ in "12"]

answer["memory"] = count(gpu_memory_gb=40)
answer["type"] = count(gpu_type="A10G")
answer["none"] = count(gpu=0)
"""
    found = ask(address, script)
    found.pop("stderr")
    assert found == {"memory": [4, 4], "type": [2, 2], "none": [0, 0]}
