"""Every exception that a user of stt_tune can meet.

A message says where, what must hold, what was found and what to do. `exit_code` is what the
command line returns for it: 2 for a wrong call or wrong input, 1 for a run that failed.
"""

from collections.abc import Iterable


class SttTuneError(Exception):
    """Base of all errors that are the user's to mend; shown without a traceback."""

    exit_code = 2


class SweepConfigError(SttTuneError, ValueError):
    """A sweep file that cannot be run; the message holds all its problems, one a line."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.problems = tuple(f"{source}: {problem}" for problem in problems)
        super().__init__("\n".join(self.problems))


class ManifestError(SttTuneError, ValueError):
    """A manifest with bad rows or without a usable split; one `FILE:LINE: what` a line."""


class ModelError(SttTuneError, ValueError):
    """A model that is unknown, unsupported or incomplete."""


class HubUnreachableError(SttTuneError, ConnectionError):
    """The model hub could not be reached, so a hub name could not be resolved."""

    exit_code = 1


class SettingsError(SttTuneError, ValueError):
    """A run setting that cannot hold: an option, a default configuration, a run folder."""


class SharedFileError(SttTuneError, OSError):
    """A shared file that cannot be read or written, or that others keep writing."""

    exit_code = 1


class WandbError(SttTuneError, ConnectionError):
    """W&B that cannot be reached, or refuses what it is sent."""

    exit_code = 1


class WandbSyncError(WandbError):
    """W&B that did not take all of a run folder; what was uploaded is kept."""


class StorageError(SttTuneError, OSError):
    """Storage that cannot be read or written, such as that behind a URL."""

    exit_code = 1


class SweepFailedError(SttTuneError, RuntimeError):
    """A sweep that ran and produced nothing to choose from."""

    exit_code = 1


class OtherFailedError(SweepFailedError):
    """One of several processes that train one network has failed, and it was not this one."""


class SweepHaltedError(SweepFailedError):
    """A sweep that could not go on, as its folder cannot be written or Ray failed; what was finished is kept."""


class SweepInterruptedError(SttTuneError):
    """A sweep stopped by Ctrl-C, SIGTERM or a terminal that closed; what was finished is kept."""

    exit_code = 130


class TrainingMemoryError(SttTuneError, MemoryError):
    """Memory that ran out in training with the smallest batch; the trial fails, the sweep goes on."""

    exit_code = 1


class DivergedError(SttTuneError, ArithmeticError):
    """Training whose loss became NaN or infinite; the trial ends, the sweep goes on."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """What an error of another library says first; its kind, where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
