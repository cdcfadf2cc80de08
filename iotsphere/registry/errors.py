from iotsphere.kernel.errors import (
    ConflictError,
    NotFoundError,
    NotPermittedError,
    RuleViolationError,
    TooManyRequestsError,
    UnauthenticatedError,
)


class DeviceNotFoundError(NotFoundError):
    """There is no such device, or it is another organisation's: the two look the same."""

    code = "registry.device.not_found"

    def __init__(self) -> None:
        super().__init__("There is no such device. Check the id, and the organisation that you act for.")


class ImportBusyError(TooManyRequestsError):
    code = "registry.import.busy"


class SerialNumberTakenError(ConflictError):
    code = "registry.device.serial_number_taken"

    def __init__(self, serial_number: str) -> None:
        super().__init__(f"Another device of the organisation has the serial number {serial_number!r}.")


class TooManyLabelsError(RuleViolationError):
    code = "registry.device.too_many_labels"

    def __init__(self, limit: int) -> None:
        message = f"A device has {limit} labels at the most. Take some away, with null as their value."
        super().__init__(message, {"labels": [message]})


class DeviceSuspendedError(NotPermittedError):
    code = "registry.device.suspended"

    def __init__(self) -> None:
        super().__init__("The device is suspended. An operator can set its status to active again.")


class CredentialNotFoundError(NotFoundError):
    code = "registry.credential.not_found"

    def __init__(self) -> None:
        super().__init__("The device has no such credential.")


class CredentialRotatedError(ConflictError):
    code = "registry.credential.rotated"

    def __init__(self) -> None:
        super().__init__("The credential was rotated already. Rotate the one that took its place.")


class TooManyCredentialsError(ConflictError):
    code = "registry.credential.too_many"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A device has {limit} live credentials at the most. Revoke one that it no longer needs.")


class ExpiryPastError(RuleViolationError):
    """Something is to end before it begins."""

    def __init__(self) -> None:
        message = "Must lie in the future."
        super().__init__(message, {"expires_at": [message]})


class ProvisioningKeyNotFoundError(NotFoundError):
    code = "registry.provisioning_key.not_found"

    def __init__(self) -> None:
        super().__init__("There is no such provisioning key in the organisation.")


class ProvisioningKeyRevokedError(UnauthenticatedError):
    """It was revoked after it had been recognised."""

    code = "registry.provisioning_key.revoked"

    def __init__(self) -> None:
        super().__init__("The provisioning key is not valid.")


class ProvisioningKeySpentError(NotPermittedError):
    code = "registry.provisioning_key.spent"

    def __init__(self) -> None:
        super().__init__("The provisioning key has made all the devices that it may make.")


class ProvisioningKeyExpiredError(NotPermittedError):
    code = "registry.provisioning_key.expired"

    def __init__(self) -> None:
        super().__init__("The provisioning key has expired. An administrator can make a new one.")
