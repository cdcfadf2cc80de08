"""HEAD, OPTIONS and conditional requests."""

import pytest

from tests.api.bench import ApiBench


@pytest.mark.parametrize("path", ["/devices", "/users", "/me", "/openapi.json"])
async def test_head_answers_as_get_does_without_the_body(bench: ApiBench, path: str) -> None:
    got = await bench.get(path)
    head = await bench.call("HEAD", f"/api/v1{path}")

    assert head.status == got.status == 200
    for name in ("Content-Type", "ETag"):
        assert head.headers.get(name) == got.headers.get(name)


async def test_head_is_no_way_around_the_credentials(bench: ApiBench) -> None:
    device = bench.add_device(bench.theirs)

    assert (await bench.call("HEAD", "/api/v1/devices", by=None)).status == 401
    assert (await bench.call("HEAD", f"/api/v1/devices/{device.id}")).status == 404


async def test_options_tells_the_methods_to_anybody(bench: ApiBench) -> None:
    answer = await bench.call("OPTIONS", "/api/v1/devices", by=None)

    assert answer.status == 200
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert answer.body == b""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', '"7", "1"', "*"])
async def test_what_the_client_has_is_not_sent_again(bench: ApiBench, method: str, tag: str) -> None:
    path = f"/api/v1/devices/{bench.add_device().id}"

    answer = await bench.call(method, path, headers={"If-None-Match": tag})

    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", '"1"')
    assert "X-Correlation-ID" in answer.headers


@pytest.mark.parametrize("tag", ['"2"', '"7", "8"', '"01"', 'W/"2"'])
async def test_what_the_client_has_not_is_sent(bench: ApiBench, tag: str) -> None:
    answer = await bench.get(f"/devices/{bench.add_device().id}", headers={"If-None-Match": tag})

    assert (answer.status, answer.headers["ETag"]) == (200, '"1"')


async def test_users_have_entity_tags_too(bench: ApiBench) -> None:
    user = bench.add_user(bench.ours, version=3)

    for path in (f"/users/{user.id}", "/me"):
        tag = (await bench.get(path)).headers["ETag"]
        assert (await bench.get(path, headers={"If-None-Match": tag})).status == 304


@pytest.mark.parametrize(("tag", "status"), [('"1"', 200), ("*", 200), ('"2"', 412), ('W/"1"', 412), ('"x"', 412)])
async def test_a_write_is_made_of_the_expected_version_alone(bench: ApiBench, tag: str, status: int) -> None:
    device = bench.add_device()

    answer = await bench.patch(f"/devices/{device.id}", {"name": "New"}, headers={"If-Match": tag})

    assert answer.status == status
    if status == 412:
        assert answer.code == "request.precondition.failed"
        assert bench.tables.devices == {device.id: device}
    else:
        assert answer.headers["ETag"] == '"2"'


@pytest.mark.parametrize("tag", ["1", "", '"1', '"1" "2"'])
async def test_a_condition_that_cannot_be_read_is_malformed(bench: ApiBench, tag: str) -> None:
    path = f"/devices/{bench.add_device().id}"

    for answer in (
        await bench.patch(path, {"name": "New"}, headers={"If-Match": tag}),
        await bench.get(path, headers={"If-None-Match": tag}),
    ):
        assert answer.refusal == (400, "request.precondition.malformed")


async def test_of_two_writes_of_one_version_the_second_is_refused(bench: ApiBench) -> None:
    path = f"/devices/{bench.add_device().id}"
    tag = (await bench.get(path)).headers["ETag"]

    first = await bench.patch(path, {"name": "First"}, headers={"If-Match": tag})
    second = await bench.patch(path, {"name": "Second"}, headers={"If-Match": tag})

    assert (first.status, second.status) == (200, 412)
    assert (await bench.get(path)).json["name"] == "First"
