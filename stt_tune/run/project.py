"""Which W&B project a sweep's runs go to, under a name that W&B takes."""

from __future__ import annotations

from stt_tune.errors import SettingsError

_DEFAULT = "stt-tune"
_REFUSED = "/\\#?%:"
_MOST = 128  # characters


def choose_project(mode: str, *names: str | None) -> str:
    """The first name that is given, else `stt-tune`; W&B itself would refuse a wrong one in every trial anew.

    Args:
        mode: Of W&B; where it is `disabled`, nobody asks for the name.
        names: Of the project, the most important first.

    Raises:
        SettingsError: W&B does not take it.
    """
    name = next((each for each in names if each), _DEFAULT)
    is_taken = isinstance(name, str) and len(name) <= _MOST and not set(_REFUSED) & set(name)
    if mode != "disabled" and not is_taken:
        raise SettingsError(
            f"W&B project: must be a name of at most {_MOST} characters without any of {' '.join(_REFUSED)}, found "
            f"{name!r}. Name the project alone; whose it is, `entity:` in the sweep file says."
        )
    return name
