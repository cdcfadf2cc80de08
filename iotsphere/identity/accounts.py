"""What may they do, and for whom? Organisations and the people in them."""

from iotsphere.identity.errors import OrganisationNameTakenError
from iotsphere.identity.model import Organisation, User
from iotsphere.identity.ports import IdentityUnitOfWorkFactory, PasswordHasher
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import IdSource, OrganisationId, UserId
from iotsphere.kernel.pagination import Page


class AccountService:
    """Organisations and the people in them."""

    def __init__(
        self,
        *,
        unit_of_work: IdentityUnitOfWorkFactory,
        passwords: PasswordHasher,
        clock: Clock,
        new_id: IdSource,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._passwords = passwords
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
        """
        organisation = self._organisation(name)
        admin = await self._user(organisation.id, email=admin_email, password=admin_password, role=Role.ADMIN)
        async with self._unit_of_work() as uow:
            await uow.organisations.add(organisation)
            await uow.users.add(admin)
            await uow.audit.add(attempt.done(f"organisation:{organisation.id}", at=self._clock(), name=name))
            await uow.commit()
        return organisation, admin

    async def add_user(self, *, attempt: Attempt, email: str, password: str, role: Role, name: str | None) -> User:
        """Add a person to the organisation that is acted for.

        :raises EmailTakenError: the address is in use, in whatever organisation.
        """
        user = await self._user(attempt.organisation_id, email=email, password=password, role=role, name=name)
        async with self._unit_of_work() as uow:
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
            password_hash=await self._passwords.hash(password),
            created_at=self._clock(),
            is_platform_administrator=platform,
        )
