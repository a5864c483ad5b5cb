"""Run a verb on the head of a cluster of which this machine is only a Ray client (`ray://`), as a job there.

Tune under a client puts its controller into an actor on the head, away from the trial table, W&B
and the budget, which belong to its driver. So the whole verb goes there, and its words come back.
A job goes on when the client is lost, and `ray job list`, `logs` and `stop` know it.
"""

from __future__ import annotations

import logging
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stt_tune.errors import SettingsError, SweepInterruptedError, first_line
from stt_tune.progress import say
from stt_tune.run.joining import check_cluster

_HEAD = "node:__internal_head__"
_POLL_S = 0.5
# until a job that is asked to stop is killed: it has a table and W&B runs to finish
_STOP_S = "120"


class Progress(NamedTuple):
    """What a job has come to.

    Attributes:
        said: On stderr, from where the last one ended.
        exit_code: None while it runs.
        result: What it printed on stdout; empty while it runs.
    """

    said: str
    exit_code: int | None
    result: str


class HeadJobs:
    """The job server of a cluster, as an actor on its head: others do not reach it."""

    def __init__(self) -> None:
        from ray.job_submission import JobSubmissionClient

        self._client = JobSubmissionClient()
        self._folder = Path(tempfile.mkdtemp(prefix="stt-tune-job-"))
        self._heard = 0

    def submit(self, arguments: Sequence[str], files: Mapping[str, bytes]) -> str:
        """Start a verb.

        Args:
            arguments: Of the command line.
            files: Contents of those among them that are paths here.
        """
        placed = {path: str(self._folder / str(i) / Path(path).name) for i, path in enumerate(files)}
        for path, content in files.items():
            Path(placed[path]).parent.mkdir()
            Path(placed[path]).write_bytes(content)
        command = shlex.join([sys.executable, "-m", "stt_tune", *(placed.get(each, each) for each in arguments)])
        return self._client.submit_job(
            # stdout apart, as results are for machines; the job's log would mix it with stderr
            entrypoint=f"exec {command} > {shlex.quote(str(self._folder / 'stdout'))}",
            runtime_env={"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_S}},
        )

    def follow(self, job: str) -> Progress:
        """Say what is new."""
        details = self._client.get_job_info(job)
        log = self._client.get_job_logs(job)
        said, self._heard = log[self._heard :], len(log)
        if not details.status.is_terminal():
            return Progress(said, None, "")
        stdout = self._folder / "stdout"
        code = details.driver_exit_code
        # Ray has no exit code of a job that it stopped
        return Progress(said, 1 if code is None else code, stdout.read_text() if stdout.exists() else "")

    def stop(self, job: str) -> None:
        """Ask it to end, as by Ctrl-C."""
        self._client.stop_job(job)


def run_on_head(address: str, arguments: Sequence[str], files: Mapping[str, bytes], *, insecure: bool) -> int:
    """Run a verb on a cluster's head, print here what it prints there, and give its exit code.

    Args:
        address: `ray://HOST:PORT`, of the cluster's client server.
        arguments: Of the command line there.
        files: Contents of those among them that are paths here.
        insecure: Whether it may be a cluster that others can reach, and that asks for no token.

    Raises:
        SettingsError: There is no such cluster, it may not be joined, or it has no such stt_tune.
        SweepInterruptedError: Ctrl-C; the job has stopped, too.
    """
    check_cluster(address, is_insecure_allowed=insecure)
    import ray

    ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        jobs: Any = ray.remote(num_cpus=0, resources={_HEAD: 0.001})(HeadJobs).remote()
        try:
            job = ray.get(jobs.submit.remote(list(arguments), dict(files)))
        except ray.exceptions.RayError as error:
            raise SettingsError(
                f"--address {address}: its head must have this stt_tune and ray[default], and could not run a job "
                f"({first_line(error)}). See the setup_commands of cluster/*.yaml."
            ) from error
        say(f"running as {job} on the cluster; it goes on if this connection is lost")
        try:
            return _relay(jobs, job)
        except KeyboardInterrupt as stop:
            say(f"stopping {job}")
            ray.get(jobs.stop.remote(job))
            _relay(jobs, job)
            raise SweepInterruptedError(f"{job} was stopped.") from stop
    finally:
        ray.shutdown()


def _relay(jobs: Any, job: str) -> int:
    """Pass on what a job says until it has ended; give its exit code."""
    import ray

    while True:
        progress = ray.get(jobs.follow.remote(job))
        sys.stderr.write(progress.said)
        sys.stderr.flush()
        if progress.exit_code is not None:
            sys.stdout.write(progress.result)
            return int(progress.exit_code)
        time.sleep(_POLL_S)
