from typing import Any

from marshmallow import Schema, fields, post_load, pre_dump, validate

from iotsphere.api.fields import Timestamp, text
from iotsphere.identity.model import Organisation, User
from iotsphere.kernel.actor import Role

ROLES = [role.name.lower() for role in Role]
# Long enough for a sentence, short enough that hashing it costs nothing.
LONGEST_PASSWORD = 256


def new_password() -> fields.String:
    return text(shortest=10, longest=LONGEST_PASSWORD, required=True)


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
    password = new_password()


class FoundOrganisationBody(Schema):
    name = text(longest=256, required=True)
    admin = fields.Nested(FirstAdminBody, required=True)


class FirstAdminAnswer(Schema):
    id = fields.UUID()
    email = fields.String()


class OrganisationAnswer(Schema):
    id = fields.UUID()
    name = fields.String()
    admin = fields.Nested(FirstAdminAnswer)
    created_at = Timestamp()

    @pre_dump
    def _join(self, founded: tuple[Organisation, User], **_: Any) -> dict[str, Any]:
        organisation, admin = founded
        return {
            "id": organisation.id,
            "name": organisation.name,
            "admin": admin,
            "created_at": organisation.created_at,
        }


class AddUserBody(Schema):
    email = fields.Email(required=True, validate=validate.Length(max=254))
    password = new_password()
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    name = text(longest=256, load_default=None)

    @post_load
    def _read_role(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        return loaded | {"role": Role[loaded["role"].upper()]}


class UserAnswer(Schema):
    id = fields.UUID()
    organisation_id = fields.UUID()
    email = fields.String()
    name = fields.String()
    role = fields.Function(lambda user: user.role.name.lower(), metadata={"enum": ROLES})
    created_at = Timestamp()
    version = fields.Integer()
