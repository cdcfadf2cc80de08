"""Files of assets in and out."""

import csv
import io
import json
from dataclasses import replace
from typing import Any, Self
from uuid import uuid4

import pytest
from dependency_injector import providers

from iotsphere.assets.errors import SearchTooCostlyError
from iotsphere.assets.model import MAX_CAPABILITIES_BYTES, MAX_PROPERTIES_BYTES, Asset
from iotsphere.kernel.actor import Role
from iotsphere.kernel.errors import UnavailableError
from iotsphere.registry.model import Device
from tests.api.bench import Answer, ApiBench
from tests.factories.assets import build_asset
from tests.fakes.asset_files import InMemoryAssetFileRepository
from tests.fakes.assets import InMemoryAssetsUnitOfWork

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}
INVALID = "request.payload.invalid"
UNKNOWN = "assets.asset.not_found"
HALL: dict[str, Any] = {"asset_type": "hall", "name": "Hall"}


class AwayAssetsUnitOfWork(InMemoryAssetsUnitOfWork):
    async def __aenter__(self) -> Self:
        raise UnavailableError("assets", "The asset store does not answer. Try again shortly.")


def lines(*said: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in said)


def add(bench: ApiBench, **given: Any) -> Asset:
    asset = build_asset(**{"organisation_id": bench.ours.id} | given)
    bench.assets[asset.id] = asset
    return asset


def add_device(bench: ApiBench, serial_number: str, **given: Any) -> tuple[Device, Asset]:
    device = bench.add_device(serial_number=serial_number, device_type="pump")
    return device, add(bench, device_id=device.id, **given)


async def import_file(
    bench: ApiBench, body: bytes, kind: dict[str, str] = NDJSON, *, by: Any = "operator", copy: bool = False
) -> Answer:
    return await bench.send("/assets/import?copy=true" if copy else "/assets/import", body, headers=kind, by=by)


