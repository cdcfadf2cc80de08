"""Readings of many devices that came together: parted by device, and what became of them put together again."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.decoding import Batch, Refusal, read_batch
from iotsphere.telemetry.intake import Receipt, Submission
from iotsphere.telemetry.model import EARLIEST, Counts, IntakeReport, Reading, Rejection
from iotsphere.telemetry.retention import refusals_of, without_expired

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class GivenReading:
    """A reading as decoded JSON, an object without the device; ``place`` tells it from the others.

    ``size`` counts its values, and is one at the least.
    """

    place: int
    device_id: DeviceId
    document: dict[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is of one device; ``places`` are those of the submission's readings."""

    submission: Submission
    places: Sequence[int]
    rejections: Sequence[Rejection]

    def on_terms(self, kept_since: Mapping[int, datetime], device_types: Mapping[DeviceId, str]) -> "Parcel":
        """Say since when each class is kept, and of which type the device is."""
        device_type = device_types.get(self.submission.device_id)
        return replace(self, submission=replace(self.submission, kept_since=kept_since, device_type=device_type))


def part_by_device(
    given: Iterable[GivenReading],
    *,
    refused: Mapping[DeviceId, Refusal],
    arrived_at: datetime,
    kept_since: datetime = EARLIEST,
) -> list[Parcel]:
    """Part the readings; of a device that is refused all are rejected, and so is what is older than what is kept.

    Those without a time are of ``arrived_at``, each of a device a microsecond after the one before it.
    """
    of_devices: dict[DeviceId, list[GivenReading]] = defaultdict(list)
    for reading in given:
        of_devices[reading.device_id].append(reading)
    return [
        _refuse(own, refused[device_id], arrived_at) if device_id in refused else _read(own, arrived_at, kept_since)
        for device_id, own in of_devices.items()
    ]


def _refuse(own: Sequence[GivenReading], refusal: Refusal, arrived_at: datetime) -> Parcel:
    submission = Submission(own[0].device_id, arrived_at, (), sum(reading.size for reading in own))
    return Parcel(submission, (), [Rejection(reading.place, *refusal) for reading in own])


def _read(own: Sequence[GivenReading], arrived_at: datetime, kept_since: datetime) -> Parcel:
    readings: list[Reading] = []
    places: list[int] = []
    rejections: list[Rejection] = []
    rejected = 0
    for part, every in _batches(own, arrived_at):
        batch = without_expired(every, kept_since)
        readings += batch.readings
        places += [part[index].place for index in batch.indexes]
        rejections += [
            Rejection(part[rejection.index].place, rejection.code, rejection.detail, rejection.metric)
            for rejection in batch.rejections
        ]
        rejected += batch.rejected
    return Parcel(Submission(own[0].device_id, arrived_at, readings, rejected), places, rejections)


def _batches(own: Sequence[GivenReading], arrived_at: datetime) -> Iterator[tuple[Sequence[GivenReading], Batch]]:
    device_id = own[0].device_id
    if all("ts" in reading.document for reading in own):
        documents = [reading.document for reading in own]
        yield own, read_batch(documents, device_id=device_id, arrived_at=arrived_at)
        return
    for number, reading in enumerate(own):
        moment = arrived_at + number * MICROSECOND
        yield [reading], read_batch(reading.document, device_id=device_id, arrived_at=moment)


def put_together(parcels: Sequence[Parcel], receipts: Sequence[Receipt]) -> IntakeReport:
    """Sum up what became of the parcels; rejections are by place, and ``index`` is the reading's."""
    counts = sum((receipt.counts for receipt in receipts), Counts())
    rejections = [rejection for parcel in parcels for rejection in parcel.rejections]
    rejections += [
        Rejection(parcel.places[number], *refusal)
        for parcel, receipt in zip(parcels, receipts, strict=True)
        for number, unsettled in receipt.unsettled.items()
        for refusal in refusals_of(unsettled)
    ]
    latest = {
        parcel.submission.device_id: max(reading.ts for reading in parcel.submission.readings)
        for parcel in parcels
        if parcel.submission.readings
    }
    return IntakeReport(counts, sorted(rejections, key=_place), latest)


def _place(rejection: Rejection) -> int:
    return rejection.index
