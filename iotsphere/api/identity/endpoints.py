"""Log-in, sessions, organisations and users over HTTP."""

from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import PageQuery, page_schema
from iotsphere.api.identity.schemas import (
    AddUserBody,
    ApiKeyAnswer,
    FoundOrganisationBody,
    IssueApiKeyBody,
    IssuedApiKeyAnswer,
    LogInBody,
    MeAnswer,
    OrganisationAnswer,
    RefreshBody,
    TokenPairAnswer,
    UserAnswer,
)
from iotsphere.api.operation import operation
from iotsphere.identity.accounts import AccountService
from iotsphere.identity.api_keys import ApiKeyService
from iotsphere.identity.errors import PlatformAdministratorRequiredError
from iotsphere.identity.model import IntegrationKey, IssuedIntegrationKey, Organisation, TokenPair, User
from iotsphere.identity.service import SessionService
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.identifiers import CredentialId, UserId
from iotsphere.kernel.pagination import Page
from iotsphere.workflows.authentication import AuthenticationWorkflow

blueprint = Blueprint("identity", __name__)


@blueprint.post("/auth/token")
@operation(
    "Log in with e-mail address and password",
    allow=None,
    body=LogInBody(),
    answer=TokenPairAnswer(),
    also={401: ProblemAnswer()},
)
@inject
async def log_in(
    attempt: Attempt,
    body: dict[str, Any],
    authentication: AuthenticationWorkflow = Provide["workflows.authentication"],
) -> TokenPair:
    return await authentication.log_in(attempt=attempt, **body)


@blueprint.post("/auth/refresh")
@operation(
    "Trade a refresh token for a new pair",
    allow=None,
    body=RefreshBody(),
    answer=TokenPairAnswer(),
    also={401: ProblemAnswer()},
)
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
@operation("Show who is asking", allow=Role.VIEWER, device_may=True, answer=MeAnswer(), versioned=True)
@inject
async def get_me(actor: Actor, accounts: AccountService = Provide["identity.accounts"]) -> User | Actor:
    # A key is all that there is to know of it, and programs ask this to test theirs.
    if actor.kind is not ActorKind.USER:
        return actor
    return await accounts.get_user(actor=actor, user_id=UserId(actor.id))


@blueprint.post("/api-keys")
@operation(
    "Issue an API key to an integration; it is shown this once",
    allow=Role.ADMIN,
    body=IssueApiKeyBody(),
    answer=IssuedApiKeyAnswer(),
    status=201,
    creates=True,
    versioned=True,
    location="/api/v1/api-keys/{id}",
)
@inject
async def issue_api_key(
    actor: Actor, attempt: Attempt, body: dict[str, Any], api_keys: ApiKeyService = Provide["identity.api_keys"]
) -> IssuedIntegrationKey:
    return await api_keys.issue_key(actor=actor, attempt=attempt, **body)


@blueprint.get("/api-keys")
@operation(
    "List the organisation's integration keys, without secrets",
    allow=Role.ADMIN,
    query=PageQuery(),
    answer=page_schema(ApiKeyAnswer),
)
@inject
async def list_api_keys(
    actor: Actor, query: dict[str, Any], api_keys: ApiKeyService = Provide["identity.api_keys"]
) -> Page[IntegrationKey]:
    return await api_keys.list_keys(organisation_id=actor.organisation_id, **query)


@blueprint.get("/api-keys/<uuid:key_id>")
@operation("Show an integration key, without its secret", allow=Role.ADMIN, answer=ApiKeyAnswer(), versioned=True)
@inject
async def get_api_key(
    actor: Actor, key_id: CredentialId, api_keys: ApiKeyService = Provide["identity.api_keys"]
) -> IntegrationKey:
    return await api_keys.get_key(organisation_id=actor.organisation_id, key_id=key_id)


@blueprint.delete("/api-keys/<uuid:key_id>")
@operation("Revoke an integration key", allow=Role.ADMIN, status=204, conditional=True)
@inject
async def revoke_api_key(
    attempt: Attempt,
    key_id: CredentialId,
    expected_version: int | None,
    api_keys: ApiKeyService = Provide["identity.api_keys"],
) -> None:
    await api_keys.revoke_key(attempt=attempt, key_id=key_id, expected_version=expected_version)
