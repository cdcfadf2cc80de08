"""Why a predicate is refused. Every refusal names the parameter and, where there is one, the place in its text."""

from typing import ClassVar

from iotsphere.kernel.errors import RuleViolationError

PARAMETER = "path"
SHOWN_LENGTH = 32


class PredicateMalformedError(RuleViolationError):
    """At ``position``, counted in characters from 1, stands what cannot stand there."""

    code: ClassVar[str] = "assets.predicate.malformed"

    def __init__(self, position: int, found: str, allowed: str) -> None:
        message = f"At character {position}: {found[:SHOWN_LENGTH]} cannot stand here, but {allowed} can."
        super().__init__(f"{PARAMETER}: {message}", {PARAMETER: [message]})


class PredicateTooLargeError(RuleViolationError):
    code: ClassVar[str] = "assets.predicate.too_large"

    def __init__(self, limit: str) -> None:
        message = f"No more than {limit}: ask for less at once."
        super().__init__(f"{PARAMETER}: {message}", {PARAMETER: [message]})


class PredicatePatternError(RuleViolationError):
    """``position`` is where the pattern's text begins."""

    code: ClassVar[str] = "assets.predicate.pattern_unsupported"

    def __init__(self, position: int, reason: str) -> None:
        message = f"At character {position}: the pattern cannot be used: {reason}"
        super().__init__(f"{PARAMETER}: {message}", {PARAMETER: [message]})
