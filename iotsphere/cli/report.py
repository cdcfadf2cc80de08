"""What a command tells at its end: a table for people, or one JSON object for programs."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

LONGEST_TABLE = 200


@dataclass(slots=True)
class UploadCounts:
    """The platform's own counts of what it was sent: received = stored + duplicates + conflicts + rejected."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0

    def add(self, counts: dict[str, Any]) -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + counts[item.name])


@dataclass(slots=True)
class DeviceReport:
    """``in_recording`` and ``in_platform`` count distinct points, where both sides were counted."""

    serial_number: str
    device_type: str
    device_id: str | None = None
    counts: UploadCounts = field(default_factory=UploadCounts)
    in_recording: int | None = None
    in_platform: int | None = None


@dataclass(slots=True)
class Report:
    """``problems`` make the command fail, ``notes`` are worth knowing; both are sentences."""

    command: str
    devices: list[DeviceReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """What only this command has to tell."""

    @property
    def totals(self) -> UploadCounts:
        totals = UploadCounts()
        for device in self.devices:
            totals.add(asdict(device.counts))
        return totals


def to_json(report: Report) -> str:
    content = {
        "command": report.command,
        "ok": not report.problems,
        "totals": report.totals,
        "devices": [_flat(device) for device in report.devices],
        "problems": report.problems,
        "notes": report.notes,
        **report.details,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def show(report: Report, *, out: Console, errors: Console) -> None:
    if report.devices:
        out.print(_table(report))
    for note in report.notes:
        errors.print(f"Note: {note}", markup=False, highlight=False, soft_wrap=True)
    for problem in report.problems:
        errors.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)


def _flat(device: DeviceReport) -> dict[str, Any]:
    content = asdict(device)
    counts: dict[str, Any] = content.pop("counts")
    return content | counts


def _table(report: Report) -> Table:
    shown = report.devices[:LONGEST_TABLE]
    hidden = len(report.devices) - len(shown)
    table = Table(caption=f"and {hidden:,} more devices; --json lists all of them" if hidden else None)
    table.add_column("device", overflow="fold")
    compared = [device for device in report.devices if device.in_platform is not None]
    for name in (*UploadCounts.__dataclass_fields__, *(("in recording", "in platform") if compared else ())):
        table.add_column(name, justify="right")
    for device in shown:
        counts = (device.in_recording, device.in_platform) if compared else ()
        table.add_row(device.serial_number, *_numbers(device.counts, *counts))
    table.add_section()
    recorded = sum(device.in_recording or 0 for device in compared)
    stored = sum(device.in_platform or 0 for device in compared)
    totals = _numbers(report.totals, *((recorded, stored) if compared else ()))
    table.add_row(f"all {len(report.devices):,}", *totals, style="bold")
    return table


def _numbers(counts: UploadCounts, *compared: int | None) -> list[str]:
    return ["" if number is None else f"{number:,}" for number in (*asdict(counts).values(), *compared)]
