"""Why a request can be refused, without a word about HTTP.

    DomainError
    ├── NotFoundError        there is no such thing, or it belongs to somebody else
    ├── ConflictError        the state of things forbids it: a taken name, an older version
    │   └── PreconditionFailedError  the caller named the version it expects, and it is another one
    ├── RuleViolationError   well formed, but a rule of the domain forbids it
    ├── MalformedInputError  cannot be read at all
    ├── TooLargeError        over a stated limit
    ├── UnauthenticatedError no credential, or a wrong one
    ├── NotPermittedError    the caller is known and may not
    ├── TooManyRequestsError the caller has to slow down
    └── UnavailableError     the one store that is needed does not answer; worth another try

Contexts derive small classes with a stable ``code`` (``context.noun.reason``). ``iotsphere/api/errors.py`` alone
decides which HTTP status each category becomes.
"""

from typing import ClassVar

from iotsphere.kernel.identifiers import OrganisationId


class DomainError(Exception):
    """A refusal with a code for programs and a sentence for people.

    ``target`` and ``organisation_id`` tell the audit trail alone, never the caller, what was tried and whose it is.
    """

    code: ClassVar[str]
    title: ClassVar[str] = "The request was refused"
    target: str | None = None
    organisation_id: OrganisationId | None = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NotFoundError(DomainError):
    title = "Not found"


class ConflictError(DomainError):
    title = "Conflict with the present state"


class PreconditionFailedError(DomainError):
    code = "request.precondition.failed"
    title = "The resource has another version"


class RuleViolationError(DomainError):
    """A rule was broken; ``errors`` names the offending fields: ``{"field.path": ["what is wrong", ...]}``."""

    code = "request.payload.invalid"
    title = "The request is well formed but not valid"

    def __init__(self, detail: str, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors or {}


class MalformedInputError(DomainError):
    title = "The request cannot be read"


class TooLargeError(DomainError):
    title = "Too large"


class UnauthenticatedError(DomainError):
    title = "Not authenticated"


class NotPermittedError(DomainError):
    title = "Not permitted"


class TooManyRequestsError(DomainError):
    """A limit was reached; after ``retry_after_seconds`` there is room again."""

    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_seconds: float) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(DomainError):
    """A store did not answer in time. ``code`` names the store: ``telemetry.store.unavailable``."""

    title = "A store is unavailable"

    def __init__(self, store: str, detail: str) -> None:
        super().__init__(detail)
        self.store = store
        self.code = f"{store}.store.unavailable"  # type: ignore[misc]  # one class, a code per store
