"""Groups of devices, as statements over their readings and rollups see them; one device is a group of its own."""

from typing import Any

from iotsphere.telemetry.model import FleetSelection
from repositories.telemetry.sources import PART_SOURCE

# ``wanted`` has a line for each metric of each source of a device, and ``chosen`` one for each source; ``rank`` is
# the place of the device's id among them. A metric is in one source at a time. OFFSET, where statements look things
# up for one of the lines, makes them do so by key, whatever the server believes of how many there are.
CHOSEN = f"""
wanted AS MATERIALIZED (
    SELECT
        asked.name, asked.rank, {PART_SOURCE} AS source,
        own.metric, CAST(own.place AS integer) AS place
    FROM unnest(CAST(:device_ids AS uuid[]), CAST(:names AS text[])) WITH ORDINALITY AS asked (device_id, name, rank)
    JOIN sources USING (device_id)
    CROSS JOIN LATERAL unnest(sources.parts) AS part (number)
    CROSS JOIN LATERAL unnest(sources.metrics) WITH ORDINALITY AS own (metric, place)
    WHERE CAST(:metrics AS text[]) IS NULL OR own.metric = ANY(CAST(:metrics AS text[]))
), chosen AS MATERIALIZED (
    SELECT name, rank, source, array_agg(metric) AS metrics, array_agg(place) AS places
    FROM wanted GROUP BY name, rank, source
)
"""  # noqa: S608  # of constants


def chosen_parameters(selection: FleetSelection) -> dict[str, Any]:
    device_ids = sorted(selection.groups)
    return {
        "device_ids": device_ids,
        "names": [selection.groups[device_id] for device_id in device_ids],
        "metrics": None if selection.metrics is None else list(selection.metrics),
    }
