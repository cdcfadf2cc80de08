"""The telemetry database. How ``readings`` is kept, in chunks or in partitions, is the migration's affair."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, DATEMULTIRANGE, DOUBLE_PRECISION, JSONB

from repositories.sql import CONSTRAINT_NAMES

metadata = sa.MetaData(naming_convention=CONSTRAINT_NAMES)
TIME = sa.DateTime(timezone=True)

# A device by a number that takes little room, and its metrics in the order in which they were first heard of: the
# place of a metric, counted from 1, is where its values are found in a row.
# Compared byte by byte: the order of metrics is then the same here, in Python, and on every machine.
# ``classes`` are those of all places, a byte each, from the times of ``since`` on, by the rules as they were at their
# revision ``rules``; where there are none, all are of the default class. ``parts`` are those that it ever had.
sources = sa.Table(
    "sources",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    sa.Column("id", sa.Integer, sa.Identity(always=True, maxvalue=2**24 - 1), nullable=False, unique=True),
    sa.Column("metrics", ARRAY(sa.Text(collation="C")), nullable=False),
    sa.Column("device_type", sa.Text),
    sa.Column("rules", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("since", ARRAY(TIME), server_default="{}", nullable=False),
    sa.Column("classes", ARRAY(sa.LargeBinary), server_default="{}", nullable=False),
    sa.Column("parts", ARRAY(sa.Integer), server_default="{0}", nullable=False),
)

# All values of a device at one time and of one retention class: the source is the class and the device's number in
# one, ``class << 24 | number``. ``numbers`` from the metric at the place ``first`` on, null for each that has no
# number; what is no number is in ``others``, by its place.
# Numbers that lie far apart are kept in another way: see rows.py.
readings = sa.Table(
    "readings",
    metadata,
    sa.Column("ts", TIME, primary_key=True),
    sa.Column("source", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("first", sa.Integer, nullable=False),
    sa.Column("numbers", ARRAY(DOUBLE_PRECISION), nullable=False),
    sa.Column("others", JSONB),
)

# Hours of which readings were written or removed since their figures were worked out. Whoever does so gives the hour
# another revision in the same transaction; what is put off is not tried again before.
stale_hours = sa.Table(
    "stale_hours",
    metadata,
    sa.Column("source", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hour", TIME, primary_key=True),
    sa.Column("revision", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("marked_at", TIME, server_default=sa.func.now(), nullable=False),
    sa.Column("is_put_off", sa.Boolean, server_default=sa.false(), nullable=False),
    sa.Index(None, "hour"),
)

# The minutes of an hour that have values, side by side. ``numbers`` is null where all values are numbers; where there
# is but one, it is in ``firsts``, and the other figures are null. Offsets are microseconds from the minute's start.
rollups_1m = sa.Table(
    "rollups_1m",
    metadata,
    sa.Column("hour", TIME, primary_key=True),
    sa.Column("source", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("minutes", ARRAY(sa.SmallInteger), nullable=False),
    sa.Column("counts", ARRAY(sa.Integer), nullable=False),
    sa.Column("numbers", ARRAY(sa.Integer)),
    sa.Column("totals", ARRAY(DOUBLE_PRECISION)),
    sa.Column("lows", ARRAY(DOUBLE_PRECISION)),
    sa.Column("highs", ARRAY(DOUBLE_PRECISION)),
    sa.Column("squares", ARRAY(DOUBLE_PRECISION)),
    sa.Column("firsts", ARRAY(DOUBLE_PRECISION), nullable=False),
    sa.Column("first_offsets", ARRAY(sa.Integer), nullable=False),
    sa.Column("lasts", ARRAY(DOUBLE_PRECISION)),
    sa.Column("last_offsets", ARRAY(sa.Integer)),
)

# ``count`` is of all values, ``numbers`` of those that are numbers, and everything else is theirs alone; ``squares``
# is the sum of their squared deviations from their mean.
ROLLUP_COLUMNS = (
    ("count", sa.BigInteger, False),
    ("numbers", sa.BigInteger, False),
    ("total", DOUBLE_PRECISION, True),
    ("low", DOUBLE_PRECISION, True),
    ("high", DOUBLE_PRECISION, True),
    ("squares", DOUBLE_PRECISION, True),
    ("first", DOUBLE_PRECISION, True),
    ("first_at", TIME, True),
    ("last", DOUBLE_PRECISION, True),
    ("last_at", TIME, True),
)
rollups_1h, rollups_1d = (
    sa.Table(
        name,
        metadata,
        sa.Column("start", TIME, primary_key=True),
        sa.Column("source", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(column, kind, nullable=nullable) for column, kind, nullable in ROLLUP_COLUMNS),
        # What there is of an hour is found without a look at each place. Whoever knows the place looks it up by the
        # key: no plan for that can take this index for as good.
        sa.Index(f"ix_{name}_source_start", "source", sa.text("(start AT TIME ZONE 'UTC')")),
    )
    for name in ("rollups_1h", "rollups_1d")
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    sa.Column("minute", TIME, primary_key=True),
    sa.Column("stored", sa.BigInteger, nullable=False),
    sa.Column("duplicates", sa.BigInteger, nullable=False),
    sa.Column("conflicts", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
)

# One line: what is kept elsewhere of an earlier epoch is not believed.
latest_epoch = sa.Table(
    "latest_epoch",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
)

archived_days = sa.Table(
    "archived_days",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("readings", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("archived_at", TIME, nullable=False),
    sa.Column("restored_until", TIME),
)

# The days of which the archive has readings of a device.
archived_devices = sa.Table(
    "archived_devices",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("days", DATEMULTIRANGE, nullable=False),
)

# Points that were removed of a time of which nothing is taken any more, until they are in no file of the archive.
archive_removals = sa.Table(
    "archive_removals",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("device_id", sa.Uuid, nullable=False, index=True),
    sa.Column("metrics", ARRAY(sa.Text(collation="C"))),
    sa.Column("start", TIME, nullable=False),
    sa.Column("end", TIME, nullable=False),
    sa.Column("removed_at", TIME, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
)

# ``rules`` is the revision of all rules that last changed those of the class: the highest is the present one.
retention_classes = sa.Table(
    "retention_classes",
    metadata,
    sa.Column("name", sa.Text(collation="C"), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("device_type", sa.Text),
    sa.Column("metrics", sa.Text),
    sa.Column("priority", sa.Integer, server_default="0", nullable=False),
    sa.Column("rules", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("raw_days", sa.Integer),
    sa.Column("archive_days", sa.Integer),
    sa.Column("minute_rollup_days", sa.Integer),
    sa.Column("hour_rollup_days", sa.Integer),
    sa.Column("day_rollup_days", sa.Integer),
    sa.Column("deleted_at", TIME),
    sa.Column("dropped_before", TIME, nullable=False),
    sa.Column("changed_at", TIME, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

shadow_generations = sa.Table(
    "shadow_generations",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("began_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
    sa.Column("position", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("version_jump", sa.BigInteger),
    sa.Column("rebuilt_at", TIME),
)

shadow_writers = sa.Table(
    "shadow_writers",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("generation", sa.BigInteger, primary_key=True),
    sa.Column("opened_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
    sa.Column("closed_at", TIME),
)

# The shadow without a name has the name "".
shadow_changes = sa.Table(
    "shadow_changes",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text(collation="C"), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("at", TIME, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("correlation_id", sa.Text, nullable=False),
    sa.Column("patch", sa.JSON),
    sa.Column("violations", sa.JSON),
    sa.Column("shadow", sa.JSON),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Index(None, "device_id", "name", "at", "version"),
)

shadow_changes_refused = sa.Table(
    "shadow_changes_refused",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text(collation="C"), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("change", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("refused_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
)

shadow_heads = sa.Table(
    "shadow_heads",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text(collation="C"), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("shadow", sa.JSON, nullable=False),
    sa.Column("is_deleted", sa.Boolean, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
)

shadow_requests = sa.Table(
    "shadow_requests",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text(collation="C"), primary_key=True),
    sa.Column("requested_version", sa.BigInteger, primary_key=True),
    sa.Column("path", sa.Text(collation="C"), primary_key=True),
    sa.Column("value", sa.JSON),
    sa.Column("requested_by", sa.Text),
    sa.Column("requested_at", TIME),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("settled_version", sa.BigInteger),
    sa.Column("settled_at", TIME),
    sa.Column("refusal", sa.JSON),
    sa.Index(None, "device_id", "name", "state", "requested_version"),
)
