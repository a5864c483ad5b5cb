"""The part of the tests' W&B server that keeps artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STORAGE = "/artifacts/"  # where their files are uploaded to


@dataclass
class Artifact:
    """One version of an artifact.

    Attributes:
        name: Of all its versions.
        kind: W&B's word is type.
        run: Name of the run that logged it.
        files: What they hold, by name.
        is_committed: Whether the client has said that it is whole.
    """

    name: str
    kind: str
    run: str
    files: dict[str, bytes] = field(default_factory=dict)
    is_committed: bool = False


@dataclass
class ArtifactStore:
    """Takes artifacts.

    Attributes:
        versions: In the order in which they came; the id of each is its place.
    """

    versions: list[Artifact] = field(default_factory=list)

    def answer(self, operation: str, variables: Mapping[str, Any], url: str) -> dict[str, Any]:
        """Answer what GraphQL is asked.

        Args:
            operation: Its name.
            variables: With these.
            url: Of the server.
        """
        if operation == "CreateArtifact":
            sent = variables["input"]
            kind, run = sent["artifactTypeName"], sent["runName"]
            self.versions.append(Artifact(sent["artifactCollectionName"], kind, run))
            sequence = {"latestArtifact": None}
            made = {"id": str(len(self.versions) - 1), "state": "PENDING", "artifactSequence": sequence}
            return {"createArtifact": {"artifact": made}}
        if operation == "CreateArtifactManifest":
            place = f"{url}{STORAGE}{variables['artifactID']}/"
            manifest = {"id": variables["artifactID"], "file": _upload(f"{place}{variables['name']}")}
            return {"createArtifactManifest": {"artifactManifest": manifest}}
        if operation == "UpdateArtifactManifest":
            number = variables["artifactManifestID"]
            manifest = {"id": number, "file": _upload(f"{url}{STORAGE}{number}/wandb_manifest.json")}
            return {"updateArtifactManifest": {"artifactManifest": manifest}}
        if operation == "CreateArtifactFiles":
            nodes = [
                {
                    "storagePath": each["name"],
                    "artifact": {"id": each["artifactID"]},
                    "uploadMultipartUrls": None,
                    **_upload(f"{url}{STORAGE}{each['artifactID']}/{each['name']}"),
                }
                for each in variables["input"]["artifactFiles"]
            ]
            return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
        if operation == "CommitArtifact":
            self.versions[int(variables["artifactID"])].is_committed = True
            return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": "0"}}}
        if operation == "ArtifactByID":
            return {"artifact": self._show(int(variables["id"]))}
        return {"project": None}

    def take(self, path: str, body: bytes) -> None:
        """Keep what is uploaded."""
        number, name = path.removeprefix(STORAGE).split("/", 1)
        self.versions[int(number)].files[name] = body

    def _show(self, number: int) -> dict[str, Any]:
        artifact = self.versions[number]
        collection = {"__typename": "ArtifactSequence", "id": "1", "name": artifact.name}
        project = {"id": "1", "internalId": "UHJvamVjdDp2MTox", "name": "p", "entity": {"id": "1", "name": "someone"}}
        unknown = dict.fromkeys(("description", "metadata", "historyStep", "commitHash", "updatedAt", "aliases"))
        return {
            **unknown,
            "__typename": "Artifact",
            "id": str(number),
            "artifactSequence": {**collection, "project": project},
            "versionIndex": number,
            "artifactType": {"name": artifact.kind},
            "ttlDurationSeconds": -2,
            "ttlIsInherited": False,
            "tags": [],
            "state": "COMMITTED",
            "size": 1,
            "digest": "0",
            "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00",
        }


def _upload(url: str) -> dict[str, Any]:
    return {"id": "1", "uploadUrl": url, "uploadHeaders": []}
