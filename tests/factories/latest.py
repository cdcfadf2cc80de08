import time
from collections.abc import Callable

from iotsphere.telemetry.latest import EpochWatch, LatestValueService
from iotsphere.telemetry.latest_intake import LatestIntake
from iotsphere.telemetry.ports import LatestStore, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.query_room import QueryRoom


def build_latest(
    unit_of_work: TelemetryUnitOfWorkFactory,
    store: LatestStore,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    room: QueryRoom | None = None,
) -> tuple[LatestValueService, LatestIntake]:
    """Make what one process has of the latest values: what reads them, and what keeps them true."""
    epochs = EpochWatch(unit_of_work=unit_of_work, monotonic=monotonic)
    return (
        LatestValueService(unit_of_work=unit_of_work, store=store, epochs=epochs, room=room),
        LatestIntake(unit_of_work=unit_of_work, store=store, epochs=epochs),
    )
