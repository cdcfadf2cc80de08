from iotsphere.kernel.errors import (
    ConflictError,
    MalformedInputError,
    NotFoundError,
    NotPermittedError,
    RuleViolationError,
    TooManyRequestsError,
    UnauthenticatedError,
)


class CredentialMissingError(UnauthenticatedError):
    code = "identity.credential.missing"


class CredentialInvalidError(UnauthenticatedError):
    """Wrong, expired, revoked or made up: which of these is not told to whoever shows it."""

    code = "identity.credential.invalid"


class LoginRefusedError(UnauthenticatedError):
    code = "identity.login.refused"


class PasswordsBusyError(TooManyRequestsError):
    code = "identity.login.busy"


class RoleTooLowError(NotPermittedError):
    code = "identity.role.too_low"


class PlatformAdministratorRequiredError(NotPermittedError):
    code = "identity.role.not_platform_administrator"


class DeviceNotAllowedError(NotPermittedError):
    code = "identity.device.not_allowed"


class SessionMissingError(NotPermittedError):
    code = "identity.session.missing"


class CsrfTokenInvalidError(NotPermittedError):
    """A browser's request changes something, and nothing shows that a page of ours has made it."""

    code = "identity.csrf.invalid"


class UserRequiredError(NotPermittedError):
    code = "identity.user.required"


class RoleAboveMakerError(NotPermittedError):
    code = "identity.api_key.role_above_maker"


class ApiKeyNotFoundError(NotFoundError):
    code = "identity.api_key.not_found"

    def __init__(self) -> None:
        super().__init__("There is no such API key in the organisation.")


class EmailTakenError(ConflictError):
    code = "identity.user.email_taken"


class OrganisationNameTakenError(ConflictError):
    code = "identity.organisation.name_taken"


class UserNotFoundError(NotFoundError):
    code = "identity.user.not_found"


class LastAdministratorError(ConflictError):
    code = "identity.user.last_administrator"

    def __init__(self) -> None:
        super().__init__("Nobody else could administer any more. Make somebody else administrator first.")


class PasswordWrongError(NotPermittedError):
    code = "identity.password.wrong"


class PasswordOwnError(NotPermittedError):
    code = "identity.password.own"


class PasswordUnfitError(RuleViolationError):
    code = "identity.password.unfit"


class OrganisationNotFoundError(NotFoundError):
    """There is no such organisation, or it is not the caller's: the two look the same."""

    code = "identity.organisation.not_found"

    def __init__(self) -> None:
        super().__init__("There is no such organisation. Check the id, and the organisation that you act for.")


class SigningKeysUnreadableError(ConflictError):
    code = "identity.signing_keys.unreadable"

    def __init__(self) -> None:
        super().__init__(
            "None of the signing keys can be read with this secret key. "
            "Use the IOTSPHERE_SECRET_KEY that the platform runs with."
        )


class IdempotencyKeyReusedError(ConflictError):
    code = "idempotency.key.reused"


class IdempotencyKeyBusyError(ConflictError):
    code = "idempotency.key.busy"


class IdempotencyKeyMalformedError(MalformedInputError):
    code = "idempotency.key.malformed"
