"""Who belongs where, and what may they do? Organisations and the people in them."""

from dataclasses import replace
from typing import Any

from iotsphere.identity.acting import check_still_administers
from iotsphere.identity.errors import (
    LastAdministratorError,
    OrganisationNameTakenError,
    OrganisationNotFoundError,
    PasswordOwnError,
    PasswordUnfitError,
    PasswordWrongError,
    PlatformAdministratorRequiredError,
    UserRequiredError,
)
from iotsphere.identity.model import LiveSession, Organisation, PasswordChange, User
from iotsphere.identity.ports import IdentityUnitOfWorkFactory, PasswordHasher
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import IdSource, OrganisationId, UserId
from iotsphere.kernel.lease import LeasedCache
from iotsphere.kernel.pagination import Page


class AccountService:
    """Organisations and the people in them."""

    def __init__(
        self,
        *,
        unit_of_work: IdentityUnitOfWorkFactory,
        passwords: PasswordHasher,
        sessions: LeasedCache[LiveSession],
        clock: Clock,
        new_id: IdSource,
    ) -> None:
        """:param sessions: what is remembered of them. Other processes are told of what changes; this one knows."""
        self._unit_of_work = unit_of_work
        self._passwords = passwords
        self._sessions = sessions
        self._clock = clock
        self._new_id = new_id

    async def found_platform(self, *, email: str, password: str) -> bool:
        """Make the first organisation and its administrator, unless there is one; tell whether they were made."""
        try:
            async with self._unit_of_work() as uow:
                if not await uow.organisations.is_empty():
                    return False
                organisation = self._organisation("IoTSphere")
                await uow.organisations.add(organisation)
                user = await self._user(
                    organisation.id, email=email, password=password, role=Role.ADMIN, platform=True
                )
                await uow.users.add(user)
                founding = Attempt(None, "found_platform", "local", "found_platform")
                await uow.audit.add(
                    founding.done(f"organisation:{organisation.id}", at=self._clock(), by=user.as_actor())
                )
                await uow.commit()
        except OrganisationNameTakenError:
            # Another process has founded it since we looked.
            return False
        return True

    async def found_organisation(
        self, *, name: str, admin_email: str, admin_password: str, attempt: Attempt
    ) -> tuple[Organisation, User]:
        """Make an organisation together with its first administrator.

        :raises OrganisationNameTakenError: another organisation has the name.
        :raises EmailTakenError: the administrator's address is in use.
        :raises PasswordUnfitError: the administrator's password is their address.
        :raises CredentialInvalidError: who acts has been taken away meanwhile.
        :raises RoleTooLowError: who acts is no administrator any more.
        """
        organisation = self._organisation(name)
        admin = await self._user(organisation.id, email=admin_email, password=admin_password, role=Role.ADMIN)
        async with self._unit_of_work() as uow:
            await check_still_administers(uow, attempt.caller)
            await uow.organisations.add(organisation)
            await uow.users.add(admin)
            await uow.audit.add(attempt.done(f"organisation:{organisation.id}", at=self._clock(), name=name))
            await uow.commit()
        return organisation, admin

    async def get_organisation(self, *, actor: Actor, organisation_id: OrganisationId) -> Organisation:
        """:raises OrganisationNotFoundError: there is none, or it is neither the actor's nor theirs to see."""
        _check_may_see(actor, organisation_id)
        async with self._unit_of_work() as uow:
            return await uow.organisations.get(organisation_id)

    async def list_organisations(self, *, limit: int, cursor: str | None) -> Page[Organisation]:
        async with self._unit_of_work() as uow:
            return await uow.organisations.list(limit=limit, cursor=cursor)

    async def change_organisation(
        self,
        *,
        attempt: Attempt,
        organisation_id: OrganisationId,
        expected_version: int | None,
        name: str | None = None,
    ) -> Organisation:
        """Give an organisation another name.

        :raises OrganisationNotFoundError: there is none, or it is neither the actor's nor theirs to see.
        :raises OrganisationNameTakenError: another organisation has the name.
        :raises PreconditionFailedError: it has another version than expected.
        """
        _check_may_see(attempt.caller, organisation_id)
        async with self._unit_of_work() as uow:
            organisation = await uow.organisations.get(organisation_id, for_update=True)
            _check_version("organisation", organisation.version, expected_version)
            changed = replace(organisation, name=name or organisation.name, version=organisation.version + 1)
            await uow.organisations.save(changed)
            await uow.audit.add(attempt.done(f"organisation:{organisation_id}", at=self._clock(), name=changed.name))
            await uow.commit()
        return changed

    async def add_user(self, *, attempt: Attempt, email: str, password: str, role: Role, name: str | None) -> User:
        """Add a person to the organisation that is acted for.

        :raises EmailTakenError: the address is in use, in whatever organisation.
        :raises PasswordUnfitError: the password is the address.
        :raises CredentialInvalidError: who acts has been taken away meanwhile.
        :raises RoleTooLowError: who acts is no administrator any more.
        """
        user = await self._user(attempt.organisation_id, email=email, password=password, role=role, name=name)
        async with self._unit_of_work() as uow:
            await check_still_administers(uow, attempt.caller)
            await uow.users.add(user)
            await uow.audit.add(attempt.done(f"user:{user.id}", at=user.created_at, role=role.name.lower()))
            await uow.commit()
        return user

    async def get_user(self, *, actor: Actor, user_id: UserId) -> User:
        """:raises UserNotFoundError: there is none in the actor's organisation."""
        async with self._unit_of_work() as uow:
            return await uow.users.get(actor.organisation_id, user_id)

    async def list_users(self, *, actor: Actor, limit: int, cursor: str | None) -> Page[User]:
        async with self._unit_of_work() as uow:
            return await uow.users.list(actor.organisation_id, limit=limit, cursor=cursor)

    async def change_user(
        self,
        *,
        attempt: Attempt,
        user_id: UserId,
        expected_version: int | None,
        name: str | None = None,
        role: Role | None = None,
        password: str | None = None,
    ) -> User:
        """Change a user of the organisation; a new password ends all their sessions.

        :raises UserNotFoundError: there is none in the actor's organisation.
        :raises PlatformAdministratorRequiredError: the user administers the platform, and the actor does not.
        :raises LastAdministratorError: nobody would be left to administer.
        :raises PasswordOwnError: the password is the actor's own.
        :raises PasswordUnfitError: the password is the user's address.
        :raises CredentialInvalidError: who acts has been taken away meanwhile.
        :raises RoleTooLowError: who acts is no administrator any more.
        :raises PreconditionFailedError: the user has another version than expected.
        """
        actor = attempt.caller
        if password is not None and (actor.kind, actor.id) == (ActorKind.USER, user_id):
            # Or whoever has got hold of a session could keep its user out of the account.
            raise PasswordOwnError("Your own password takes the old one. Use PATCH /me.")
        known = await self.get_user(actor=actor, user_id=user_id)
        password_hash = None if password is None else await self._new_hash(password, known.email)
        async with self._unit_of_work() as uow:
            administrators = await uow.users.list_administrators(actor.organisation_id)
            await check_still_administers(uow, actor)
            user = await uow.users.get(actor.organisation_id, user_id, for_update=True)
            _check_may_change(actor, user, expected_version)
            if role not in {None, Role.ADMIN} and user.is_indispensable(administrators):
                raise LastAdministratorError
            changed = user.change(name=name, role=role, password_hash=password_hash)
            await uow.users.save(changed)
            now = self._clock()
            if password is not None:
                await uow.sessions.revoke_all(user_id, but=None, now=now)
            await uow.audit.add(attempt.done(f"user:{user_id}", at=now, **_what_changed(user, changed)))
            await uow.commit()
        self._sessions.forget_all()
        return changed

    async def remove_user(self, *, attempt: Attempt, user_id: UserId, expected_version: int | None) -> None:
        """Remove a user of the organisation, with their sessions and the integration keys that they made.

        :raises UserNotFoundError: there is none in the actor's organisation.
        :raises PlatformAdministratorRequiredError: the user administers the platform, and the actor does not.
        :raises LastAdministratorError: nobody would be left to administer.
        :raises PreconditionFailedError: the user has another version than expected.
        """
        actor = attempt.caller
        async with self._unit_of_work() as uow:
            administrators = await uow.users.list_administrators(actor.organisation_id)
            user = await uow.users.get(actor.organisation_id, user_id, for_update=True)
            _check_may_change(actor, user, expected_version)
            if user.is_indispensable(administrators):
                raise LastAdministratorError
            await uow.users.remove(user_id)
            await uow.audit.add(attempt.done(f"user:{user_id}", at=self._clock()))
            await uow.commit()
        self._sessions.forget_all()

    async def get_me(self, *, actor: Actor) -> User:
        """Give the user who asks.

        :raises UserRequiredError: it is a key that asks.
        """
        if actor.kind is not ActorKind.USER:
            raise UserRequiredError("A key has no name and no password of its own. Log in as the user.")
        return await self.get_user(actor=actor, user_id=UserId(actor.id))

    async def check_password(self, *, user: User, password: str) -> None:
        """:raises PasswordWrongError: the user has another password."""
        if not await self._passwords.verify(password, user.password_hash):
            raise _password_wrong(user)

    async def change_me(
        self,
        *,
        attempt: Attempt,
        known: User,
        expected_version: int | None,
        name: str | None = None,
        password: PasswordChange | None = None,
    ) -> User:
        """Change the user who asks; a new password ends all their sessions but the present one.

        ``known`` is the user as they were when the old password was checked.

        :raises PasswordWrongError: they have another password by now.
        :raises PasswordUnfitError: the new password is the old one, or the user's address.
        :raises PreconditionFailedError: the user has another version than expected.
        """
        password_hash = None if password is None else await self._changed_hash(password, known)
        async with self._unit_of_work() as uow:
            user = await uow.users.get(known.organisation_id, known.id, for_update=True)
            if password is not None and user.password_hash != known.password_hash:
                raise _password_wrong(user)
            _check_version("user", user.version, expected_version)
            changed = user.change(name=name, password_hash=password_hash)
            await uow.users.save(changed)
            now = self._clock()
            if password is not None:
                await uow.sessions.revoke_all(user.id, but=attempt.caller.session_id, now=now)
            await uow.audit.add(attempt.done(f"user:{user.id}", at=now, **_what_changed(user, changed)))
            await uow.commit()
        if password is not None:
            self._sessions.forget_all()
        return changed

    async def _changed_hash(self, password: PasswordChange, user: User) -> str:
        if password.new == password.old:
            raise _password_unfit("password.new", "Must differ from the old password.")
        return await self._new_hash(password.new, user.email, field="password.new")

    async def _new_hash(self, password: str, email: str, *, field: str = "password") -> str:
        if password.casefold() == email.casefold():
            raise _password_unfit(field, "Must differ from the e-mail address.")
        return await self._passwords.hash(password)

    def _organisation(self, name: str) -> Organisation:
        return Organisation(id=OrganisationId(self._new_id()), name=name, created_at=self._clock())

    async def _user(
        self,
        organisation_id: OrganisationId,
        *,
        email: str,
        password: str,
        role: Role,
        name: str | None = None,
        platform: bool = False,
    ) -> User:
        return User(
            id=UserId(self._new_id()),
            organisation_id=organisation_id,
            email=email,
            name=name or email,
            role=role,
            password_hash=await self._new_hash(password, email),
            created_at=self._clock(),
            is_platform_administrator=platform,
        )


