"""The store of latest values in memory; the contract suite holds it to what the real one does."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import count

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.latest import fits, write_object
from iotsphere.telemetry.ports import LatestLease, Marking

TIME = slice(7, 34)


@dataclass
class KeptValues:
    """What is kept of a device: values of an epoch, or a lease to fill them in, or word that they are too many."""

    epoch: int | None = None
    lease: str | None = None
    mark: str | None = None
    is_large: bool = False
    values: dict[str, str] = field(default_factory=dict)


class InMemoryLatestStore:
    """Of two of the same ``kept``, each may be cut off for itself."""

    def __init__(self, kept: dict[DeviceId, KeptValues] | None = None) -> None:
        self.kept = {} if kept is None else kept
        self.is_down = False
        self._tokens = count()

    async def find(
        self, device_id: DeviceId, metrics: Collection[str] | None, *, epoch: int
    ) -> str | LatestLease | None:
        self._reach()
        found = self.kept.get(device_id)
        if found is not None and (found.mark or found.is_large or found.lease):
            return None
        if found is None or found.epoch != epoch:
            lease = LatestLease(device_id, self._make_token(), epoch)
            self.kept[device_id] = KeptValues(lease=lease.token)
            return lease
        wanted = found.values if metrics is None else [metric for metric in metrics if metric in found.values]
        return write_object({metric: found.values[metric] for metric in wanted})

    async def fill(self, lease: LatestLease, values: Mapping[str, str] | None) -> None:
        self._reach()
        found = self.kept.get(lease.device_id)
        if found is not None and found.lease == lease.token:
            is_large = values is None or not fits(values)
            self.kept[lease.device_id] = KeptValues(
                None if is_large else lease.epoch, is_large=is_large, values=dict(values or {})
            )

    async def mark(self, device_ids: Collection[DeviceId]) -> Marking:
        self._reach()
        marking = Marking(self._make_token(), [])
        kept = []
        for device_id in device_ids:
            found = self.kept.get(device_id)
            if found is None or found.is_large:
                continue
            if found.mark or found.lease:
                del self.kept[device_id]
            else:
                found.mark = marking.token
                kept.append(device_id)
        return marking._replace(device_ids=kept)

    async def settle(
        self, marking: Marking, values: Mapping[DeviceId, Mapping[str, str]] | None, *, replaces: bool
    ) -> None:
        self._reach()
        for device_id in marking.device_ids:
            found = self.kept.pop(device_id, None)
            if found is None or found.mark != marking.token or values is None:
                continue
            for metric, text in values.get(device_id, {}).items():
                old = found.values.get(metric, "")
                if old[TIME] < text[TIME] or (replaces and old[TIME] == text[TIME]):
                    found.values[metric] = text
            self.kept[device_id] = (
                KeptValues(found.epoch, values=found.values) if fits(found.values) else KeptValues(is_large=True)
            )

    def _reach(self) -> None:
        if self.is_down:
            raise UnavailableError("latest", "The store of latest values does not answer.")

    def _make_token(self) -> str:
        return f"{id(self)}-{next(self._tokens)}"
