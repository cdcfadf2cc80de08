from datetime import date

from iotsphere.kernel.errors import (
    ConflictError,
    NotFoundError,
    RuleViolationError,
    TooLargeError,
    TooManyRequestsError,
)
from iotsphere.telemetry.model import IntakeReport

# When queries that were under way are over.
RETRY_AFTER_SECONDS = 2


class TooManyValuesError(TooLargeError):
    code = "telemetry.batch.too_large"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} values in one request; {limit} are the most. Send them in several requests.")


class BatchRejectedError(RuleViolationError):
    """Not one value could be taken. The ledger has counted them all the same."""

    code = "telemetry.batch.rejected"
    title = "Every value was rejected"

    def __init__(self, report: IntakeReport) -> None:
        super().__init__("Not one value could be taken. See errors for each one's reason.")
        self.report = report


class StreamBusyError(TooManyRequestsError):
    code = "telemetry.stream.busy"


class TooManyIntervalsError(RuleViolationError):
    code = "telemetry.query.too_many_intervals"

    def __init__(self, limit: int) -> None:
        detail = (
            f"The answer would have more than {limit} intervals. Ask for longer ones, or for a shorter range of time."
        )
        super().__init__(detail, {"interval": [detail]})


class TooManyPointsError(RuleViolationError):
    code = "telemetry.query.too_many_points"

    def __init__(self, limit: int) -> None:
        detail = (
            f"The answer would have more than {limit} points over all series. Ask for fewer, or for fewer metrics."
        )
        super().__init__(detail, {"max_points": [detail]})


class QueryTooCostlyError(RuleViolationError):
    code = "telemetry.query.too_costly"

    def __init__(self) -> None:
        super().__init__(
            "The query reads more points than the store can go through in time. "
            "Ask for a shorter range of time, for fewer metrics or with a smaller limit."
        )


class QueryBusyError(TooManyRequestsError):
    code = "telemetry.query.busy"

    def __init__(self) -> None:
        super().__init__(
            "Other queries of the organisation, or of many, are being answered. Try again shortly, or ask for less.",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )


class FigureOverflowError(RuleViolationError):
    code = "telemetry.query.overflow"

    def __init__(self) -> None:
        super().__init__(
            "The numbers are so large that a figure computed from them exceeds the largest double. "
            "Ask for min, max, first, last or count."
        )


class RetentionClassNotFoundError(NotFoundError):
    code = "telemetry.retention_class.not_found"

    def __init__(self) -> None:
        super().__init__("There is no such retention class.")


class DefaultClassError(ConflictError):
    code = "telemetry.retention_class.default"

    def __init__(self) -> None:
        super().__init__("The default class is for whatever no other class is for, and stays.")


class TooManyClassesError(ConflictError):
    code = "telemetry.retention_class.too_many"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} retention classes are the most, and those that were deleted count. Redefine one.")


class ArchiveBusyError(ConflictError):
    code = "telemetry.archive.busy"

    def __init__(self) -> None:
        super().__init__("A worker archives readings just now. Try again in a while.")


class ArchiveDamagedError(ConflictError):
    code = "telemetry.archive.damaged"

    def __init__(self, day: date) -> None:
        super().__init__(f"The file of {day} is missing, or is not as it was written. Bring it from a backup.")
