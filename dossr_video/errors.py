"""Everything that can go wrong, as one tree.

DossrError                what came, the rule, the remedy; exit code 1
├── SettingsError         an option, an argument or a combination of them is wrong; exit code 2
│   └── SamplerError      an argument of the diffusers scheduler; also a ValueError
├── SourceError           the input cannot be read, or is not what it must be
├── TargetError           the output cannot be written, or must not be
├── FramesError           frames in memory of a type or shape that is none; also a ValueError
├── ModelError            weights that are missing, damaged or of another model
├── JobError              a job folder that another process holds or that belongs to other settings
├── ProofError            the result was read back and differs from what was promised; exit code 3
└── Interrupted           the user stopped the run; exit code 130
"""

from __future__ import annotations


class DossrError(Exception):
    """An error that a user can cause and mend.

    `message` says what came and the rule it broke, `hint` the remedy; each is one line.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments do not survive pickling (workers in other processes) without this.
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[DossrError], message: str, hint: str) -> DossrError:
    return kind(message, hint=hint)


class SettingsError(DossrError):
    exit_code = 2


class SamplerError(SettingsError, ValueError):
    pass


class SourceError(DossrError):
    pass


class TargetError(DossrError):
    pass


class FramesError(DossrError, ValueError):
    pass


class ModelError(DossrError):
    pass


class JobError(DossrError):
    pass


class ProofError(DossrError):
    exit_code = 3


class Interrupted(DossrError):
    exit_code = 130