def told(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


def statuses(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["status"] for answer in answers]


def outlined(bench: ApiBench, organisation: Any = None) -> set[str]:
    """Give the assets by the names from the root down."""

    def outline(asset: Asset) -> str:
        return f"{outline(bench.assets[asset.parent_id])}/{asset.name}" if asset.parent_id else asset.name

    ours = (organisation or bench.ours).id
    return {outline(asset) for asset in bench.assets.values() if asset.organisation_id == ours}


async def test_every_line_is_answered_for_and_a_bad_one_costs_no_other(bench: ApiBench) -> None:
    there = add(bench, name="There", properties={"a": 1})
    theirs = add(bench, organisation_id=bench.theirs.id)
    bench.add_device(serial_number="SN-new")
    device, _ = add_device(bench, "SN-1", name="Device")
    file: list[tuple[Any, str | None]] = [
        (HALL | {"key": "h"}, None),
        (HALL | {"key": "h"}, INVALID),
        (HALL | {"key": "early", "parent_key": "late"}, INVALID),
        (HALL | {"key": "late"}, None),
        (HALL | {"parent_key": "early"}, INVALID),
        (HALL | {"key": "own", "parent_key": "own"}, INVALID),
        (HALL | {"parent_id": str(theirs.id)}, INVALID),
        (HALL | {"parent_id": str(uuid4())}, INVALID),
        (HALL | {"parent_id": "h"}, INVALID),
        (HALL | {"parent_id": str(there.id), "parent_key": "h"}, INVALID),
        ({"name": "Of no type"}, INVALID),
        (HALL | {"asset_type": "Hall"}, INVALID),
        (HALL | {"name": ""}, INVALID),
        (HALL | {"colour": "red"}, INVALID),
        (HALL | {"properties": []}, INVALID),
        (HALL | {"capabilities": [{"speed": 1}]}, INVALID),
        (HALL | {"properties": {"a": "\0"}}, INVALID),
        (HALL | {"properties": {"a": "ü" * 140_000}}, "assets.asset.too_large"),
        (HALL | {"key": "k" * 65}, INVALID),
        ({"id": str(theirs.id), "name": "Mine"}, UNKNOWN),
        ({"id": str(uuid4()), "name": "Mine"}, UNKNOWN),
        ({"id": "17", "name": "Mine"}, INVALID),
        ({"id": str(there.id), "device_id": str(device.id)}, INVALID),
        ({"id": str(there.id), "name": None}, INVALID),
        ({"device_id": str(uuid4()), "name": "Mine"}, UNKNOWN),
        ({"serial_number": "SN-new", "name": "Not there yet"}, UNKNOWN),
        ({"serial_number": "SN-2", "name": "Mine"}, "registry.device.not_found"),
        ({"serial_number": "", "name": "Mine"}, INVALID),
        ([], INVALID),
        ("x", INVALID),
        (HALL | {"parent_key": "h", "name": "Inner"}, None),
    ]

    answers = told(await import_file(bench, lines(*(said for said, _ in file)) + b'{"name": "half\n\n\xff\n{"nam'))

    assert [answer.get("code") for answer in answers] == [code for _, code in file] + ["request.json.malformed"] * 3
    assert [answer["line"] for answer in answers] == [*range(1, len(file) + 2), len(file) + 3, len(file) + 4]
    assert all(answer["errors"] for answer in answers if answer.get("code") == INVALID)
    assert outlined(bench) == {"There", "Device", "Hall", "Hall/Inner"}
    assert len(bench.assets) == 6


async def test_a_tree_comes_whole_in_one_file_whatever_the_portions(
    bench: ApiBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iotsphere.api.bulk.BATCH_LINES", 3)
    file = [{"key": "0", "asset_type": "site", "name": "0"}] + [
        {"key": f"{n}", "parent_key": f"{n // 3}", "asset_type": "part", "name": f"{n}"} for n in range(1, 20)
    ]

    answers = told(await import_file(bench, lines(*file)))

    assert statuses(answers) == ["created"] * 20
    assert "0/2/6/19" in outlined(bench)
    assert len(outlined(bench)) == 20


async def test_levels_end_where_trees_do(bench: ApiBench) -> None:
    chain = [HALL | {"key": f"{n}"} | ({"parent_key": f"{n - 1}"} if n else {}) for n in range(66)]

    answers = told(await import_file(bench, lines(*chain)))

    assert statuses(answers) == ["created"] * 64 + ["rejected"] * 2
    assert [list(answer["errors"]) for answer in answers[64:]] == [["parent_id"], ["parent_key"]]


async def test_what_is_there_is_changed_by_a_merge_patch(bench: ApiBench) -> None:
    pump = add(bench, name="Pump", properties={"a": {"b": 1, "c": 2}, "d": None}, capabilities=[{"name": "x"}])
    device, described = add_device(bench, "SN-1", name="Device", properties={"a": 1})
    device_2, _ = add_device(bench, "SN-2", name="Device 2")
    names = {"id": str(pump.id)}

    answers = told(
        await import_file(
            bench,
            lines(
                names | {"properties": {"a": {"b": None, "e": [1]}}},
                names | {"name": "Pump 1", "key": "p"},
                names | {"name": "Pump 1"},
                {"serial_number": "SN-1", "properties": {"a": 1.0}, "parent_key": "p"},
                {"serial_number": "SN-1", "properties": {"a": 1.0}},
                {"device_id": str(device_2.id), "serial_number": "nobody's", "capabilities": None},
                {"id": str(described.id), "device_id": str(device.id), "parent_id": None, "asset_type": "meter"},
            ),
        )
    )

    assert statuses(answers) == ["updated", "updated", "unchanged", "updated", "unchanged", "updated", "updated"]
    assert [answer["id"] for answer in answers[:4]] == [*[str(pump.id)] * 3, str(described.id)]
    kept = bench.assets[pump.id]
    assert (kept.name, kept.properties, kept.version) == ("Pump 1", {"a": {"c": 2, "e": [1]}, "d": None}, 3)
    meter = bench.assets[described.id]
    assert (meter.asset_type, meter.parent_id, meter.version) == ("meter", None, 3)
    assert json.dumps(meter.properties) == '{"a": 1.0}'
    assert next(asset for asset in bench.assets.values() if asset.device_id == device_2.id).capabilities == []


async def test_every_line_finds_things_as_the_lines_above_it_left_them(bench: ApiBench) -> None:
    a = add(bench, name="a")
    b = add(bench, name="b", parent_id=a.id)
    c = add(bench, name="c", parent_id=b.id)
    ids = {name: str(asset.id) for name, asset in (("a", a), ("b", b), ("c", c))}

    answers = told(
        await import_file(
            bench,
            lines(
                {"id": ids["a"], "parent_id": ids["c"]},
                {"id": ids["a"], "parent_id": ids["a"]},
                {"id": ids["c"], "parent_id": None},
                {"id": ids["a"], "parent_id": ids["c"]},
                {"id": ids["c"], "parent_id": ids["b"]},
                HALL | {"key": "n", "parent_id": ids["b"], "name": "n"},
                {"id": ids["b"], "parent_id": None, "key": "b"},
                HALL | {"parent_key": "n", "name": "m"},
                {"id": ids["b"], "parent_key": "n"},
                {"id": ids["a"], "parent_key": "b"},
            ),
        )
    )

    cycle = "assets.asset.cycle"
    codes = [cycle, cycle, None, None, cycle, None, None, None, cycle, None]
    assert [answer.get("code") for answer in answers] == codes
    assert outlined(bench) == {"c", "b", "b/n", "b/n/m", "b/a"}


async def test_properties_have_to_fit_the_type_of_the_device(bench: ApiBench) -> None:
    await bench.call(
        "PUT",
        "/api/v1/device-types/pump",
        json={"properties_schema": {"properties": {"kw": {"type": "number"}}}},
    )
    _, described = add_device(bench, "SN-1", properties={"kw": 1})
    other = add(bench)

    answers = told(
        await import_file(
            bench,
            lines(
                {"serial_number": "SN-1", "properties": {"kw": "much"}},
                {"id": str(described.id), "properties": {"kw": "much"}, "parent_id": str(other.id)},
                {"id": str(described.id), "name": "No properties are said"},
                {"id": str(other.id), "properties": {"kw": "much"}},
            ),
        )
    )

    assert statuses(answers) == ["rejected", "rejected", "updated", "updated"]
    assert list(answers[0]["errors"]) == list(answers[1]["errors"]) == ["properties.kw"]
    assert bench.assets[described.id].properties == {"kw": 1}


async def test_properties_that_were_there_before_the_type_said_anything_are_put_back_as_they_are(
    bench: ApiBench,
) -> None:
    site = add(bench, name="Site", properties={})
    _, described = add_device(bench, "SN-1", name="Pump", properties={"kw": "much"})
    add(bench, name="Seal", parent_id=described.id, properties={})
    await bench.call(
        "PUT",
        "/api/v1/device-types/pump",
        json={"properties_schema": {"properties": {"kw": {"type": "number"}}}},
    )

    exported = await bench.get("/assets/export", by="operator")
    pump = next(line for line in map(json.loads, exported.body.splitlines()) if line["name"] == "Pump")
    renamed, moved = pump | {"name": "Renamed"}, pump | {"name": "Moved", "parent_id": str(site.id)}
    answers = told(await import_file(bench, lines(pump, renamed, moved)))

    assert statuses(answers) == ["unchanged", "updated", "updated"]
    assert outlined(bench) == {"Site", "Site/Moved", "Site/Moved/Seal"}


async def test_a_table_is_read_as_lines_of_json_are(bench: ApiBench) -> None:
    _, described = add_device(bench, "SN-1", properties={"gone": 1, "stays": 1})
    table = (
        "\ufeffkey,parent_key,parent_id,serial_number,asset_type,name,properties,capabilities,properties.kw,"
        "properties.motor.maker,properties.gone\r\n"
        'h,,,,hall,"Hall ""A""","{""a"": [1, {}], ""kw"": 1}","[{""name"": ""x""}]",1.50,"""17""",\r\n'
        ",h,,SN-1,,,,,true,'=1+1,null\r\n"
        "\r\n"
        "m,h,,,machine,M,,,0017,12 kW,\r\n"
        ",,null,SN-1,,,,,,,\r\n"
        "x,h,,,machine,X,{,,,,\r\n"
        "x,h,,,machine,X,[],,1,,\r\n"
        'x,h,,,machine,X,"{""motor"": 1}",,,x,\r\n'
        "x,h,,,machine\r\n"
    ).encode()

    answers = told(await import_file(bench, table, CSV))

    assert [(answer["line"], answer["status"], answer.get("code")) for answer in answers] == [
        (2, "created", None),
        (3, "updated", None),
        (5, "created", None),
        (6, "updated", None),
        (7, "rejected", INVALID),
        (8, "rejected", INVALID),
        (9, "rejected", INVALID),
        (10, "rejected", "request.line.malformed"),
    ]
    assert [list(answer["errors"]) for answer in answers[4:7]] == [
        ["properties"],
        ["properties.kw"],
        ["properties.motor.maker"],
    ]
    by_id = {str(asset.id): asset for asset in bench.assets.values()}
    hall, machine = by_id[answers[0]["id"]], by_id[answers[2]["id"]]
    assert (hall.name, hall.capabilities) == ('Hall "A"', [{"name": "x"}])
    assert json.dumps(hall.properties) == '{"a": [1, {}], "kw": 1.5, "motor": {"maker": "17"}}'
    assert machine.properties == {"kw": "0017", "motor": {"maker": "12 kW"}}
    device = by_id[str(described.id)]
    assert (device.properties, device.parent_id) == ({"stays": 1, "kw": True, "motor": {"maker": "=1+1"}}, None)


@pytest.mark.parametrize("columns", [("motor", "motor.kw"), ("motor.kw", "motor")])
async def test_no_column_takes_away_what_another_says(bench: ApiBench, columns: tuple[str, str]) -> None:
    values = {"motor": ['"{""poles"": 4}"', "4"], "motor.kw": ["1.5", "1.5"]}
    rows = [",".join(("pump", "P", *(values[column][row] for column in columns))) for row in (0, 1)]
    header = ",".join(("asset_type", "name", *(f"properties.{column}" for column in columns)))

    added, refused = told(await import_file(bench, "\n".join((header, *rows)).encode(), CSV))

    assert added["status"] == "created"
    [asset] = bench.assets.values()
    assert asset.properties == {"motor": {"poles": 4, "kw": 1.5}}
    assert refused["errors"].keys() == {"properties.motor.kw"}


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ("name,asset_type,colour", ["colour"]),
        ("name,asset_type,name", ["name"]),
        ("name,properties.", ["properties."]),
        ("name,properties.a..b", ["properties.a..b"]),
        ("name,properties" + ".a" * 40, ["properties" + ".a" * 40]),
    ],
)
async def test_a_table_with_other_columns_is_refused_whole(bench: ApiBench, header: str, wrong: list[str]) -> None:
    answer = await import_file(bench, f"{header}\r\n".encode(), CSV)

    assert answer.refusal == (422, INVALID)
    assert list(answer.json["errors"]) == wrong


