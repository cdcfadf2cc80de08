from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.actor import Role
from tests.api.bench import ApiBench, Credentials

NEW = {"email": "vi@waterworks.example", "password": "correct horse", "role": "viewer"}
FOUNDED = {"name": "Windworks", "admin": {"email": "ada@windworks.example", "password": "correct horse"}}


@pytest.fixture
def founder(bench: ApiBench) -> Credentials:
    return bench.log_in(bench.add_user(bench.ours, role=Role.ADMIN, is_platform_administrator=True))


async def test_a_user_is_added_shown_and_listed(bench: ApiBench) -> None:
    added = await bench.post("/users", NEW | {"name": "Vi"})

    user = added.json
    assert added.status == 201
    assert (added.headers["Location"], added.headers["ETag"]) == (f"/api/v1/users/{user['id']}", '"1"')
    assert user == {
        "id": user["id"],
        "organisation_id": str(bench.ours.id),
        "email": "vi@waterworks.example",
        "name": "Vi",
        "role": "viewer",
        "created_at": user["created_at"],
        "version": 1,
    }
    shown = await bench.get(f"/users/{user['id']}")
    assert (shown.status, shown.json, shown.headers["ETag"]) == (200, user, '"1"')
    listed = (await bench.get("/users")).json
    assert user in listed["items"]
    assert len(listed["items"]) == len(Role) + 1


async def test_an_added_user_can_log_in_with_the_role(bench: ApiBench) -> None:
    await bench.post("/users", NEW | {"role": "operator"})

    pair = (await bench.post("/auth/token", {"email": NEW["email"], "password": NEW["password"]}, by=None)).json

    me = (await bench.get("/me", by={"Authorization": f"Bearer {pair['access_token']}"})).json
    assert (me["role"], me["name"]) == ("operator", NEW["email"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"email": f"{'x' * 250}@example.org"}, "email"),
        ({"email": ["vi@example.org"]}, "email"),
        ({"email": "vi@example.org\n"}, "email"),
        ({"password": "too short"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"role": "owner"}, "role"),
        ({"role": "ADMIN"}, "role"),
        ({"role": 4}, "role"),
        ({"role": ["admin"]}, "role"),
        ({"role": None}, "role"),
        ({"name": ""}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"is_platform_administrator": True}, "is_platform_administrator"),
        ({"organisation_id": str(uuid4())}, "organisation_id"),
    ],
)
async def test_what_is_wrong_with_a_user_is_named(bench: ApiBench, change: dict[str, Any], field: str) -> None:
    before = bench.tables.copy()

    refused = await bench.post("/users", NEW | change)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [field]
    assert bench.tables == before


async def test_a_taken_address_is_a_conflict_whatever_its_case(bench: ApiBench) -> None:
    bench.add_user(bench.theirs, email="VI@waterworks.example")

    assert (await bench.post("/users", NEW)).refusal == (409, "identity.user.email_taken")


async def test_no_answer_shows_a_password_or_its_hash(bench: ApiBench) -> None:
    added = await bench.post("/users", NEW)

    for answer in (added, await bench.get("/users"), await bench.get(f"/users/{added.json['id']}")):
        assert b"horse" not in answer.body
        assert b"hash" not in answer.body


async def test_a_foreign_user_and_none_look_the_same(bench: ApiBench) -> None:
    foreign = bench.add_user(bench.theirs)

    answers = [await bench.get(f"/users/{user_id}") for user_id in (foreign.id, uuid4())]

    assert {answer.refusal for answer in answers} == {(404, "identity.user.not_found")}
    assert len({answer.json["detail"] for answer in answers}) == 1
    listed = (await bench.get("/users")).json["items"]
    assert str(foreign.id) not in [user["id"] for user in listed]


async def test_administrators_alone_handle_users(bench: ApiBench) -> None:
    for role in ("viewer", "engineer", "operator"):
        for answer in (
            await bench.post("/users", NEW, by=role),
            await bench.get("/users", by=role),
            await bench.get(f"/users/{uuid4()}", by=role),
            await bench.post("/organisations", FOUNDED, by=role),
        ):
            assert answer.refusal == (403, "identity.role.too_low")
        assert (await bench.get("/me", by=role)).json["role"] == role


async def test_users_are_listed_page_by_page(bench: ApiBench) -> None:
    seen: list[str] = []
    cursor = ""
    for _ in range(len(Role)):
        page = (await bench.get(f"/users?limit=1{cursor}")).json
        seen += [user["role"] for user in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == [role.name.lower() for role in Role]
    assert page["next_cursor"] is None


async def test_an_organisation_comes_with_its_administrator(bench: ApiBench, founder: Credentials) -> None:
    founded = await bench.post("/organisations", FOUNDED, by=founder)

    organisation = founded.json
    assert founded.status == 201
    assert organisation.keys() == {"id", "name", "admin", "created_at"}
    assert organisation["name"] == "Windworks"
    assert organisation["admin"] == {"id": organisation["admin"]["id"], "email": "ada@windworks.example"}
    pair = (await bench.post("/auth/token", FOUNDED["admin"], by=None)).json
    admin = {"Authorization": f"Bearer {pair['access_token']}"}
    me = (await bench.get("/me", by=admin)).json
    assert (me["id"], me["organisation_id"], me["role"]) == (
        organisation["admin"]["id"],
        organisation["id"],
        "admin",
    )
    assert (await bench.post("/organisations", FOUNDED | {"name": "More"}, by=admin)).refusal == (
        403,
        "identity.role.not_platform_administrator",
    )


async def test_a_taken_name_and_a_taken_address_are_conflicts_and_leave_nothing(
    bench: ApiBench, founder: Credentials
) -> None:
    await bench.post("/organisations", FOUNDED, by=founder)
    before = bench.tables.copy()

    name_taken = await bench.post(
        "/organisations",
        FOUNDED | {"admin": {"email": "bo@windworks.example", "password": "correct horse"}},
        by=founder,
    )
    email_taken = await bench.post("/organisations", FOUNDED | {"name": "Another"}, by=founder)

    assert name_taken.refusal == (409, "identity.organisation.name_taken")
    assert email_taken.refusal == (409, "identity.user.email_taken")
    assert bench.tables == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"admin": None}, "admin"),
        ({"admin": []}, "admin"),
        ({"admin": {"email": "ada@windworks.example"}}, "admin.password"),
        ({"admin": {"email": "ada", "password": "correct horse"}}, "admin.email"),
        ({"admin": FOUNDED["admin"] | {"role": "viewer"}}, "admin.role"),  # type: ignore[operator]
        ({"plan": "gold"}, "plan"),
    ],
)
async def test_what_is_wrong_with_an_organisation_is_named_by_its_path(
    bench: ApiBench, founder: Credentials, change: dict[str, Any], field: str
) -> None:
    refused = await bench.post("/organisations", FOUNDED | change, by=founder)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [field]
