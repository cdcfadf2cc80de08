"""The whole application on real stores, with two organisations on it and everybody who may knock at its door."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
from quart import Quart
from werkzeug.datastructures import Headers

from iotsphere.api.browser import CSRF_COOKIE, CSRF_HEADER, SESSION_COOKIE
from iotsphere.kernel.actor import ActorKind, Role
from tests.integration.access.described import Described
from tests.integration.access.table import DEVICE_ID, EMAIL, INSPECTED, PASSWORD, REFRESH_TOKEN, REPORT, Access

PARTS_OF_DEVICES = {"credential_id": ("credentials", {}), "event_id": ("maintenance-events", INSPECTED)}
# What has a name, rather than an id, and need not be made.
THERE_ANYWAY = {"retention_class": "default", "relationship_type": "feeds"}
PROVISIONING = {"device_type": "pump", "max_devices": 1000, "expires_at": "2100-01-01T00:00:00Z"}


@dataclass(frozen=True)
class Caller:
    """Somebody at the door. ``kind`` is None for whoever cannot be recognised; what a browser sends is forged where
    it has the cookie without the token.
    """

    name: str
    headers: Mapping[str, str]
    kind: ActorKind | None = None
    role: Role | None = None
    email: str | None = None
    device_id: str | None = None
    is_platform_administrator: bool = False
    is_suspended: bool = False
    is_browser: bool = False
    is_forged: bool = False


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


STRANGERS = [
    Caller("nobody", {}),
    Caller("a bearer without a token", {"Authorization": "Bearer"}),
    Caller("a bearer with a word", {"Authorization": "Bearer let-me-in"}),
    Caller("basic authentication", {"Authorization": "Basic YWRtaW46YWRtaW4="}),
    Caller("a malformed key", {"X-API-Key": "iot_"}),
    Caller("a made-up key", {"X-API-Key": f"iot_{uuid4().hex}_{'0' * 43}"}),
    Caller("a made-up cookie", {"Cookie": f"{SESSION_COOKIE}={'0' * 43}", CSRF_HEADER: "0" * 43}),
]


class World:
    """``callers`` are all of our organisation, but for the strangers."""

    def __init__(self, app: Quart) -> None:
        self._app = app
        self._sent = 0

    async def populate(self, founder: str) -> None:
        """Let everybody be there; the founder is the platform administrator, by e-mail address."""
        self.founder = replace(
            await self.log_in(founder, Role.ADMIN), name="the platform administrator", is_platform_administrator=True
        )
        self.ours, self.theirs = await self.found_organisation(), await self.found_organisation()
        users = [await self.log_in(await self.add_user(self.ours, role), role) for role in Role]
        keys = [await self._give_integration_key(role) for role in Role]
        browser = await self.log_in_browser(await self.add_user(self.ours, Role.ADMIN), Role.ADMIN)
        forged = {"Cookie": browser.headers["Cookie"]}
        other = await self.log_in_browser(await self.add_user(self.ours, Role.ADMIN), Role.ADMIN)
        mixed = forged | {CSRF_HEADER: other.headers[CSRF_HEADER]}
        browsers = [
            browser,
            replace(browser, name="a browser without the token", headers=forged, is_forged=True),
            replace(browser, name="a browser with another one's token", headers=mixed, is_forged=True),
        ]
        device, suspended = await self.add_device_with_key(self.ours), await self.add_device_with_key(self.ours)
        await self.change("PATCH", f"/devices/{suspended.device_id}", {"status": "suspended"}, by=self.ours)
        suspended = replace(suspended, name="a suspended device", is_suspended=True)
        self.their_device = await self.add_device_with_key(self.theirs)
        self.device = device
        provisioner = await self._give_provisioning_key()
        swapped = [
            Caller("a provisioning key as an API key", {"X-API-Key": provisioner.headers["X-Provisioning-Key"]}),
            Caller("a device's key as a provisioning key", {"X-Provisioning-Key": device.headers["X-API-Key"]}),
        ]
        keys = [*keys, provisioner, device, suspended]
        self.callers = [*STRANGERS, *swapped, *users, self.founder, *browsers, *keys]

    async def found_organisation(self) -> Caller:
        """Give its administrator."""
        email = f"{uuid4().hex}@example.org"
        body = {"name": f"Organisation {uuid4()}", "admin": {"email": email, "password": PASSWORD}}
        await self.change("POST", "/organisations", body, by=self.founder)
        return await self.log_in(email, Role.ADMIN)

    async def add_user(self, by: Caller, role: Role = Role.VIEWER) -> str:
        """Give the e-mail address of a new user."""
        email = f"{uuid4().hex}@example.org"
        body = {"email": email, "password": PASSWORD, "role": role.name.lower()}
        await self.change("POST", "/users", body, by=by)
        return email

    async def log_in(self, email: str, role: Role) -> Caller:
        pair = await self.change("POST", "/auth/token", {"email": email, "password": PASSWORD})
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        return Caller(f"a user, {role.name.lower()}", headers, ActorKind.USER, role, email)

    async def log_in_browser(self, email: str, role: Role) -> Caller:
        form = {"email": email, "password": PASSWORD}
        answer = await self.send(
            "POST", "/login", data=urlencode(form), media_type="application/x-www-form-urlencoded"
        )
        assert answer.status == 303, answer.body
        cookies = dict(cookie.partition(";")[0].split("=", 1) for cookie in answer.headers.getlist("Set-Cookie"))
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            CSRF_HEADER: cookies[CSRF_COOKIE],
        }
        return Caller(f"a browser, {role.name.lower()}", headers, ActorKind.USER, role, email, is_browser=True)

    async def with_spare_credential(self, caller: Caller) -> Caller:
        """Give the caller a credential of which the loss costs nothing, where there is such a thing."""
        if caller.email is None or caller.role is None or caller.is_forged:
            return caller
        if caller.is_browser:
            return await self.log_in_browser(caller.email, caller.role)
        return await self.log_in(caller.email, caller.role)

    def home_of(self, caller: Caller) -> Caller:
        """Give an administrator of the caller's organisation."""
        return caller if caller.is_platform_administrator else self.ours

    async def _give_integration_key(self, role: Role) -> Caller:
        body = {"label": "integration", "role": role.name.lower()}
        issued = await self.change("POST", "/api-keys", body, by=self.ours)
        headers = {"X-API-Key": issued["api_key"]}
        return Caller(f"an integration, {role.name.lower()}", headers, ActorKind.INTEGRATION, role)

    async def _give_provisioning_key(self) -> Caller:
        issued = await self.change("POST", "/provisioning-keys", PROVISIONING, by=self.ours)
        headers = {"X-Provisioning-Key": issued["provisioning_key"]}
        return Caller("whoever holds a provisioning key", headers, ActorKind.PROVISIONING_KEY)

    async def add_device_with_key(self, by: Caller) -> Caller:
        device_id = await self.add_thing("device_id", {}, by)
        issued = await self.change("POST", f"/devices/{device_id}/credentials", {}, by=by)
        return Caller("a device", {"X-API-Key": issued["api_key"]}, ActorKind.DEVICE, device_id=device_id)

    async def add_thing(self, variable: str, others: Mapping[str, str], by: Caller) -> str:
        """Make what a variable of a path stands for, in the caller's organisation, and give its id."""
        device = f"/devices/{others.get('device_id')}"
        match variable:
            case "device_id":
                body = {"serial_number": uuid4().hex, "device_type": "pump"}
                made = await self.change("POST", "/devices", body, by=by)
                await self.change("PATCH", f"/devices/{made['id']}/shadow", REPORT, by=by)
            case "name":
                await self.change("PATCH", f"{device}/shadows/settings", REPORT, by=by)
                return "settings"
            case "credential_id" | "event_id":
                place, body = PARTS_OF_DEVICES[variable]
                made = await self.change("POST", f"{device}/{place}", body, by=by)
            case "device_type":
                name = f"type-{uuid4().hex}"
                return str((await self.change("PUT", f"/device-types/{name}", {}, by=by))["name"])
            case "asset_id":
                made = await self.change("POST", "/assets", {"asset_type": "hall", "name": "Hall"}, by=by)
            case "user_id":
                body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "role": "viewer"}
                made = await self.change("POST", "/users", body, by=by)
            case "organisation_id":
                return str((await self.change("GET", "/me", None, by=by))["organisation_id"])
            case "key_id":
                made = await self.change("POST", "/api-keys", {"label": "spare", "role": "viewer"}, by=by)
            case "provisioning_key_id":
                made = await self.change("POST", "/provisioning-keys", PROVISIONING, by=by)
            case _:
                raise AssertionError(f"Say here how to make what {variable} stands for.")
        return str(made["id"])

    async def _add_related(self, others: Mapping[str, str], by: Caller) -> str:
        other_id = await self.add_thing("asset_id", {}, by)
        path = f"/assets/{others['asset_id']}/relationships/{others['relationship_type']}/{other_id}"
        await self.change("PUT", path, {}, by=by)
        return other_id

    async def things_for(self, described: Described, by: Caller, **given: str | None) -> dict[str, str]:
        """Make all that stands in an operation's path, but for what is given."""
        things = THERE_ANYWAY | {name: thing for name, thing in given.items() if thing is not None}
        for variable in described.variables:
            if variable in things:
                continue
            if variable == "other_id":
                things[variable] = await self._add_related(things, by)
            else:
                things[variable] = await self.add_thing(variable, things, by)
        return things

    async def call(
        self, described: Described, access: Access, things: Mapping[str, str], *, by: Caller, **more: Any
    ) -> Answer:
        """Make an operation's valid request of these things, but for what is given."""
        valid: dict[str, Any] = {
            "method": described.method,
            "json": None if "data" in more else await self._body(access, by),
            "media_type": described.media_type,
            "query_string": dict(access.query),
        }
        return await self.send(path=described.path.format_map(things), by=by, **(valid | more))

    async def _body(self, access: Access, by: Caller) -> Any:
        body = access.body()
        if isinstance(body, dict):
            if body.get("email") == EMAIL:
                body["email"] = await self.add_user(self.ours)
            if body.get("device_id") == DEVICE_ID:
                body["device_id"] = await self.add_thing("device_id", {}, self.home_of(by))
            if body.get("refresh_token") == REFRESH_TOKEN:
                login = {"email": await self.add_user(self.ours), "password": PASSWORD}
                body["refresh_token"] = (await self.change("POST", "/auth/token", login))["refresh_token"]
        return body

    async def change(self, method: str, path: str, json: Any, *, by: Caller | None = None) -> Any:
        """Do what has to succeed."""
        answer = await self.send(method, f"/api/v1{path}", by=by, json=json, media_type="application/json")
        assert answer.status in {200, 201}, (method, path, answer.body)
        return answer.json

    async def send(
        self,
        method: str,
        path: str,
        *,
        by: Caller | None = None,
        json: Any = None,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        sent: dict[str, str] = {**(by.headers if by else {}), **(headers or {})}
        if json is not None:
            more["data"] = msgspec.json.encode(json)
        if "data" in more and media_type is not None:
            sent.setdefault("Content-Type", media_type)
        # Wrong keys that come again and again from one address are throttled, and everybody is tried here everywhere.
        self._sent += 1
        scope = {"client": (f"198.51.{self._sent // 256 % 256}.{self._sent % 256}", 50_000)}
        response = await self._app.test_client().open(path, method=method, headers=sent, scope_base=scope, **more)
        return Answer(response.status_code, response.headers, await response.get_data(as_text=False))