async def described_fleet(bench: ApiBench) -> None:
    """Make trees in which the older is below the younger, of texts and numbers that are easily lost."""
    child = add(bench, name="=child", properties={"n": None, "big": 2**70, "one": 1.0, "e": {}, "l": [None, []]})
    site = add(bench, asset_type="site", name='"Site", \n1', capabilities=[{"name": "x", "y": None}])
    _, device = add_device(bench, "SN-1", name="Device")
    bench.assets[child.id] = replace(child, parent_id=site.id)
    bench.assets[device.id] = replace(device, parent_id=child.id)
    add(bench, name="'alone")
    add(bench, organisation_id=bench.theirs.id, name="theirs")


@pytest.mark.parametrize(("accept", "kind"), [("application/x-ndjson", NDJSON), ("text/csv", CSV)])
async def test_what_is_exported_and_put_back_changes_nothing(
    bench: ApiBench, accept: str, kind: dict[str, str]
) -> None:
    await described_fleet(bench)
    before = dict(bench.assets)

    exported = await bench.get("/assets/export", by="operator", headers={"Accept": accept})
    answers = told(await import_file(bench, exported.body, kind))

    assert statuses(answers) == ["unchanged"] * 4
    assert bench.assets == before


async def test_what_is_exported_and_put_back_elsewhere_keeps_its_nulls_with_others_below_it_or_none(
    bench: ApiBench,
) -> None:
    site = add(bench, name="Site", properties={})
    hall = add(bench, name="Hall", properties={"sold": None, "kw": 1})
    add(bench, name="Line", parent_id=hall.id, properties={"sold": None})

    exported = await bench.get("/assets/export", by="operator")
    assets = [json.loads(line) for line in exported.body.splitlines()]
    moved = [asset | {"parent_id": str(site.id)} for asset in assets if asset["name"] != "Site"]
    answers = told(await import_file(bench, lines(*moved)))

    assert statuses(answers) == ["updated", "updated"]
    assert outlined(bench) == {"Site", "Site/Hall", "Site/Line"}
    kept = {asset.name: asset.properties for asset in bench.assets.values()}
    assert kept == {"Site": {}, "Hall": {"sold": None, "kw": 1}, "Line": {"sold": None}}


