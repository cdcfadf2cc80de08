from datetime import timedelta
from uuid import uuid4

from prometheus_client import generate_latest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH
from iotsphere.shadow.backlog import BacklogReport
from iotsphere.shadow.model import ShadowKey
from iotsphere.shadow.ports import Backlog
from tests.factories.journal import make_history, reporting
from tests.fakes.shadow import InMemoryChangeStream, InMemoryShadowRepository, InMemoryShadowStore


def shown() -> dict[str, str]:
    lines = [line.split() for line in generate_latest().decode().splitlines()]
    return {
        name.removeprefix("iotsphere_shadow_backlog_"): value
        for name, value in (line for line in lines if len(line) == 2)
        if name.startswith("iotsphere_shadow_backlog_")
    }


async def test_metrics_tell_how_much_waits_and_for_how_long() -> None:
    class LateStream(InMemoryChangeStream):
        async def measure(self) -> Backlog:
            return Backlog(3, 2048, 1_000_000 * 5000 + 7, 1_000_000 * 6000)

    late = LateStream(InMemoryShadowStore.begun())
    await BacklogReport(stream=late, clock=lambda: EPOCH + timedelta(seconds=12)).tell_metrics()
    assert shown() == {"changes": "3.0", "bytes": "2048.0", "age_seconds": "7.0"}

    # The clock of the store is ahead.
    await BacklogReport(stream=late, clock=lambda: EPOCH).tell_metrics()
    assert shown()["age_seconds"] == "0.0"


async def test_metrics_tell_that_nothing_waits_and_that_nothing_is_known() -> None:
    store = InMemoryShadowStore.begun()
    report = BacklogReport(stream=InMemoryChangeStream(store), clock=lambda: EPOCH)
    await report.tell_metrics()
    assert shown() == {"changes": "0.0", "bytes": "0.0", "age_seconds": "0.0"}

    (change,) = make_history(ShadowKey(DeviceId(uuid4())), [reporting({})])
    await InMemoryShadowRepository(store).save(change, replacing=0, fsynced=False)
    await report.tell_metrics()
    assert shown()["changes"] == "1.0"

    store.server.flush()
    await report.tell_metrics()
    assert shown() == {"changes": "NaN", "bytes": "NaN", "age_seconds": "NaN"}
