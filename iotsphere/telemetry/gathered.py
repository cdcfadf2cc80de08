"""Readings of many devices that came together: parted by device, and what became of them put together again."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.blocks import latest_of
from iotsphere.telemetry.decoding import Batch, PlainReading, Refusal, read_batch, read_plain_times, to_readings
from iotsphere.telemetry.intake import Receipt, Submission
from iotsphere.telemetry.model import EARLIEST, Counts, IntakeReport, Reading, Rejection
from iotsphere.telemetry.retention import refusals_of, without_expired


class GivenReading(NamedTuple):
    """A reading as decoded JSON, an object without the device, or plain; ``place`` tells it from the others.

    ``size`` counts its values, and is one at the least.
    """

    place: int
    device_id: DeviceId
    document: dict[str, Any] | PlainReading
    size: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is of one device; ``places`` are those of the submission's readings."""

    submission: Submission
    places: Sequence[int]
    rejections: Sequence[Rejection]


class Terms(NamedTuple):
    """When the readings arrived, since when each class is kept, and of which types devices are."""

    arrived_at: datetime
    kept_since: Mapping[int, datetime]
    device_types: Mapping[DeviceId, str]

    def submit(self, device_id: DeviceId, readings: Sequence[Reading], rejected: int) -> Submission:
        device_type = self.device_types.get(device_id)
        return Submission(device_id, self.arrived_at, readings, rejected, device_type, self.kept_since)


def part_by_device(
    given: Sequence[GivenReading], *, refused: Mapping[DeviceId, Refusal], terms: Terms
) -> list[Parcel]:
    """Part the readings; of a device that is refused all are rejected, and so is what is older than what is kept.

    Those without a time are of their arrival, each of a device a microsecond after the one before it.
    """
    of_devices: dict[DeviceId, list[int]] = defaultdict(list)
    for number, reading in enumerate(given):
        of_devices[reading.device_id].append(number)
    kept_since = min(terms.kept_since.values(), default=EARLIEST)
    plain = None if refused else _find_plain(given, terms.arrived_at, kept_since)
    if plain is not None:
        return [
            Parcel(
                terms.submit(device_id, plain.take(own, device_id), 0), [given[number].place for number in own], []
            )
            for device_id, own in of_devices.items()
        ]
    parts = ((device_id, [given[number] for number in own]) for device_id, own in of_devices.items())
    return [
        _refuse(own, refused[device_id], terms) if device_id in refused else _read(own, terms, kept_since)
        for device_id, own in parts
    ]


class PlainReadings(NamedTuple):
    """Readings about which there is nothing to say, and the time of each in microseconds."""

    documents: Sequence[PlainReading]
    times: Sequence[int]

    def take(self, numbers: Sequence[int], device_id: DeviceId) -> Sequence[Reading]:
        """Give those of a device."""
        documents = [self.documents[number] for number in numbers]
        return to_readings(device_id, documents, [self.times[number] for number in numbers])


def _find_plain(given: Sequence[GivenReading], arrived_at: datetime, kept_since: datetime) -> PlainReadings | None:
    """Look at all together, which may be of thousands of devices; None says that there may be more to it."""
    documents = [reading.document for reading in given if isinstance(reading.document, PlainReading)]
    if not given or len(documents) < len(given) or not all(map(_tells_time, documents)):
        return None
    times = read_plain_times(documents, arrived_at)
    if times is None or min(times) < (kept_since - EPOCH) // MICROSECOND:
        return None
    return PlainReadings(documents, times)


def _refuse(own: Sequence[GivenReading], refusal: Refusal, terms: Terms) -> Parcel:
    submission = terms.submit(own[0].device_id, (), sum(reading.size for reading in own))
    return Parcel(submission, (), [Rejection(reading.place, *refusal) for reading in own])


def _read(own: Sequence[GivenReading], terms: Terms, kept_since: datetime) -> Parcel:
    parts = [(part, without_expired(batch, kept_since)) for part, batch in _batches(own, terms.arrived_at)]
    places = [part[index].place for part, batch in parts for index in batch.indexes]
    rejections = [
        Rejection(part[rejection.index].place, rejection.code, rejection.detail, rejection.metric)
        for part, batch in parts
        for rejection in batch.rejections
    ]
    rejected = sum(batch.rejected for _, batch in parts)
    # What is in columns stays there.
    readings = parts[0][1].readings if len(parts) == 1 else [each for _, batch in parts for each in batch.readings]
    return Parcel(terms.submit(own[0].device_id, readings, rejected), places, rejections)


def _batches(own: Sequence[GivenReading], arrived_at: datetime) -> Iterator[tuple[Sequence[GivenReading], Batch]]:
    device_id = own[0].device_id
    documents = _alike([reading.document for reading in own])
    if all(map(_tells_time, documents)):
        yield own, read_batch(documents, device_id=device_id, arrived_at=arrived_at)
        return
    for number, reading in enumerate(own):
        moment = arrived_at + number * MICROSECOND
        yield [reading], read_batch(documents[number], device_id=device_id, arrived_at=moment)


def _alike(documents: Sequence[dict[str, Any] | PlainReading]) -> Sequence[dict[str, Any] | PlainReading]:
    if all(isinstance(each, PlainReading) for each in documents):
        return documents
    return [each.document if isinstance(each, PlainReading) else each for each in documents]


def _tells_time(document: dict[str, Any] | PlainReading) -> bool:
    return document.ts is not msgspec.UNSET if isinstance(document, PlainReading) else "ts" in document


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
        parcel.submission.device_id: latest_of(parcel.submission.readings)
        for parcel in parcels
        if parcel.submission.readings
    }
    return IntakeReport(counts, sorted(rejections, key=_place), latest)


def _place(rejection: Rejection) -> int:
    return rejection.index