@pytest.mark.parametrize(("accept", "kind"), [("application/x-ndjson", NDJSON), ("text/csv", CSV)])
async def test_what_is_exported_is_copied_to_where_the_devices_are(
    bench: ApiBench, accept: str, kind: dict[str, str]
) -> None:
    await described_fleet(bench)
    exported = await bench.get("/assets/export", by="operator", headers={"Accept": accept})
    stranger = bench.log_in(bench.add_user(bench.theirs, role=Role.OPERATOR))

    device = bench.add_device(bench.theirs, serial_number="SN-1")
    bench.assets |= {asset.id: asset for asset in [build_asset(organisation_id=bench.theirs.id, device_id=device.id)]}
    answers = told(await import_file(bench, exported.body, kind, by=stranger, copy=True))

    assert statuses(answers) == ["created", "created", "updated", "created"]
    assert outlined(bench, bench.theirs) == outlined(bench) | {"theirs"}
    ours, copied = (
        {asset.name: asset for asset in bench.assets.values() if asset.organisation_id == organisation.id}
        for organisation in (bench.ours, bench.theirs)
    )
    for name, asset in ours.items():
        assert json.dumps(copied[name].properties, sort_keys=True) == json.dumps(asset.properties, sort_keys=True)
        assert copied[name].capabilities == asset.capabilities
        assert copied[name].id != asset.id


