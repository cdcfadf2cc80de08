"""A browser's session on the real registry, as the browser and the worker's housekeeping meet it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest_asyncio
from dependency_injector import providers

from iotsphere.app import create_app
from iotsphere.containers.application import Application, create_container
from iotsphere.identity.model import BROWSER_SESSION_LIFE, User
from iotsphere.identity.service import SessionService
from iotsphere.kernel.clock import utc_now
from iotsphere.throttling.process import ProcessThrottleStore
from tests.api.bench import NOWHERE
from tests.factories.identity import build_organisation, build_user
from tests.fakes.identity import ManualClock, RecordingPasswords


class Site:
    """The application, with one user and the cookies of the browsers that the user has logged in with."""

    def __init__(self, container: Application) -> None:
        self.container = container
        self.app = create_app(container)
        organisation = build_organisation()
        self.organisation = organisation
        self.user: User = build_user(organisation_id=organisation.id, password_hash="hash of correct horse")

    async def log_in(self) -> str:
        form = urlencode({"email": self.user.email, "password": "correct horse"}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self.app.test_client().post("/login", data=form, headers=headers)
        assert answer.status_code == 303
        return "; ".join(line.partition(";")[0] for line in answer.headers.getlist("Set-Cookie"))

    async def ask(self, method: str, path: str, cookie: str) -> int:
        headers = {"Cookie": cookie, "X-CSRF-Token": cookie.rpartition("=")[2]}
        client: Any = self.app.test_client()
        status: int = (await client.open(path, method=method, headers=headers)).status_code
        return status


@pytest_asyncio.fixture
async def site(registry_dsn: str) -> AsyncIterator[Site]:
    container = create_container(replace(NOWHERE, registry_dsn=registry_dsn))
    container.identity.passwords.override(providers.Object(RecordingPasswords()))
    container.stores.throttle.override(providers.Singleton(ProcessThrottleStore))
    site = Site(container)
    async with container.stores.registry_unit_of_work() as uow:
        await uow.organisations.add(site.organisation)
        await uow.users.add(site.user)
        await uow.commit()
    yield site
    await container.stores.registry_engine().dispose()
    container.unwire()


async def test_browsers_that_log_in_at_once_have_a_session_each(site: Site) -> None:
    cookies = await asyncio.gather(*(site.log_in() for _ in range(5)))

    assert len(set(cookies)) == 5
    assert [await site.ask("GET", "/api/v1/me", cookie) for cookie in cookies] == [200] * 5


async def test_a_session_that_is_ended_twice_at_once_is_over_and_no_other(site: Site) -> None:
    ended, other = await site.log_in(), await site.log_in()

    statuses = await asyncio.gather(*(site.ask("POST", "/api/v1/auth/logout", ended) for _ in range(5)))

    assert 204 in statuses
    assert set(statuses) <= {204, 401}
    assert await site.ask("GET", "/api/v1/me", ended) == 401
    assert await site.ask("GET", "/api/v1/me", other) == 200


async def test_a_browsers_session_is_forgotten_when_its_hour_is_over(site: Site) -> None:
    cookie = await site.log_in()
    clock = ManualClock(utc_now() + BROWSER_SESSION_LIFE + timedelta(seconds=1))
    identity = site.container.identity
    housekeeping = SessionService(
        unit_of_work=site.container.stores.registry_unit_of_work,
        passwords=RecordingPasswords(),
        tokens=identity.tokens(),
        cache=identity.session_cache(),
        clock=clock,
        new_id=uuid4,
    )
    assert await site.ask("GET", "/api/v1/me", cookie) == 200

    await housekeeping.forget_ended()

    assert await site.ask("GET", "/api/v1/me", cookie) == 401
