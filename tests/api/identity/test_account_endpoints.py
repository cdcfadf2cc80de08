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
    assert organisation.keys() == {"id", "name", "admin", "created_at", "version"}
    assert (founded.headers["Location"], founded.headers["ETag"]) == (
        f"/api/v1/organisations/{organisation['id']}",
        '"1"',
    )
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


async def test_a_user_is_changed_and_removed(bench: ApiBench) -> None:
    path = f"/users/{(await bench.post('/users', NEW)).json['id']}"

    changed = await bench.patch(path, {"name": "Vi", "role": "engineer"}, headers={"If-Match": '"1"'})
    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    assert (changed.json["name"], changed.json["role"], changed.json["version"]) == ("Vi", "engineer", 2)
    assert (await bench.get(path)).json == changed.json

    for late in (
        await bench.patch(path, {"name": "V"}, headers={"If-Match": '"1"'}),
        await bench.delete(path, headers={"If-Match": '"1"'}),
    ):
        assert late.refusal == (412, "request.precondition.failed")
    removed = await bench.delete(path, headers={"If-Match": '"2"'})
    assert (removed.status, removed.body) == (204, b"")
    for answer in (await bench.get(path), await bench.patch(path, {}), await bench.delete(path)):
        assert answer.refusal == (404, "identity.user.not_found")


async def test_a_user_whose_password_an_administrator_sets_or_who_is_removed_is_out(bench: ApiBench) -> None:
    added = (await bench.post("/users", NEW)).json
    log_in = {"email": NEW["email"], "password": NEW["password"]}

    async def session() -> Credentials:
        pair = (await bench.post("/auth/token", log_in, by=None)).json
        return {"Authorization": f"Bearer {pair['access_token']}"}

    before = await session()
    await bench.patch(f"/users/{added['id']}", {"password": "battery staple"})
    assert (await bench.get("/me", by=before)).status == 401
    assert (await bench.post("/auth/token", log_in, by=None)).refusal == (401, "identity.login.refused")
    log_in["password"] = "battery staple"
    after = await session()
    assert (await bench.get("/me", by=after)).status == 200
    await bench.delete(f"/users/{added['id']}")
    assert (await bench.get("/me", by=after)).status == 401


async def test_the_last_administrator_stays(bench: ApiBench) -> None:
    me = f"/users/{(await bench.get('/me')).json['id']}"

    for answer in (await bench.patch(me, {"role": "operator"}), await bench.delete(me)):
        assert answer.refusal == (409, "identity.user.last_administrator")


async def test_who_changes_the_password_stays_and_every_other_session_ends(bench: ApiBench) -> None:
    await bench.post("/users", NEW)
    log_in = {"email": NEW["email"], "password": NEW["password"]}
    pairs = [(await bench.post("/auth/token", log_in, by=None)).json for _ in range(2)]
    present, other = [{"Authorization": f"Bearer {pair['access_token']}"} for pair in pairs]
    change = {"password": {"old": NEW["password"], "new": "battery staple"}, "name": "Vi"}

    changed = await bench.patch("/me", change, by=present, headers={"If-Match": '"1"'})

    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    assert changed.json == (await bench.get("/me", by=present)).json
    assert (changed.json["kind"], changed.json["name"]) == ("user", "Vi")
    assert (await bench.get("/me", by=other)).refusal == (401, "identity.credential.invalid")
    statuses = [
        (await bench.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}, by=None)).status
        for pair in pairs
    ]
    assert statuses == [200, 401]
    assert (await bench.patch("/me", change, by=present)).refusal == (403, "identity.password.wrong")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"password": "battery staple"}, "password"),
        ({"password": None}, "password"),
        ({"password": {"new": "battery staple"}}, "password.old"),
        ({"password": {"old": "correct horse", "new": "too short"}}, "password.new"),
        ({"password": {"old": "correct horse", "new": "x" * 257}}, "password.new"),
        ({"password": {"old": "correct horse", "new": "correct horse"}}, "password.new"),
        ({"password": {"old": "correct horse", "new": "vi@waterworks.example"}}, "password.new"),
        ({"name": ""}, "name"),
        ({"role": "admin"}, "role"),
        ({"email": "new@waterworks.example"}, "email"),
    ],
)
async def test_what_is_wrong_with_a_change_of_oneself_is_named(
    bench: ApiBench, change: dict[str, Any], field: str
) -> None:
    user = bench.add_user(bench.ours, email=NEW["email"], password_hash="hash of correct horse")
    by = bench.log_in(user)
    before = bench.tables.copy()

    refused = await bench.patch("/me", change, by=by)

    assert refused.status == 422
    assert list(refused.json["errors"]) == [field]
    assert bench.tables == before


async def test_a_device_changes_no_user(bench: ApiBench) -> None:
    key = bench.give_key(bench.add_device())

    assert (await bench.patch("/me", {"name": "New"}, by=key)).refusal == (403, "identity.device.not_allowed")


async def test_organisations_are_listed_to_the_platform_administrator_alone(
    bench: ApiBench, founder: Credentials
) -> None:
    listed = await bench.get("/organisations", by=founder)

    assert [item["id"] for item in listed.json["items"]] == [str(bench.ours.id), str(bench.theirs.id)]
    assert listed.json["items"][0].keys() == {"id", "name", "created_at", "version"}
    first = (await bench.get("/organisations?limit=1", by=founder)).json
    second = (await bench.get(f"/organisations?limit=1&cursor={first['next_cursor']}", by=founder)).json
    assert (first["items"] + second["items"], second["next_cursor"]) == (listed.json["items"], None)
    assert (await bench.get("/organisations")).refusal == (403, "identity.role.not_platform_administrator")


async def test_an_organisation_is_shown_to_its_own_and_renamed_by_their_administrator(
    bench: ApiBench, founder: Credentials
) -> None:
    path = f"/organisations/{bench.ours.id}"

    shown = await bench.get(path, by="viewer")
    assert (shown.status, shown.headers["ETag"], shown.json["name"]) == (200, '"1"', bench.ours.name)
    assert (await bench.patch(path, {"name": "Works"}, by="operator")).refusal == (403, "identity.role.too_low")
    renamed = await bench.patch(path, {"name": "Works"}, headers={"If-Match": '"1"'})
    assert (renamed.status, renamed.headers["ETag"], renamed.json["name"]) == (200, '"2"', "Works")
    late = await bench.patch(path, {"name": "Late"}, headers={"If-Match": '"1"'})
    assert late.refusal == (412, "request.precondition.failed")
    taken = await bench.patch(path, {"name": bench.theirs.name})
    assert taken.refusal == (409, "identity.organisation.name_taken")
    by_platform = await bench.patch(f"/organisations/{bench.theirs.id}", {"name": "Theirs"}, by=founder)
    assert (by_platform.status, by_platform.json["name"]) == (200, "Theirs")


async def test_a_foreign_organisation_and_none_look_the_same(bench: ApiBench) -> None:
    paths = [f"/organisations/{organisation_id}" for organisation_id in (bench.theirs.id, uuid4())]

    for answers in (
        [await bench.get(path) for path in paths],
        [await bench.patch(path, {"name": "Ours"}) for path in paths],
    ):
        assert {answer.refusal for answer in answers} == {(404, "identity.organisation.not_found")}
        assert len({answer.json["detail"] for answer in answers}) == 1
