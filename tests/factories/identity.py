# mypy: disable-error-code="no-untyped-call"
# factory-boy's declarations carry no types; the functions at the end put them back.

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from factory.base import Factory
from factory.declarations import LazyAttribute, LazyFunction, Sequence

from iotsphere.identity.model import SESSION_LIFE, IntegrationKey, KeyHolder, Organisation, Session, User
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.audit import Attempt

FIRST_DAY = datetime(2026, 11, 20, tzinfo=UTC)


class OrganisationFactory(Factory[Organisation]):
    """Organisations, every one a second younger than the one before."""

    class Meta:
        model = Organisation

    id = LazyFunction(uuid4)
    name = LazyAttribute(lambda organisation: f"Waterworks {organisation.id}")
    created_at = Sequence(lambda number: FIRST_DAY + timedelta(seconds=number))
    version = 1


class UserFactory(Factory[User]):
    """Operators of one organisation each."""

    class Meta:
        model = User

    id = LazyFunction(uuid4)
    organisation_id = LazyFunction(uuid4)
    email = LazyAttribute(lambda user: f"{user.id}@waterworks.example")
    name = "Odile Perator"
    role = Role.OPERATOR
    password_hash = "not a hash"
    created_at = Sequence(lambda number: FIRST_DAY + timedelta(seconds=number))
    is_platform_administrator = False
    version = 1


class SessionFactory(Factory[Session]):
    class Meta:
        model = Session

    id = LazyFunction(uuid4)
    user_id = LazyFunction(uuid4)
    created_at = FIRST_DAY
    expires_at = LazyAttribute(lambda session: session.created_at + SESSION_LIFE)


class IntegrationKeyFactory(Factory[IntegrationKey]):
    """Keys of operators' programs, made by nobody in particular."""

    class Meta:
        model = IntegrationKey

    id = LazyFunction(uuid4)
    organisation_id = LazyFunction(uuid4)
    made_by = LazyFunction(uuid4)
    label = "Billing"
    role = Role.OPERATOR
    secret_hash = b"\0" * 32
    created_at = Sequence(lambda number: FIRST_DAY + timedelta(seconds=number))
    expires_at = None


class KeyHolderFactory(Factory[KeyHolder]):
    class Meta:
        model = KeyHolder

    key_id = LazyFunction(uuid4)
    secret_hash = b"\0" * 32
    expires_at = None
    actor = LazyAttribute(lambda holder: build_actor(kind=ActorKind.INTEGRATION, id=holder.key_id))
    device_status = None


class ActorFactory(Factory[Actor]):
    """Administrators of one organisation each."""

    class Meta:
        model = Actor

    kind = ActorKind.USER
    id = LazyFunction(uuid4)
    organisation_id = LazyFunction(uuid4)
    role = Role.ADMIN


def build_organisation(**given: Any) -> Organisation:
    return OrganisationFactory.build(**given)


def build_user(**given: Any) -> User:
    return UserFactory.build(**given)


def build_session(**given: Any) -> Session:
    return SessionFactory.build(**given)


def build_integration_key(**given: Any) -> IntegrationKey:
    return IntegrationKeyFactory.build(**given)


def build_key_holder(**given: Any) -> KeyHolder:
    return KeyHolderFactory.build(**given)


def build_actor(**given: Any) -> Actor:
    return ActorFactory.build(**given)


def build_attempt(**given: Any) -> Attempt:
    """Make an attempt of an administrator; what is given is the actor's."""
    return Attempt(build_actor(**given), "do_something", "192.0.2.1", "request-1")
