"""What a form sends, checked as the API checks JSON."""

import re
from typing import Any
from urllib.parse import parse_qsl

from marshmallow import Schema, ValidationError, fields, validate
from quart import request

from iotsphere.api.fields import text
from iotsphere.api.identity.schemas import LONGEST_PASSWORD
from iotsphere.api.operation import flat, read_body
from iotsphere.kernel.errors import MalformedInputError, NotPermittedError, RuleViolationError

FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 16 * 1024
MAX_FORM_FIELDS = 20
HOME = "/"
UNTICKED = frozenset({"", "0", "false", "off"})

# Visible ASCII without a backslash, one slash at the beginning: a browser drops tabs and line ends from an address,
# reads a backslash as a slash, and takes what follows two slashes for a host.
LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2047}\Z")


class FormMalformedError(MalformedInputError):
    code = "request.form.malformed"


class ForeignOriginError(NotPermittedError):
    code = "identity.login.foreign_origin"


def local_path(**options: Any) -> fields.String:
    """A place on this server to go to, and nowhere else."""
    return fields.String(
        load_default=HOME,
        validate=validate.Regexp(LOCAL_PATH, error="Must be a path on this server."),
        **options,
    )


class LogInPageQuery(Schema):
    next = local_path()


def ticked() -> fields.Function:
    """A box: a browser sends "on" for a ticked one and nothing for another; programs have words of their own."""
    return fields.Function(deserialize=lambda sent: sent.lower() not in UNTICKED, load_default=False)


class LogInForm(Schema):
    email = text(longest=254, required=True)
    password = text(longest=LONGEST_PASSWORD, required=True)
    remember = ticked()
    next = local_path()


class LogOutForm(Schema):
    csrf_token = text(longest=128, load_default=None)


async def read_form(schema: Schema) -> dict[str, Any]:
    """Read the form that was sent.

    :raises MediaTypeUnsupportedError: it is declared as something else.
    :raises FormMalformedError: it cannot be read, or has a field twice.
    :raises RuleViolationError: a field is missing or holds what it cannot, or there is one that has no place in it.
    """
    return _load(schema, await read_body((FORM,), MAX_FORM_BYTES))


def read_query(schema: Schema) -> dict[str, Any]:
    """Read the query; it is refused for the same reasons as a form."""
    return _load(schema, request.query_string)


def _load(schema: Schema, encoded: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(encoded.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict")
    except ValueError as error:
        raise FormMalformedError("The fields cannot be read.") from error
    values = dict(pairs)
    if len(values) < len(pairs) or any("\0" in value for value in values.values()):
        raise FormMalformedError("A field is there twice, or contains the character U+0000.")
    try:
        loaded: dict[str, Any] = schema.load(values)
    except ValidationError as error:
        raise RuleViolationError("The form is not filled in as it must be.", flat(error.messages)) from error
    return loaded


def refuse_foreign_origin() -> None:
    """Refuse what another site has made the browser send, where no session has a token to show for it yet.

    Browsers say so by themselves: the newer ones, where the connection is trusted, in Sec-Fetch-Site, the others in
    Origin. Who says neither is no browser, and no foreign site can make it send anything.

    :raises ForeignOriginError: another site did.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_ours = site in {"same-origin", "none"}
    else:
        is_ours = origin is None or origin.partition("://")[2] == request.headers.get("Host")
    if not is_ours:
        raise ForeignOriginError("Another site has sent this form. Log in on the page of this one.")
