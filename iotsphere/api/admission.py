"""Who may come in: the caller is recognised, and then their role and the device in the path are checked."""

from collections.abc import Awaitable

from dependency_injector.wiring import Provide, inject
from quart import g, request

from iotsphere.api.browser import CSRF_HEADER, refuse_forgery, session_secret
from iotsphere.identity.errors import (
    CredentialInvalidError,
    CredentialMissingError,
    DeviceNotAllowedError,
    RoleTooLowError,
)
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import MalformedInputError, UnauthenticatedError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.ownership import DeviceOwnership
from iotsphere.throttling.service import Throttle
from iotsphere.workflows.authentication import AuthenticationWorkflow


class CredentialAmbiguousError(MalformedInputError):
    code = "request.credential.ambiguous"


@inject
async def admit(
    device_id: DeviceId | None,
    *,
    allow: Role | None,
    device_may: bool,
    provisioning: bool = False,
    throttled: bool = True,
    authentication: AuthenticationWorkflow = Provide["workflows.authentication"],
    throttle: Throttle = Provide["throttle"],
) -> Attempt:
    """Recognise the caller and let them in, or not; ``allow`` None lets anybody in, unrecognised.

    ``provisioning`` lets in whoever holds a provisioning key, and nobody else.

    Unless it is not ``throttled``, the request counts: towards the limits of who makes it, or of where it comes from.

    :raises RateLimitedError: it is one too many.
    :raises GuessesExceededError: too many keys were wrong that came from the address.
    :raises CredentialMissingError: there is no credential.
    :raises CredentialInvalidError: it is not, or no longer, valid.
    :raises NotPermittedError: the caller is known and may not.
    :raises DeviceNotFoundError: the device in the path is not there for this caller.
    """
    # Kept before anything is known of the caller: a refusal, too, has come from somewhere.
    attempt = note_attempt(None)
    if provisioning:
        provisioner = await _counted(_authenticate_provisioner(attempt.address), attempt.address, throttle)
        attempt = note_attempt(provisioner)
        if throttled:
            await throttle.admit(provisioner)
        return attempt
    if allow is None:
        if throttled:
            await throttle.admit_stranger(attempt.address)
        return attempt
    actor = await _counted(_authenticate(attempt, authentication), attempt.address, throttle)
    attempt = g.attempt = Attempt(actor, attempt.action, attempt.address, attempt.correlation_id)
    refuse_forgery(request.headers.get(CSRF_HEADER))
    if throttled:
        await throttle.admit(actor)
    if actor.device_id is None:
        await _check_role(actor, allow, device_id)
    elif device_id not in {None, actor.device_id}:
        # To a device, every other device looks as if it were not there.
        raise DeviceNotFoundError
    elif not device_may:
        raise DeviceNotAllowedError("A device's key does not allow this.")
    return attempt


async def _check_role(actor: Actor, allow: Role, device_id: DeviceId | None) -> None:
    if not actor.may(allow):
        raise RoleTooLowError(f"This takes the role {allow.name.lower()} or a higher one.")
    if device_id is not None:
        await _check_device(actor, device_id)


@inject
async def admit_browser(throttle: Throttle = Provide["throttle"]) -> Attempt:
    """Recognise a browser by its cookie, and let it in; whether it may change something, is not asked yet.

    :raises RateLimitedError: it is one request too many.
    :raises CredentialMissingError: there is no cookie.
    :raises CredentialInvalidError: its session is over, or never was.
    """
    address = note_attempt(None).address
    actor = await _counted(_authenticate_browser(), address, throttle)
    attempt = note_attempt(actor)
    await throttle.admit(actor)
    return attempt


async def recognise_browser() -> Attempt:
    """Recognise a browser by its cookie, for a request that was let in, and counted, for another reason.

    :raises CredentialMissingError: there is no cookie.
    :raises CredentialInvalidError: its session is over, or never was.
    """
    return note_attempt(await _authenticate_browser())


def note_attempt(actor: Actor | None) -> Attempt:
    """Keep for whoever has to tell of it what is being tried, by whom and from where."""
    operation = (request.endpoint or "").rpartition(".")[2]
    attempt = g.attempt = Attempt(actor, operation, request.remote_addr or "unknown", g.correlation_id)
    return attempt


async def _authenticate(attempt: Attempt, authentication: AuthenticationWorkflow) -> Actor:
    api_key = request.headers.get("X-API-Key")
    authorization = request.headers.get("Authorization")
    if api_key and authorization:
        raise CredentialAmbiguousError("Send either X-API-Key or Authorization, not both.")
    if api_key:
        return await authentication.authenticate_key(api_key=api_key, attempt=attempt)
    if authorization:
        return await authentication.authenticate_user(access_token=bearer_token(authorization))
    return await _authenticate_browser()


async def _counted(authenticating: Awaitable[Actor], address: str, throttle: Throttle) -> Actor:
    """Count the request towards the limit of where it comes from if it turns out to be a stranger's.

    Afterwards, so that nobody beside them can keep those out whose credential is good.
    """
    try:
        return await authenticating
    except UnauthenticatedError:
        await throttle.admit_stranger(address)
        raise


@inject
async def _authenticate_browser(
    authentication: AuthenticationWorkflow = Provide["workflows.authentication"],
) -> Actor:
    secret = session_secret()
    if secret is None:
        raise CredentialMissingError("Send 'Authorization: Bearer' with an access token, or X-API-Key.")
    actor = await authentication.authenticate_browser(secret=secret)
    g.session_secret = secret
    return actor


@inject
async def _authenticate_provisioner(
    address: str, authentication: AuthenticationWorkflow = Provide["workflows.authentication"]
) -> Actor:
    provisioning_key = request.headers.get("X-Provisioning-Key")
    if not provisioning_key:
        raise CredentialMissingError("Send X-Provisioning-Key, with a key that an administrator has made.")
    return await authentication.authenticate_provisioner(provisioning_key=provisioning_key, address=address)


def bearer_token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise CredentialInvalidError("The Authorization header must be 'Bearer' and an access token.")
    return token.strip()


@inject
async def _check_device(
    actor: Actor, device_id: DeviceId, ownership: DeviceOwnership = Provide["registry.ownership"]
) -> None:
    await ownership.check_device(organisation_id=actor.organisation_id, device_id=device_id)
