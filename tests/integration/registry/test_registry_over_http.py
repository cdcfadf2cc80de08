"""The registry's part of the API on a real PostgreSQL, which refuses what no store in memory does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio
from dependency_injector import providers
from hypothesis import given
from hypothesis import strategies as st
from quart import Quart

from iotsphere.app import create_app
from iotsphere.containers.application import create_container
from iotsphere.identity.tokens import sign_token
from iotsphere.kernel.actor import Role
from iotsphere.kernel.clock import utc_now
from tests.api.bench import NOWHERE
from tests.api.hostile import ACCEPTED, HOSTILE, JSON, LISTS, OBJECTS, PARAMETER_VALUES, PARAMETERS, WRITES
from tests.factories.identity import build_organisation, build_session, build_user
from tests.fakes.assets import InMemoryAssetsUnitOfWork
from tests.fakes.identity import RecordingPasswords


@dataclass(frozen=True)
class Api:
    """The application on the real registry, as its platform administrator sees it."""

    app: Quart
    headers: dict[str, str]

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = self.headers | options.pop("headers", {})
        response = await self.app.test_client().open(f"/api/v1{path}", method=method, headers=headers, **options)
        body = await response.get_data(as_text=False)
        return response.status_code, msgspec.json.decode(body) if body else None

    async def register(self) -> str:
        body = {"serial_number": str(uuid4()), "device_type": "pump"}
        status, device = await self.call("POST", "/devices", json=body)
        assert status == 201
        return str(device["id"])


@pytest_asyncio.fixture
async def api(registry_dsn: str) -> AsyncIterator[Api]:
    container = create_container(replace(NOWHERE, registry_dsn=registry_dsn))
    container.identity.passwords.override(providers.Object(RecordingPasswords()))
    container.stores.assets_unit_of_work.override(providers.Factory(InMemoryAssetsUnitOfWork, {}))
    app = create_app(container)
    organisation = build_organisation()
    user = build_user(organisation_id=organisation.id, role=Role.ADMIN, is_platform_administrator=True)
    session = build_session(user_id=user.id, created_at=utc_now())
    async with container.stores.registry_unit_of_work() as uow:
        await uow.organisations.add(organisation)
        await uow.users.add(user)
        await uow.sessions.add(session)
        await uow.commit()
    token = sign_token(await container.identity.ring().signing_key(), session_id=session.id, issued_at=utc_now())
    yield Api(app, {"Authorization": f"Bearer {token}"})
    await container.stores.registry_engine().dispose()
    container.unwire()


@pytest.mark.parametrize("write", WRITES, ids=" ".join)
@HOSTILE
@given(data=st.data())
async def test_no_json_makes_the_store_fail(api: Api, write: tuple[str, str], data: st.DataObject) -> None:
    method, path = write
    if "?" in path:
        path = path.replace("?", await api.register())
    accepted = ACCEPTED[write] | ({"serial_number": str(uuid4())} if path == "/devices" else {})
    body = data.draw(OBJECTS.map(lambda members: accepted | members) | JSON)

    status, _ = await api.call(
        method, path, data=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
    )

    assert status < 500


@HOSTILE
@given(query=st.lists(st.tuples(st.sampled_from(PARAMETERS), PARAMETER_VALUES), max_size=4))
async def test_no_query_makes_the_store_fail(api: Api, query: list[tuple[str, str]]) -> None:
    for path in LISTS:
        status, _ = await api.call("GET", path, query_string=query)
        assert status < 500


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\ufffd", "\uffff", "\U0010ffff", "'; DROP TABLE devices; --", "%", "_", "\\", "\u202e"]
)
async def test_a_text_of_any_kind_may_be_looked_for(api: Api, text: str) -> None:
    for query in (f"q={quote(text)}", f"device_type={quote(text)}", f"label={quote(text)}:{quote(text)}"):
        status, _ = await api.call("GET", f"/devices?{query}")
        assert status == (422 if "\0" in text else 200)


async def test_a_device_comes_back_over_http_as_it_was_sent(api: Api) -> None:
    sent = {
        "serial_number": str(uuid4()),
        "device_type": "pump",
        "name": "Böiler 😀 \u2028",
        "labels": {"site": "nörth", '"': "\\", "\u0001": "\u007f"},
    }

    status, device = await api.call("POST", "/devices", json=sent)

    assert status == 201
    assert {name: device[name] for name in sent} == sent
    assert await api.call("GET", f"/devices/{device['id']}") == (200, device)


async def test_every_device_of_a_list_is_shown_once(api: Api) -> None:
    ids = [await api.register() for _ in range(12)]
    seen: list[str] = []
    cursor = ""

    for _ in range(4):
        _, page = await api.call("GET", f"/devices?limit=3{cursor}")
        seen += [device["id"] for device in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == ids
    assert page["next_cursor"] is None
