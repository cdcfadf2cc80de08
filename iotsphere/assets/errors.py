from typing import ClassVar

from iotsphere.kernel.errors import (
    ConflictError,
    NotFoundError,
    RuleViolationError,
    TooLargeError,
    TooManyRequestsError,
)


class AssetNotFoundError(NotFoundError):
    """There is no such asset, or it is another organisation's: the two look the same."""

    code: ClassVar[str] = "assets.asset.not_found"

    def __init__(self) -> None:
        super().__init__("There is no such asset. Check the id, and the organisation that you act for.")


class AssetVersionNotFoundError(NotFoundError):
    """The asset is there, and was not then, or not as that version; or nobody knows any more what it was."""

    code: ClassVar[str] = "assets.version.not_found"


class AssetDeviceTakenError(ConflictError):
    """A device has one asset."""

    code: ClassVar[str] = "assets.asset.device_taken"

    def __init__(self) -> None:
        super().__init__("The device has an asset already. Change that one, or leave device_id out.")


class AssetBoundToDeviceError(ConflictError):
    code: ClassVar[str] = "assets.asset.bound_to_device"

    def __init__(self) -> None:
        super().__init__("This is the asset of a device and goes when the device is retired.")


class AssetTooLargeError(TooLargeError):
    code: ClassVar[str] = "assets.asset.too_large"

    def __init__(self, field: str, limit: int) -> None:
        super().__init__(f"{field} may take {limit} bytes as compact JSON, and would take more.")


class AssetParentUnknownError(RuleViolationError):
    """There is no such asset to be below, or it is another organisation's: the two look the same."""

    def __init__(self) -> None:
        message = "There is no such asset."
        super().__init__(f"parent_id: {message}", {"parent_id": [message]})


class AssetTooDeepError(RuleViolationError):
    def __init__(self, levels: int) -> None:
        message = f"The tree would have more than {levels} levels."
        super().__init__(f"parent_id: {message}", {"parent_id": [message]})


class AssetCycleError(ConflictError):
    """In a tree nothing is below itself."""

    code: ClassVar[str] = "assets.asset.cycle"

    def __init__(self) -> None:
        super().__init__("The asset cannot be put below itself, nor below what is below it.")


class AssetHasChildrenError(ConflictError):
    code: ClassVar[str] = "assets.asset.has_children"

    def __init__(self) -> None:
        super().__init__("Other assets are below this one. Remove them or move them first.")


class TreeBusyError(TooManyRequestsError):
    code: ClassVar[str] = "assets.tree.busy"

    def __init__(self) -> None:
        super().__init__(
            "Others are changing the organisation's trees, or move much. Try again shortly.", retry_after_seconds=1
        )


class SearchTooCostlyError(RuleViolationError):
    """``field`` is where to say more of what is looked for."""

    code: ClassVar[str] = "assets.search.too_costly"

    def __init__(self, field: str = "match") -> None:
        message = (
            "The search takes longer than the store may be at it. Narrow it down by what few assets have: by what"
            " match contains, by an equality in path, by a word of the name, by an ancestor or a relationship."
        )
        super().__init__(f"{field}: {message}", {field: [message]})


class SearchBusyError(TooManyRequestsError):
    code: ClassVar[str] = "assets.search.busy"

    def __init__(self) -> None:
        super().__init__("Other searches of the organisation are at it. Try again shortly.", retry_after_seconds=1)


class SearchOrderError(RuleViolationError):
    """Only what has an index can be sorted by where there are many."""

    code: ClassVar[str] = "assets.search.order"

    def __init__(self, most: int) -> None:
        message = (
            f"This property is not kept in order, and more than {most} assets would have to be sorted by it. Narrow"
            " the search down to fewer, or sort by another property, name or created_at."
        )
        super().__init__(f"sort: {message}", {"sort": [message]})


class AggregateTooCostlyError(RuleViolationError):
    code: ClassVar[str] = "assets.aggregate.too_costly"

    def __init__(self) -> None:
        message = (
            "More assets would be looked at than the store can go through in time. Narrow them down by filter, as to"
            " what is below an ancestor, or ask for figures of one property of all assets, without other groups."
        )
        super().__init__(f"filter: {message}", {"filter": [message]})


class AggregateOverflowError(RuleViolationError):
    code: ClassVar[str] = "assets.aggregate.overflow"

    def __init__(self) -> None:
        message = (
            "The numbers are so large that a figure computed from them exceeds the largest double. Ask for count, or"
            " narrow the assets down to others."
        )
        super().__init__(f"measures: {message}", {"measures": [message]})


class AggregateBusyError(TooManyRequestsError):
    code: ClassVar[str] = "assets.aggregate.busy"

    def __init__(self) -> None:
        super().__init__(
            "Other figures of the organisation are being worked out. Try again shortly.", retry_after_seconds=1
        )


class RelationshipNotFoundError(NotFoundError):
    code: ClassVar[str] = "assets.relationship.not_found"

    def __init__(self) -> None:
        super().__init__("There is no such relationship between the two assets.")


class RelationshipToItselfError(ConflictError):
    code: ClassVar[str] = "assets.relationship.to_itself"

    def __init__(self) -> None:
        super().__init__("A relationship leads from one asset to another one.")


class RelationshipTooLargeError(TooLargeError):
    code: ClassVar[str] = "assets.relationship.too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"properties may take {limit} bytes as compact JSON, and would take more.")


class DeviceTypeNotFoundError(NotFoundError):
    """There is no such device type, or it is another organisation's: the two look the same."""

    code: ClassVar[str] = "assets.device_type.not_found"

    def __init__(self) -> None:
        super().__init__("There is no device type of that name. Devices may name one all the same; a PUT makes it.")


class DeviceTypeShippedError(ConflictError):
    """What came with the platform cannot be taken away, only said anew."""

    code: ClassVar[str] = "assets.device_type.shipped"

    def __init__(self) -> None:
        super().__init__("This device type is as it came with the platform. There is nothing to take back.")


class DeviceTypeTooLargeError(TooLargeError):
    code: ClassVar[str] = "assets.device_type.too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A device type may take {limit} bytes as compact JSON, and would take more.")


class MaintenanceEventNotFoundError(NotFoundError):
    """The device has no such event in its log, or it is another organisation's: the two look the same."""

    code: ClassVar[str] = "assets.maintenance_event.not_found"

    def __init__(self) -> None:
        super().__init__("The device has no such event in its maintenance log. It may have been removed.")
