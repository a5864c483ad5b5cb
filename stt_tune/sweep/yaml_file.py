"""Read a YAML file as people mean it: a key that stands twice is a mistake, not a choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stt_tune.errors import SweepConfigError, first_line


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader takes the last of two equal keys, without a word."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Build what a node stands for, or say where there is none, such as a 30th of February."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, IndexError) as error:
            kind = node.tag.rpartition(":")[2]
            why = f" ({first_line(error)})" if isinstance(error, ValueError) else ""  # others are the library's own
            reason = f"what stands there is no {kind}{why}. Put it in quotes, if it is meant as text"
            raise yaml.MarkedYAMLError(None, None, reason, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build the mapping, or refuse it."""
        seen = set()
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(None, None, f"the key {key.value} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, source: str | None = None, kind: str = "sweep file") -> tuple[str, Any]:
    """Give a file's text and what it says.

    Args:
        path: The file.
        source: What messages call it; None: by its path.
        kind: What it is to be.

    Raises:
        SweepConfigError: It cannot be read, or is no YAML.
    """
    source = source or str(path)
    try:
        text = path.read_text(encoding="utf-8")
        return text, yaml.load(text, _StrictLoader)
    except OSError as error:
        raise SweepConfigError(source, [f"must be a readable {kind}, found: {error.strerror}."]) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        reason = f"{getattr(error, 'problem', None) or error}{where}"
        raise SweepConfigError(source, [f"must be YAML, and cannot be read: {reason}."]) from error