async def test_of_a_copy_lines_are_left_out_that_do_not_hang_together(bench: ApiBench) -> None:
    gone, device_id = str(uuid4()), str(uuid4())
    answers = told(
        await import_file(
            bench,
            lines(
                HALL | {"id": gone, "parent_id": str(uuid4())},
                HALL | {"parent_id": gone},
                HALL | {"device_id": device_id},
                HALL | {"device_id": device_id, "serial_number": "SN-none"},
            ),
            copy=True,
        )
    )

    assert [list(answer.get("errors", {})) for answer in answers[:3]] == [["parent_key"]] * 2 + [["serial_number"]]
    assert answers[3]["code"] == "registry.device.not_found"
    assert not bench.assets


async def test_an_export_is_narrowed_as_the_list_is(bench: ApiBench) -> None:
    add(bench, name="hall", asset_type="hall")
    add(bench, name="pump", properties={"maker": "x"})
    add(bench, organisation_id=bench.theirs.id, properties={"maker": "x"})

    async def export(**query: str) -> list[str]:
        answer = await bench.get("/assets/export", by="operator", query_string=query)
        assert answer.headers["Content-Disposition"] == 'attachment; filename="assets.ndjson"'
        return [json.loads(line)["name"] for line in answer.body.splitlines()]

    assert await export() == ["hall", "pump"]
    assert await export(asset_type="hall") == ["hall"]
    assert await export(match='{"maker": "x"}') == ["pump"]
    refused = await bench.get("/assets/export", by="operator", query_string={"limit": "1"})
    assert refused.refusal == (422, INVALID)