def _check_may_see(actor: Actor, organisation_id: OrganisationId) -> None:
    if actor.organisation_id != organisation_id and not actor.is_platform_administrator:
        raise OrganisationNotFoundError


def _check_may_change(actor: Actor, user: User, expected_version: int | None) -> None:
    # Or an administrator of the organisation could set the password, and be the platform's administrator.
    if user.is_platform_administrator and not actor.is_platform_administrator:
        raise PlatformAdministratorRequiredError("Only a platform administrator changes a platform administrator.")
    _check_version("user", user.version, expected_version)


def _check_version(what: str, version: int, expected_version: int | None) -> None:
    if expected_version not in {None, version}:
        raise PreconditionFailedError(f"The {what} is at version {version}.")


def _what_changed(before: User, after: User) -> dict[str, Any]:
    """Say for the trail what a user is now, but of the password only that it is another."""
    told: dict[str, Any] = {}
    if after.name != before.name:
        told["name"] = after.name
    if after.role is not before.role:
        told["role"] = after.role.name.lower()
    if after.password_hash != before.password_hash:
        told["has_new_password"] = True
    return told


def _password_wrong(user: User) -> PasswordWrongError:
    error = PasswordWrongError("The old password is wrong.")
    error.target = f"user:{user.id}"
    return error


def _password_unfit(field: str, reason: str) -> PasswordUnfitError:
    return PasswordUnfitError("The password cannot be taken. See errors.", {field: [reason]})
