"""Every error this library raises on purpose.

::

    ForensicsError
    ├── EvidenceError            one evidence file; carries .source
    │   ├── UnknownFormatError   no format claims it; carries .declined, a reason per format   (ValueError)
    │   ├── ExpansionLimitError  a compressed file grows past a limit; carries .limit          (ValueError)
    │   ├── TimezoneNeededError  times without a zone, and no ``timezone=`` was given          (ValueError)
    │   └── YearNeededError      times without a year, and no ``year=`` was given              (ValueError)
    ├── CaseError                a case: not one, another schema, damaged, in use, not writable, unknown time zone
    ├── QueryError               a query that the engine refuses                               (ValueError)
    ├── ReportError              a report that could not be printed                            (RuntimeError)
    └── MissingToolError         an outside program or an optional package is not installed    (RuntimeError)

The command line prints the message of any of them and ends with exit code 2; every other exception is a bug.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CaseError",
    "EvidenceError",
    "ExpansionLimitError",
    "ForensicsError",
    "MissingToolError",
    "QueryError",
    "ReportError",
    "TimezoneNeededError",
    "UnknownFormatError",
    "YearNeededError",
]


class ForensicsError(Exception):
    """Root of all errors of this library."""


class EvidenceError(ForensicsError):
    """Something is wrong with one evidence file.

    Parameters
    ----------
    source
        Name of the evidence file, as the ``sources`` table shows it.
    problem
        What is wrong, what was expected, and what to do about it.
    """

    def __init__(self, source: str, problem: str) -> None:
        self.source = source
        self.problem = problem
        super().__init__(f"{source}: {problem}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the constructor's own arguments, so that worker processes can raise it."""
        return (type(self), (self.source, self.problem), self.__dict__)


class UnknownFormatError(EvidenceError, ValueError):
    """No format recognises the file; the message says why each one declined.

    Parameters
    ----------
    source
        Name of the evidence file.
    declined
        Reason of each format, by the format's name.
    """

    def __init__(self, source: str, declined: Mapping[str, str]) -> None:
        self.declined = dict(declined)
        reasons = "".join(f"\n  {name}: {why}" for name, why in sorted(self.declined.items()))
        super().__init__(source, f"no format recognises this file:{reasons}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the constructor's own arguments."""
        return (type(self), (self.source, self.declined), self.__dict__)


class ExpansionLimitError(EvidenceError, ValueError):
    """A compressed file expands beyond a limit (a decompression bomb, or a limit that is too low).

    Parameters
    ----------
    source
        Name of the evidence file.
    problem
        Which limit was met, at how many bytes.
    limit
        Name of the limit that was met: ``max_expanded`` or ``max_ratio``.
    """

    def __init__(self, source: str, problem: str, limit: str = "max_expanded") -> None:
        self.limit = limit
        super().__init__(source, problem)


class TimezoneNeededError(EvidenceError, ValueError):
    """The file's times carry no zone, and none was given."""


class YearNeededError(EvidenceError, ValueError):
    """The file's times carry no year, and none was given."""


class CaseError(ForensicsError):
    """A case cannot be made or used as asked.

    Its folder is no case, is damaged, cannot be written, is of another schema or in use; or its time zone is not known.
    """


class QueryError(ForensicsError, ValueError):
    """A query that the engine refuses; the message is the engine's own."""


class ReportError(ForensicsError, RuntimeError):
    """A report that could not be printed; the message says what the printing program said."""


class MissingToolError(ForensicsError, RuntimeError):
    """An outside program (tshark) or an optional package is not installed; the message says how to get it."""
