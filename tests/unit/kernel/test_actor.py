from uuid import UUID

import pytest

from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.identifiers import OrganisationId

ID = UUID(int=1)
OURS = OrganisationId(UUID(int=2))


@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_whatever_the_one_before_it_may(role: Role) -> None:
    actor = Actor(ActorKind.USER, ID, OURS, role=role)

    assert [asked for asked in Role if actor.may(asked)] == [asked for asked in Role if asked <= role]


def test_roles_rise_from_viewer_to_admin() -> None:
    assert [role.name for role in sorted(Role)] == ["VIEWER", "ENGINEER", "OPERATOR", "ADMIN"]


def test_a_device_has_no_role() -> None:
    assert not any(Actor(ActorKind.DEVICE, ID, OURS).may(role) for role in Role)


def test_an_actor_is_named_by_kind_and_id() -> None:
    assert Actor(ActorKind.INTEGRATION, ID, OURS).name == "integration:00000000-0000-0000-0000-000000000001"
