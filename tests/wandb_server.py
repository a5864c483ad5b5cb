"""A W&B server for tests on the loopback interface: only the server is not the real one, the client is.

It speaks just enough of the protocol for `wandb` to log in, to log online, to sync, to tag a run, to log an
artifact, to save a view and to read runs: some of GraphQL, file uploads, and the file stream. It can be made to
fail or to hang half way.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import wandb

from tests.wandb_artifacts import STORAGE, ArtifactStore

KEY = "5eed" * 10  # of the form that W&B's keys have
_VIEWER = {"id": "1", "entity": "someone", "username": "someone", "flags": "{}", "teams": {"edges": []}}
_STREAM = re.compile(r"/files/\w+/[\w-]+/([\w-]+)/file_stream")


@dataclass
class UploadedRun:
    """What the server was told of a run.

    Attributes:
        lines: The history by the place of each line, as the client has numbered them.
        summary: The last one.
        config: By name.
        tags: The last ones.
        asked: How the client asked for the run, by the names of GraphQL's variables.
        exit_code: None until the run is complete.
    """

    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows as W&B shows them: one a step, the later one of two.

        Source: https://github.com/wandb/wandb/pull/12668.
        """
        return list({line["_step"]: line for _, line in sorted(self.lines.items())}.values())


class WandbServer(ThreadingHTTPServer):
    """Keeps what it is sent.

    Attributes:
        runs: By id.
        artifacts: What was logged of these.
        views: Saved views by their names, as GraphQL's variables told them.
        operations: Names of all that GraphQL was asked.
        received: All that was sent, headers left out.
        refused: Ids of runs that are not taken.
        refused_operations: What GraphQL may not be asked.
        before_answer: Called whenever something was sent.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        """Listen on a free port of the loopback interface."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, UploadedRun] = {}
        self.artifacts = ArtifactStore()
        self.views: dict[str, dict[str, Any]] = {}
        self.operations: list[str] = []
        self.received = b""
        self.refused: set[str] = set()
        self.refused_operations: set[str] = set()
        self.before_answer: Callable[[], None] = lambda: None
        self._failure = ""
        self._changed = threading.Condition()

    @property
    def url(self) -> str:
        """What WANDB_BASE_URL is to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def failure(self) -> str:
        """How the server fails.

        `drop`: connections are closed unanswered; `hang`: there is no answer until that is over; a status
        such as `401`: that is the answer; nothing: all is well.
        """
        return self._failure

    @failure.setter
    def failure(self, failure: str) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def wait_while_hanging(self) -> None:
        """Return once the server no longer hangs."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure != "hang")

    def answer(self, path: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """Give the status and the document that answer a request."""
        if self.failure:
            return int(self.failure), {"error": "not now"}
        if path == "/graphql":
            sent = json.loads(body)
            operation = str(re.findall(r"(?:query|mutation) (\w+)", sent["query"])[0])
            self.operations.append(operation)
            variables = sent.get("variables") or {}
            if variables.get("name") in self.refused or operation in self.refused_operations:
                return 403, {"errors": [{"message": "this is not taken"}]}
            return 200, {"data": self._query(operation, variables)}
        if stream := _STREAM.fullmatch(path):
            self._take(self.runs[stream[1]], json.loads(body))
        if path.startswith(STORAGE):
            self.artifacts.take(path, body)
        return 200, {}

    def _query(self, operation: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        if operation == "UpsertBucket":
            return {"upsertBucket": {"bucket": self._upsert(variables), "inserted": True}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/storage/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        if operation == "RunResumeStatus" and (run := self.runs.get(variables["name"])):
            project = {"id": "1", "name": variables["project"], "entity": {"id": "1", "name": "someone"}}
            return {"model": {**project, "bucket": _describe(run)}}
        if operation == "Run":
            run = self.runs.get(variables["name"])
            return {"project": {"run": _show(variables["name"], run) if run else None}}
        if operation == "Runs":
            group = json.loads(variables["filters"]).get("group")
            shown = [_show(name, run) for name, run in self.runs.items() if run.asked.get("groupName") == group]
            edges = [{"node": each, "cursor": each["name"]} for each in shown]
            page = {"edges": edges, "pageInfo": {"endCursor": "", "hasNextPage": False}}
            return {"project": {"internalId": "1", "readOnly": False, "runCount": len(shown), "runs": page}}
        if operation == "RunFullHistory":
            history = self.runs[variables["name"]].history
            return {"project": {"run": {"history": [json.dumps(row) for row in history]}}}
        if operation == "UpsertView2":
            self.views[variables["name"]] = dict(variables)
            return {"upsertView": {"view": {"id": f"id-{variables['name']}", "name": variables["name"]}}}
        if operation == "View":
            view = self.views.get(variables["viewName"])
            node = {"id": f"id-{variables['viewName']}", "displayName": "", "spec": view["spec"]} if view else None
            return {"project": {"allViews": {"edges": [{"node": node}] if node else []}}}
        if "Artifact" in operation:
            return self.artifacts.answer(operation, variables, self.url)
        return {"viewer": _VIEWER} if operation in ("Viewer", "GetDefaultEntity") else {}

    def _upsert(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        change = variables.get("id")  # by the public API
        name = change.removeprefix("id-") if change else variables["name"]
        run = self.runs.setdefault(name, UploadedRun())
        run.config |= json.loads(variables.get("config") or "{}")
        if variables.get("tags") is not None:
            run.tags = variables["tags"]
        if change:
            return _show(name, run)
        run.asked |= {key: value for key, value in variables.items() if value is not None}
        return {
            "id": f"id-{variables['name']}",
            "name": variables["name"],
            "displayName": variables["displayName"],
            "config": "{}",
            "historyLineCount": len(run.lines),
            "project": {"id": "1", "name": variables["project"], "entity": {"id": "1", "name": "someone"}},
        }

    def _take(self, run: UploadedRun, sent: Mapping[str, Any]) -> None:
        files = sent.get("files", {})
        history = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        run.lines |= dict(enumerate(map(json.loads, history["content"]), start=history["offset"]))
        for line in files.get("wandb-summary.json", {"content": []})["content"]:
            run.summary = json.loads(line)
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]


def _show(name: str, run: UploadedRun) -> dict[str, Any]:
    """What the public API is told of a run."""
    texts = dict.fromkeys(("sweepName", "commit", "description", "notes", "createdAt", "heartbeatAt"))
    about = {"id": f"id-{name}", "name": name, "projectId": "1", "state": "finished"}
    about["displayName"] = run.asked.get("displayName") or name
    kept = {"config": json.dumps(run.config), "summaryMetrics": json.dumps(run.summary), "systemMetrics": "{}"}
    place = {"tags": run.tags, "group": run.asked.get("groupName"), "jobType": run.asked.get("jobType")}
    return {**texts, **about, **kept, **place, "readOnly": False, "historyLineCount": 0}


def _describe(run: UploadedRun) -> dict[str, Any]:
    """What a client that goes on with the run needs to know."""
    lines = {"historyLineCount": len(run.lines), "logLineCount": 0, "eventsLineCount": 0}
    tails = {"historyTail": json.dumps([json.dumps(run.history[-1])]), "eventsTail": "[]"}
    config = {"config": "{}", "wandbConfig": '{"t": 1}', "summaryMetrics": json.dumps(run.summary), "tags": []}
    return {"name": "1", "displayName": "1", **lines, **tails, **config}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received += body
        self.server.before_answer()
        self.server.wait_while_hanging()
        if self.server.failure == "drop":
            self.close_connection = True
            return
        status, document = self.server.answer(self.path, body)
        answer = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_PUT(self) -> None:
        self.do_POST()

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client goes when it likes
            super().handle_one_request()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@contextlib.contextmanager
def serving() -> Iterator[WandbServer]:
    """A server in a thread, of which W&B is told by its environment."""
    with WandbServer() as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        patch.setenv("WANDB_BASE_URL", server.url)
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "1")  # whole seconds; it is 15 s else
        patch.setenv("WANDB__DISABLE_STATS", "true")  # starting to watch the machine takes long
        wandb.teardown()  # so that it reads the environment again
        try:
            yield server
        finally:
            server.failure = "401"  # ends every retry
            wandb.teardown()
            server.shutdown()
    wandb.teardown()
