from datetime import datetime
from types import SimpleNamespace
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_dump, validate, validates

from iotsphere.api.fields import Timestamp, text
from iotsphere.identity.model import IssuedIntegrationKey, PasswordChange, User
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.clock import utc_now

ROLES = [role.name.lower() for role in Role]
# Long enough for a sentence, short enough that hashing it costs nothing.
LONGEST_PASSWORD = 256


def new_password(**options: Any) -> fields.String:
    return text(shortest=10, longest=LONGEST_PASSWORD, **options)


def role_field(**options: Any) -> fields.Function:
    """Make a field for a role: a name outside, the role itself inside."""
    described = {"type": "string", "enum": ROLES}
    return fields.Function(lambda held: held.role.name.lower(), _read_role, metadata=described, **options)


def _read_role(name: Any) -> Role:
    if not isinstance(name, str) or name not in ROLES:
        raise ValidationError(f"Must be one of: {', '.join(ROLES)}.")
    return Role[name.upper()]


class LogInBody(Schema):
    email = text(longest=254, required=True)
    password = text(longest=LONGEST_PASSWORD, required=True)


class RefreshBody(Schema):
    refresh_token = text(longest=256, required=True)


class TokenPairAnswer(Schema):
    access_token = fields.String()
    token_type = fields.String()
    expires_in = fields.Integer(metadata={"description": "Life of the access token in seconds."})
    refresh_token = fields.String(metadata={"description": "Single use: trade it for a new pair."})


class FirstAdminBody(Schema):
    email = fields.Email(required=True, validate=validate.Length(max=254))
    password = new_password(required=True)


class FoundOrganisationBody(Schema):
    name = text(longest=256, required=True)
    admin = fields.Nested(FirstAdminBody, required=True)


class FirstAdminAnswer(Schema):
    id = fields.UUID()
    email = fields.String()


class OrganisationAnswer(Schema):
    id = fields.UUID()
    name = fields.String()
    created_at = Timestamp()
    version = fields.Integer()


class FoundedOrganisationAnswer(OrganisationAnswer):
    admin = fields.Nested(FirstAdminAnswer)


class ChangeOrganisationBody(Schema):
    name = text(longest=256)


class AddUserBody(Schema):
    email = fields.Email(required=True, validate=validate.Length(max=254))
    password = new_password(required=True)
    role = role_field(required=True)
    name = text(longest=256, load_default=None)


class ChangeUserBody(Schema):
    name = text(longest=256)
    role = role_field()
    password = new_password(metadata={"description": "A new one ends all sessions of the user."})


class PasswordChangeBody(Schema):
    old = text(longest=LONGEST_PASSWORD, required=True)
    new = new_password(required=True)

    @post_load
    def _make(self, loaded: dict[str, str], **_: Any) -> PasswordChange:
        return PasswordChange(**loaded)


class ChangeMeBody(Schema):
    name = text(longest=256)
    password = fields.Nested(
        PasswordChangeBody, metadata={"description": "A new one ends all sessions of the user but the present one."}
    )


class UserAnswer(Schema):
    id = fields.UUID()
    organisation_id = fields.UUID()
    email = fields.String()
    name = fields.String()
    role = role_field()
    created_at = Timestamp()
    version = fields.Integer()


OF_USERS = {"description": "Of users.", "optional": True}


class MeAnswer(Schema):
    """Who is asking. A key tells what it is good for; about a user there is more to know."""

    kind = fields.Enum(ActorKind, by_value=True)
    id = fields.UUID()
    organisation_id = fields.UUID()
    device_id = fields.UUID(
        metadata={"description": "Of a device's key: the device that it acts for.", "optional": True}
    )
    role = fields.String(metadata={"enum": ROLES, "description": "Of users and integrations.", "optional": True})
    email = fields.String(metadata=OF_USERS)
    name = fields.String(metadata=OF_USERS)
    created_at = Timestamp(metadata=OF_USERS)
    version = fields.Integer(metadata=OF_USERS)

    @pre_dump
    def _tell(self, asking: User | Actor, **_: Any) -> dict[str, Any]:
        told: dict[str, Any] = {"id": asking.id, "organisation_id": asking.organisation_id}
        if asking.role is not None:
            told["role"] = asking.role.name.lower()
        if isinstance(asking, Actor):
            device = {} if asking.device_id is None else {"device_id": asking.device_id}
            return told | {"kind": asking.kind} | device
        return told | {
            "kind": ActorKind.USER,
            "email": asking.email,
            "name": asking.name,
            "created_at": asking.created_at,
            "version": asking.version,
        }


class IssueApiKeyBody(Schema):
    label = text(longest=128, required=True)
    role = role_field(required=True)
    expires_at = Timestamp(load_default=None, allow_none=True)

    @validates("expires_at")
    def _check_future(self, value: datetime | None, **_: Any) -> None:
        if value is not None and value <= utc_now():
            raise ValidationError("Must lie in the future.")


class ApiKeyAnswer(Schema):
    id = fields.UUID()
    label = fields.String()
    role = role_field()
    made_by = fields.UUID(metadata={"description": "The user who made the key, and with whom it ends."})
    created_at = Timestamp()
    expires_at = Timestamp(allow_none=True)


class IssuedApiKeyAnswer(ApiKeyAnswer):
    api_key = fields.String(metadata={"description": "Shown this once."})

    @pre_dump
    def _flatten(self, issued: IssuedIntegrationKey, **_: Any) -> SimpleNamespace:
        key = issued.key
        return SimpleNamespace(
            id=key.id,
            label=key.label,
            role=key.role,
            made_by=key.made_by,
            created_at=key.created_at,
            expires_at=key.expires_at,
            api_key=issued.api_key,
        )
