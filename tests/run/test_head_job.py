from __future__ import annotations

from pathlib import Path

from stt_tune.run.head_job import Tail


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
