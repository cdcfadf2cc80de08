"""Log-in, sessions, organisations and users over HTTP."""

from dataclasses import asdict
from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import PageQuery, page_schema
from iotsphere.api.identity.schemas import (
    AddUserBody,
    ApiKeyAnswer,
    ChangeMeBody,
    ChangeOrganisationBody,
    ChangeUserBody,
    FoundedOrganisationAnswer,
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
from iotsphere.kernel.identifiers import CredentialId, OrganisationId, UserId
from iotsphere.kernel.pagination import Page
from iotsphere.workflows.authentication import AuthenticationWorkflow
from iotsphere.workflows.profile import ProfileWorkflow

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
async def refresh(
    attempt: Attempt, body: dict[str, Any], sessions: SessionService = Provide["identity.sessions"]
) -> TokenPair:
    return await sessions.refresh(**body, attempt=attempt)


@blueprint.post("/auth/logout")
@operation("End the session", allow=Role.VIEWER, users_alone=True, status=204)
@inject
async def log_out(attempt: Attempt, sessions: SessionService = Provide["identity.sessions"]) -> None:
    await sessions.log_out(attempt=attempt)


@blueprint.post("/organisations")
@operation(
    "Found an organisation with its first administrator",
    allow=Role.ADMIN,
    platform_administrator_alone=True,
    body=FoundOrganisationBody(),
    answer=FoundedOrganisationAnswer(),
    status=201,
    creates=True,
    versioned=True,
    location="/api/v1/organisations/{id}",
)
@inject
async def found_organisation(
    actor: Actor, attempt: Attempt, body: dict[str, Any], accounts: AccountService = Provide["identity.accounts"]
) -> dict[str, Any]:
    _require_platform_administrator(actor)
    first = body["admin"]
    organisation, admin = await accounts.found_organisation(
        name=body["name"], admin_email=first["email"], admin_password=first["password"], attempt=attempt
    )
    return asdict(organisation) | {"admin": admin}


@blueprint.get("/organisations")
@operation(
    "List the platform's organisations",
    allow=Role.ADMIN,
    platform_administrator_alone=True,
    query=PageQuery(),
    answer=page_schema(OrganisationAnswer),
)
@inject
async def list_organisations(
    actor: Actor, query: dict[str, Any], accounts: AccountService = Provide["identity.accounts"]
) -> Page[Organisation]:
    _require_platform_administrator(actor)
    return await accounts.list_organisations(**query)


@blueprint.get("/organisations/<uuid:organisation_id>")
@operation("Show an organisation", allow=Role.VIEWER, answer=OrganisationAnswer(), versioned=True)
@inject
async def get_organisation(
    actor: Actor, organisation_id: OrganisationId, accounts: AccountService = Provide["identity.accounts"]
) -> Organisation:
    return await accounts.get_organisation(actor=actor, organisation_id=organisation_id)


@blueprint.patch("/organisations/<uuid:organisation_id>")
@operation(
    "Give an organisation another name",
    allow=Role.ADMIN,
    body=ChangeOrganisationBody(),
    answer=OrganisationAnswer(),
    versioned=True,
    conditional=True,
    also={409: ProblemAnswer()},
)
@inject
async def change_organisation(
    attempt: Attempt,
    organisation_id: OrganisationId,
    body: dict[str, Any],
    expected_version: int | None,
    accounts: AccountService = Provide["identity.accounts"],
) -> Organisation:
    return await accounts.change_organisation(
        attempt=attempt, organisation_id=organisation_id, expected_version=expected_version, **body
    )


def _require_platform_administrator(actor: Actor) -> None:
    if not actor.is_platform_administrator:
        raise PlatformAdministratorRequiredError("Only the platform administrator may do this.")


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


@blueprint.patch("/users/<uuid:user_id>")
@operation(
    "Change a user: the name, the role, the password",
    allow=Role.ADMIN,
    body=ChangeUserBody(),
    answer=UserAnswer(),
    versioned=True,
    conditional=True,
    also={409: ProblemAnswer()},
)
@inject
async def change_user(
    attempt: Attempt,
    user_id: UserId,
    body: dict[str, Any],
    expected_version: int | None,
    accounts: AccountService = Provide["identity.accounts"],
) -> User:
    return await accounts.change_user(attempt=attempt, user_id=user_id, expected_version=expected_version, **body)


@blueprint.delete("/users/<uuid:user_id>")
@operation(
    "Remove a user, with the integration keys that they made",
    allow=Role.ADMIN,
    status=204,
    conditional=True,
    also={409: ProblemAnswer()},
)
@inject
async def remove_user(
    attempt: Attempt,
    user_id: UserId,
    expected_version: int | None,
    accounts: AccountService = Provide["identity.accounts"],
) -> None:
    await accounts.remove_user(attempt=attempt, user_id=user_id, expected_version=expected_version)


@blueprint.get("/me")
@operation("Show who is asking", allow=Role.VIEWER, device_may=True, answer=MeAnswer(), versioned=True)
@inject
async def get_me(actor: Actor, accounts: AccountService = Provide["identity.accounts"]) -> User | Actor:
    # A key is all that there is to know of it, and programs ask this to test theirs.
    if actor.kind is not ActorKind.USER:
        return actor
    return await accounts.get_user(actor=actor, user_id=UserId(actor.id))


@blueprint.patch("/me")
@operation(
    "Change the user who is logged in: the name, the password",
    allow=Role.VIEWER,
    users_alone=True,
    body=ChangeMeBody(),
    answer=MeAnswer(),
    versioned=True,
    conditional=True,
)
@inject
async def change_me(
    attempt: Attempt,
    body: dict[str, Any],
    expected_version: int | None,
    profile: ProfileWorkflow = Provide["workflows.profile"],
) -> User:
    return await profile.change_me(attempt=attempt, expected_version=expected_version, **body)


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
    attempt: Attempt, body: dict[str, Any], api_keys: ApiKeyService = Provide["identity.api_keys"]
) -> IssuedIntegrationKey:
    return await api_keys.issue_key(attempt=attempt, **body)


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
