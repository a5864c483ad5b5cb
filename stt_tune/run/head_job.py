"""Run a verb on the head of a cluster of which this machine is only a Ray client (`ray://`), as a job there.

Tune under a client puts its controller into an actor on the head, away from the trial table, W&B
and the budget, which belong to its driver. So the whole verb goes there, and its words come back.
A job goes on when the client is lost, and `ray job list`, `logs` and `stop` know it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stt_tune.errors import SettingsError, SweepFailedError, SweepInterruptedError, first_line
from stt_tune.progress import say
from stt_tune.run.joining import check_cluster

_HEAD = "node:__internal_head__"
_POLL_S = 0.5
_STDOUT = "stdout"
# until a job that is asked to stop is killed: it has a table and W&B runs to finish
_STOP_S = "120"


class File(NamedTuple):
    """An argument that is a file here, and is to be one there."""

    name: str
    content: bytes


class Progress(NamedTuple):
    """What a job has come to.

    Attributes:
        said: On stderr, from where the last one ended.
        exit_code: None while it runs.
        printed: On stdout, from where the last one ended; whole lines while it runs.
    """

    said: str
    exit_code: int | None
    printed: str


class Tail:
    """What is new in a file that another process writes."""

    def __init__(self, path: Path) -> None:
        """Have read nothing of `path`, which may be yet to come."""
        self._path, self._read = path, 0

    def read(self, *, is_whole: bool) -> str:
        """Read on.

        Args:
            is_whole: Whether the file grows no more. Else a last line without an end is left for later, as it may end
                in half a character.
        """
        if not self._path.exists():
            return ""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        new = new if is_whole else new[: new.rfind(b"\n") + 1]
        self._read += len(new)
        return new.decode("utf-8")


class HeadJob:
    """One job of a cluster, as an actor on its head: the job server is out of reach of others."""

    def __init__(self, name: str) -> None:
        """Have a job of that name, which is yet to be submitted."""
        import ray
        from ray.job_submission import JobSubmissionClient

        for variable in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):  # they would come before what is asked for
            os.environ.pop(variable, None)
        self._client = JobSubmissionClient(ray.get_runtime_context().gcs_address)
        self._name = name
        self._folder = Path(tempfile.mkdtemp(prefix="stt-tune-job-"))
        self._stdout = Tail(self._folder / _STDOUT)
        self._heard = 0

    def submit(self, arguments: Sequence[str | File]) -> None:
        """Start a verb with the arguments of its command line."""
        placed = [self._place(each, i) if isinstance(each, File) else each for i, each in enumerate(arguments)]
        command = shlex.join([sys.executable, "-m", "stt_tune", *placed])
        self._client.submit_job(
            # stdout apart, as results are for machines; the job's log would mix it with stderr
            entrypoint=f"exec {command} > {shlex.quote(str(self._folder / _STDOUT))}",
            submission_id=self._name,
            runtime_env={"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_S}},
        )

    def _place(self, file: File, number: int) -> str:
        path = self._folder / str(number) / file.name
        path.parent.mkdir()
        path.write_bytes(file.content)
        return str(path)

    def follow(self) -> Progress:
        """Say what is new; at the end nothing of it is left here."""
        details = self._client.get_job_info(self._name)
        log = self._client.get_job_logs(self._name)
        said, self._heard = log[self._heard :], len(log)
        is_over = details.status.is_terminal()
        printed = self._stdout.read(is_whole=is_over)
        if not is_over:
            return Progress(said, None, printed)
        shutil.rmtree(self._folder, ignore_errors=True)
        if details.driver_exit_code is None:  # it was stopped, or never ran
            return Progress(f"{said}{details.message}\n", 1, printed)
        return Progress(said, int(details.driver_exit_code), printed)

    def stop(self) -> None:
        """Ask it to end, as by Ctrl-C."""
        self._client.stop_job(self._name)


def run_on_head(address: str, arguments: Sequence[str | File], *, insecure: bool) -> int:
    """Run a verb on a cluster's head, print here what it prints there, and give its exit code.

    Args:
        address: `ray://HOST:PORT`, of the cluster's client server.
        arguments: Of the command line there.
        insecure: Whether it may be a cluster that others can reach, and that asks for no token.

    Raises:
        SettingsError: There is no such cluster, it may not be joined, or it has no such stt_tune.
        SweepFailedError: The connection was lost; the job goes on.
        SweepInterruptedError: Ctrl-C; the job has stopped, or is stopping.
    """
    check_cluster(address, is_insecure_allowed=insecure)
    name = f"stt-tune-{uuid.uuid4().hex[:12]}"
    try:
        with _job(address, name) as job:
            _submit(address, job, arguments)
            say(f"running as job {name} on the cluster; it goes on if this connection is lost")
            return _relay(job, name)
    except KeyboardInterrupt as stop:
        raise SweepInterruptedError(f"Interrupted. On the cluster: ray job status {name}") from stop


@contextlib.contextmanager
def _job(address: str, name: str) -> Iterator[Any]:
    """Have the actor of a job inside the block, and end with words whatever becomes of the connection."""
    import ray

    try:
        _connect(address)
        yield ray.remote(num_cpus=0, resources={_HEAD: 0.001})(HeadJob).remote(name)
    except (ConnectionError, ray.exceptions.RayError) as error:
        raise SweepFailedError(
            f"--address {address}: the connection was lost ({first_line(error)}). If it was submitted, job {name} goes "
            f"on: ray job logs --follow {name}. Its results lie in --out."
        ) from error
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    """Join, at the second try where the server, which starts a process for each client, was not ready in time."""
    import ray

    join = functools.partial(ray.init, address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        join()
    except ConnectionError:
        ray.shutdown()
        join()


def _submit(address: str, job: Any, arguments: Sequence[str | File]) -> None:
    import ray

    try:
        ray.get(job.submit.remote(list(arguments)))
    except ray.exceptions.RayError as error:
        raise SettingsError(
            f"--address {address}: its head must have this stt_tune and ray[default], and could not run a job "
            f"({str(error).strip().splitlines()[-1]}). See the setup_commands of cluster/*.yaml."
        ) from error


def _relay(job: Any, name: str) -> int:
    """Pass on what a job says until it has ended, and stop it where this is interrupted; give its exit code."""
    try:
        return _follow(job)
    except KeyboardInterrupt as stop:
        import ray

        say(f"stopping job {name}")
        ray.get(job.stop.remote())
        _follow(job)
        raise SweepInterruptedError(
            f"Job {name} was stopped. To go on, stt-tune resume has to run on the cluster, too: submit it as a job."
        ) from stop


def _follow(job: Any) -> int:
    import ray

    while True:
        progress = ray.get(job.follow.remote())
        sys.stderr.write(progress.said)
        sys.stderr.flush()
        sys.stdout.write(progress.printed)
        sys.stdout.flush()
        if progress.exit_code is not None:
            return int(progress.exit_code)
        time.sleep(_POLL_S)
