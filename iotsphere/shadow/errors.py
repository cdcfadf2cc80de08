from iotsphere.kernel.errors import (
    ConflictError,
    DomainError,
    NotFoundError,
    NotPermittedError,
    TooLargeError,
    UnavailableError,
)


class ShadowNotFoundError(NotFoundError):
    code = "shadow.document.not_found"

    def __init__(self, detail: str = "The device has no such shadow. Writing it makes it.") -> None:
        super().__init__(detail)


class ShadowVersionConflictError(ConflictError):
    code = "shadow.version.conflict"

    def __init__(self, *, expected: int, current: int) -> None:
        super().__init__(
            f"The change expects version {expected} and the shadow is at {current}. "
            "Nothing was changed; read the shadow and decide again."
        )


class ShadowTooLargeError(TooLargeError):
    code = "shadow.document.too_large"


class DesiredStateForbiddenError(NotPermittedError):
    code = "shadow.desired.forbidden"

    def __init__(self) -> None:
        super().__init__("A device reports what it is; what it shall be is for an operator to say.")


class ShadowDeletionForbiddenError(NotPermittedError):
    code = "shadow.document.deletion_forbidden"

    def __init__(self) -> None:
        super().__init__("A device may not delete its shadow.")


class ShadowChangeUnconfirmedError(UnavailableError):
    """The store was asked for a change and did not say in time that it is safe."""

    def __init__(self) -> None:
        super().__init__(
            "shadow",
            "The shadow store did not confirm the change in time. It may have been made: read the shadow before "
            "you try again.",
        )


class ShadowBusyError(UnavailableError):
    """Others were writing the shadow for as long as a request can wait."""

    def __init__(self) -> None:
        super().__init__(
            "shadow", "Other changes of this shadow took too long. Nothing was changed; try again shortly."
        )


class StoreUnverifiedError(Exception):
    """A sign within the platform: the server was restarted, emptied or exchanged since it was verified."""


class ShadowUnrestoredError(Exception):
    """A sign within the platform: the shadow has to be restored from the journal before it is used."""


class ChangesRefusedError(Exception):
    """A sign within the platform: the database of the journal refuses these changes, and would again."""


class ShadowStoreDamagedError(UnavailableError):
    """What lies under a key of the platform's is not what the platform put there."""

    code = "shadow.store.damaged"

    def __init__(self) -> None:
        DomainError.__init__(
            self,
            "What the shadow store holds here cannot be read. Nothing was changed; whoever runs the platform has to "
            "put it right.",
        )
        self.store = "shadow"


class ShadowsRebuildingError(UnavailableError):
    code = "shadow.store.rebuilding"

    def __init__(self) -> None:
        DomainError.__init__(
            self, "The shadow store has lost data and is being rebuilt from its journal. Try again shortly."
        )
        self.store = "shadow"


class ShadowJournalFullError(UnavailableError):
    code = "shadow.journal.full"

    def __init__(self) -> None:
        DomainError.__init__(
            self,
            "Too many changes wait for the journal, which does not keep up. Nothing was changed; try again later.",
        )
        self.store = "shadow"


class ShadowJournalBehindError(UnavailableError):
    code = "shadow.journal.behind"

    def __init__(self) -> None:
        DomainError.__init__(self, "The journal does not hold the latest changes yet. Try again shortly.")
        self.store = "telemetry"


class ShadowVersionNotFoundError(NotFoundError):
    code = "shadow.version.not_found"

    def __init__(self, version: int) -> None:
        super().__init__(f"The journal has no version {version} of this shadow, or not all that it was made of.")


class RefusalForbiddenError(NotPermittedError):
    code = "shadow.refusal.forbidden"

    def __init__(self) -> None:
        super().__init__("Only the device itself can refuse what is desired of it.")
