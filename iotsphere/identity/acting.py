"""Who acts, looked at again in the transaction of what they do: they were recognised a while ago."""

from iotsphere.identity.errors import (
    ApiKeyNotFoundError,
    CredentialInvalidError,
    RoleTooLowError,
    UserNotFoundError,
)
from iotsphere.identity.model import User
from iotsphere.identity.ports import IdentityUnitOfWork
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.identifiers import CredentialId, UserId


async def lock_acting_user(uow: IdentityUnitOfWork, actor: Actor) -> User:
    """Give the user who acts, or whose integration key does, as they are now; neither changes before the end.

    :raises CredentialInvalidError: the user, or the key, has been taken away meanwhile.
    """
    try:
        if actor.kind is ActorKind.USER:
            return await uow.users.get(actor.organisation_id, UserId(actor.id), for_update=True)
        key_id = CredentialId(actor.id)
        key = await uow.api_keys.get(actor.organisation_id, key_id)
        # In the order in which a user goes with their keys.
        user = await uow.users.get(actor.organisation_id, key.made_by, for_update=True)
        await uow.api_keys.get(actor.organisation_id, key_id, for_update=True)
    except (ApiKeyNotFoundError, UserNotFoundError) as error:
        raise CredentialInvalidError("The credential is no longer valid.") from error
    return user


async def check_still_administers(uow: IdentityUnitOfWork, actor: Actor) -> None:
    """Check that who was let in as an administrator is still one, and keep it so until the end.

    :raises CredentialInvalidError: the user, or the key, has been taken away meanwhile.
    :raises RoleTooLowError: the user, or whose key it is, has a lower role by now.
    """
    if (await lock_acting_user(uow, actor)).role < Role.ADMIN:
        raise RoleTooLowError("This takes the role admin.")
