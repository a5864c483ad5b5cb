"""Read a YAML file as people mean it: a key that stands twice is a mistake, not a choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stt_tune.errors import SweepConfigError


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader takes the last of two equal keys, without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build the mapping, or refuse it."""
        seen = set()
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(None, None, f"the key {key.value} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> tuple[str, Any]:
    """Give a file's text and what it says.

    Raises:
        SweepConfigError: It cannot be read, or is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return text, yaml.load(text, _StrictLoader)
    except OSError as error:
        raise SweepConfigError(str(path), [f"must be a readable sweep file, found: {error.strerror}."]) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        reason = f"{getattr(error, 'problem', None) or error}{where}"
        raise SweepConfigError(str(path), [f"must be YAML, and cannot be read: {reason}."]) from error
