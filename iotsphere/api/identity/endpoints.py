"""Log-in, sessions, organisations and users over HTTP."""

from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.fields import PageQuery, page_schema
from iotsphere.api.identity.schemas import (
    AddUserBody,
    FoundOrganisationBody,
    LogInBody,
    OrganisationAnswer,
    RefreshBody,
    TokenPairAnswer,
    UserAnswer,
)
from iotsphere.api.operation import operation
from iotsphere.identity.errors import PlatformAdministratorRequiredError
from iotsphere.identity.model import Organisation, TokenPair, User
from iotsphere.identity.service import AccountService, SessionService
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.identifiers import UserId
from iotsphere.kernel.pagination import Page

blueprint = Blueprint("identity", __name__)


@blueprint.post("/auth/token")
@operation("Log in with e-mail address and password", allow=None, body=LogInBody(), answer=TokenPairAnswer())
@inject
async def log_in(
    attempt: Attempt, body: dict[str, Any], sessions: SessionService = Provide["identity.sessions"]
) -> TokenPair:
    return await sessions.log_in(attempt=attempt, **body)


@blueprint.post("/auth/refresh")
@operation("Trade a refresh token for a new pair", allow=None, body=RefreshBody(), answer=TokenPairAnswer())
@inject
async def refresh(body: dict[str, Any], sessions: SessionService = Provide["identity.sessions"]) -> TokenPair:
    return await sessions.refresh(**body)


@blueprint.post("/auth/logout")
@operation("End the session", allow=Role.VIEWER, status=204)
@inject
async def log_out(attempt: Attempt, sessions: SessionService = Provide["identity.sessions"]) -> None:
    await sessions.log_out(attempt=attempt)


@blueprint.post("/organisations")
@operation(
    "Found an organisation with its first administrator (platform administrator)",
    allow=Role.ADMIN,
    body=FoundOrganisationBody(),
    answer=OrganisationAnswer(),
    status=201,
    creates=True,
)
@inject
async def found_organisation(
    actor: Actor, attempt: Attempt, body: dict[str, Any], accounts: AccountService = Provide["identity.accounts"]
) -> tuple[Organisation, User]:
    if not actor.is_platform_administrator:
        raise PlatformAdministratorRequiredError("Only the platform administrator founds organisations.")
    admin = body["admin"]
    return await accounts.found_organisation(
        name=body["name"], admin_email=admin["email"], admin_password=admin["password"], attempt=attempt
    )


@blueprint.post("/users")
@operation(
    "Add a user to the organisation",
    allow=Role.ADMIN,
    body=AddUserBody(),
    answer=UserAnswer(),
    status=201,
    creates=True,
    versioned=True,
    location="/api/v1/users/{id}",
)
@inject
async def add_user(
    attempt: Attempt, body: dict[str, Any], accounts: AccountService = Provide["identity.accounts"]
) -> User:
    return await accounts.add_user(attempt=attempt, **body)


@blueprint.get("/users")
@operation("List the organisation's users", allow=Role.ADMIN, query=PageQuery(), answer=page_schema(UserAnswer))
@inject
async def list_users(
    actor: Actor, query: dict[str, Any], accounts: AccountService = Provide["identity.accounts"]
) -> Page[User]:
    return await accounts.list_users(actor=actor, **query)


@blueprint.get("/users/<uuid:user_id>")
@operation("Show a user", allow=Role.ADMIN, answer=UserAnswer(), versioned=True)
@inject
async def get_user(actor: Actor, user_id: UserId, accounts: AccountService = Provide["identity.accounts"]) -> User:
    return await accounts.get_user(actor=actor, user_id=user_id)


@blueprint.get("/me")
@operation("Show who is logged in", allow=Role.VIEWER, answer=UserAnswer(), versioned=True)
@inject
async def get_me(actor: Actor, accounts: AccountService = Provide["identity.accounts"]) -> User:
    return await accounts.get_user(actor=actor, user_id=UserId(actor.id))