async def test_a_part_of_a_tree_is_exported_so_that_it_can_be_put_elsewhere(bench: ApiBench) -> None:
    site = add(bench, name="site")
    hall = add(bench, name="hall", parent_id=site.id)
    add(bench, name="line", parent_id=hall.id)
    add(bench, name="other", parent_id=site.id)

    exported = await bench.get("/assets/export", by="operator", query_string={"ancestor": str(hall.id)})
    before = dict(bench.assets)
    again = told(await import_file(bench, exported.body))
    copied = told(await import_file(bench, exported.body, copy=True))

    assert [json.loads(line).get("parent_id") for line in exported.body.splitlines()] == [None, str(hall.id)]
    assert statuses(again) == ["unchanged"] * 2
    assert {name: bench.assets[name] for name in before} == before
    assert statuses(copied) == ["created"] * 2
    assert outlined(bench) == {"site", "site/hall", "site/hall/line", "site/other", "hall", "hall/line"}
    unknown = await bench.get("/assets/export", by="operator", query_string={"ancestor": str(uuid4())})
    assert unknown.refusal == (404, UNKNOWN)


async def test_an_export_asks_for_no_more_at_once_than_the_largest_assets_leave_room_for(
    bench: ApiBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(250):
        add(bench, properties={"n": 1})
    asked: list[int] = []
    listed = InMemoryAssetFileRepository.list

    async def take_down(*place: Any, limit: int, **page: Any) -> Any:
        asked.append(limit)
        return await listed(*place, limit=limit, **page)

    monkeypatch.setattr(InMemoryAssetFileRepository, "list", take_down)
    answer = await bench.get("/assets/export", by="operator")

    assert len(answer.body.splitlines()) == 250
    # What the database gives within the time-out of a statement.
    assert max(asked) * (MAX_PROPERTIES_BYTES + MAX_CAPABILITIES_BYTES) <= 64 * 1024 * 1024


@pytest.mark.parametrize(("most", "status"), [(10, 200), (9, 422)])
async def test_where_a_predicate_takes_too_long_few_assets_are_asked_for_at_once(
    bench: ApiBench, monkeypatch: pytest.MonkeyPatch, most: int, status: int
) -> None:
    for number in range(25):
        add(bench, properties={"n": number})
    listed = InMemoryAssetFileRepository.list

    async def take_long(*place: Any, limit: int, **page: Any) -> Any:
        if limit > most:
            raise SearchTooCostlyError("path")
        return await listed(*place, limit=limit, **page)

    monkeypatch.setattr(InMemoryAssetFileRepository, "list", take_long)
    answer = await bench.get("/assets/export?path=$.n>4", by="operator")

    assert answer.status == status
    if status == 200:
        assert {json.loads(line)["properties"]["n"] for line in answer.body.splitlines()} == {*range(5, 25)}
    else:
        assert answer.json["code"] == "assets.search.too_costly"


async def test_an_empty_table_has_its_columns(bench: ApiBench) -> None:
    answer = await bench.get("/assets/export", by="operator", headers={"Accept": "text/csv"})

    columns = "id asset_type name device_id parent_id properties capabilities created_at updated_at version"
    assert list(csv.reader(io.StringIO(answer.body.decode()))) == [[*columns.split(), "serial_number"]]


@pytest.mark.parametrize("by", ["viewer", "engineer"])
async def test_files_are_for_operators(bench: ApiBench, by: str) -> None:
    refused = (403, "identity.role.too_low")

    assert (await import_file(bench, b"", by=by)).refusal == refused
    assert (await bench.get("/assets/export", by=by)).refusal == refused


async def test_the_trail_tells_of_what_was_added_and_changed(bench: ApiBench) -> None:
    there = add(bench)
    file = lines(
        HALL | {"key": "h"}, {"id": str(there.id), "parent_key": "h"}, {"id": str(there.id), "name": there.name}
    )

    answers = told(await import_file(bench, file))

    hall = answers[0]["id"]
    entries = [entry for entry in bench.tables.audit.values() if entry.action == "import_assets"]
    assert {entry.target: entry.details for entry in entries} == {
        f"asset:{hall}": HALL,
        f"asset:{there.id}": {"version": 2, "changed": ["parent_id"], "parent_id": hall},
    }


async def test_the_history_tells_of_every_line_that_changed_something(bench: ApiBench) -> None:
    first = HALL | {"key": "h", "properties": {"a": None, "b": 1}}
    hall = told(await import_file(bench, lines(first, HALL | {"parent_key": "h", "name": "Inner"})))[0]["id"]

    file: list[dict[str, Any]] = [
        {"name": "Hall B"},
        {"name": "Hall B"},
        {"properties": {"b": 2}},
        {"parent_id": None, "name": "Hall C"},
    ]
    told(await import_file(bench, lines(*({"id": hall} | said for said in file))))

    me = (await bench.get("/me", by="operator")).json["id"]
    changes = (await bench.get(f"/assets/{hall}/history", by="operator")).json["items"]
    assert {change["actor"] for change in changes} == {f"user:{me}"}
    assert [change["version"] for change in changes] == [4, 3, 2, 1]
    assert (changes[1]["patch"], changes[0]["patch"]) == ({"properties": {"b": 2}}, {"name": "Hall C"})


async def test_a_file_that_is_sent_again_under_its_key_is_imported_once(bench: ApiBench) -> None:
    kind = NDJSON | {"Idempotency-Key": "once"}
    first, again = [await import_file(bench, lines(HALL), kind) for _ in range(2)]

    assert (first.status, again.body) == (200, first.body)
    assert len(bench.assets) == 1
    assert (await import_file(bench, lines(HALL), kind, copy=True)).refusal == (409, "idempotency.key.reused")


async def test_an_outage_is_waited_for_and_then_told(bench: ApiBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iotsphere.assets.asset_line.WAIT_SECONDS", 0)
    monkeypatch.setattr("iotsphere.assets.asset_line.MOST_WAITS", 3)
    outages = iter([True, True, False])

    def open_store(*given: Any) -> InMemoryAssetsUnitOfWork:
        return (AwayAssetsUnitOfWork if next(outages, True) else InMemoryAssetsUnitOfWork)(*given)

    bench.container.stores.assets_unit_of_work.override(providers.Factory(open_store, bench.assets))

    assert statuses(told(await import_file(bench, lines(HALL)))) == ["created"]
    answers = told(await import_file(bench, lines(HALL, HALL)))

    assert [answer["code"] for answer in answers] == ["assets.store.unavailable"] * 2
    assert len(bench.assets) == 1


async def test_lines_with_serial_numbers_need_the_registry(bench: ApiBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iotsphere.assets.asset_line.MOST_WAITS", 0)

    async def fail(*_: Any, **__: Any) -> Any:
        raise UnavailableError("registry", "The registry store does not answer. Try again shortly.")

    monkeypatch.setattr("iotsphere.registry.service.DeviceRegistryService.find_ids", fail)

    answers = told(await import_file(bench, lines({"serial_number": "SN-1", "name": "x"}, HALL)))

    assert [answer["code"] for answer in answers] == ["registry.store.unavailable"] * 2


@pytest.mark.parametrize("value", ["1", "yes", "TRUE", ""])
async def test_copy_is_true_or_false(bench: ApiBench, value: str) -> None:
    answer = await bench.send(f"/assets/import?copy={value}", b"", headers=NDJSON)

    assert answer.refusal == (422, INVALID)


async def test_what_a_file_adds_is_listed_in_the_order_of_its_lines(bench: ApiBench) -> None:
    names = [f"Line {number}" for number in range(30)]

    told(await import_file(bench, lines(*({"asset_type": "line", "name": name} for name in names))))

    assert [asset["name"] for asset in (await bench.get("/assets")).json["items"]] == names
