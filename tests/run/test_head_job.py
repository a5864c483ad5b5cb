from __future__ import annotations

from pathlib import Path

import pytest
import ray

from stt_tune.errors import SweepFailedError
from stt_tune.run.head_job import Tail, _connect, _job


def test_a_file_is_read_line_by_line_as_it_grows_and_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    tail = Tail(path)
    assert tail.read(is_whole=False) == ""
    written = "erste Zeile\nzweite für".encode()
    path.write_bytes(written[:-1])
    assert tail.read(is_whole=False) == "erste Zeile\n"
    with path.open("ab") as file:
        file.write(written[-1:])
    assert tail.read(is_whole=False) == ""
    assert tail.read(is_whole=True) == "zweite für"
    assert tail.read(is_whole=True) == ""


def test_no_half_of_a_character_is_read(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    tail = Tail(path)
    path.write_bytes("ab\nü".encode()[:-1])
    assert tail.read(is_whole=False) == "ab\n"
    path.write_bytes("ab\nü\n".encode())
    assert tail.read(is_whole=False) == "ü\n"


def test_a_server_that_is_not_ready_in_time_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = 1
    asked = []

    def init(address: str, **_given: object) -> None:
        asked.append(address)
        if len(asked) <= failures:
            raise ConnectionError("Initialization failure from server")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # other tests share this process's Ray
    _connect("ray://head:10001")
    assert len(asked) == 2
    failures = 4
    with pytest.raises(SweepFailedError, match=r"connection was lost \(Initialization failure"), _job("ray://h:1", "j"):
        pass
    assert len(asked) == 4
