"""An operation of the public API: declared once, checked and documented from that declaration.

``@operation`` stands between the route and the view. Before the view runs it authenticates the caller, checks
their role and the device in the path, reads the query and the body; afterwards it writes the answer with its entity
tag. The view itself loads nothing and checks nothing: it calls a service. ``iotsphere/api/openapi.py`` reads the same
declarations.
"""

import asyncio
import hashlib
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cache, wraps
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from marshmallow import Schema, ValidationError
from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from iotsphere.api.admission import admit
from iotsphere.api.conditional import entity_tag, expected_version, is_unmodified
from iotsphere.api.errors import MediaTypeUnsupportedError
from iotsphere.api.fields import NoQuery
from iotsphere.api.idempotency import answer_once
from iotsphere.api.json_body import decode_storable_json, encode_json
from iotsphere.api.recording import ChangeReader, record_change, record_refusal, to_its_end
from iotsphere.api.request import body_too_large
from iotsphere.api.spool import spool_body, stream_body
from iotsphere.kernel.actor import Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError, MalformedInputError, RuleViolationError

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
# What follows a page, and what is missing in it, is told in its body where that is JSON.
NEXT_CURSOR = "X-Next-Cursor"
ARCHIVED = "X-Archived"
MAX_BODY_BYTES = 1024 * 1024
MAX_REMEMBERED_LINES = 10_000
# Who takes longer than that is recognised anew: a key is refused a second after its end.
TRUSTED_SECONDS = 0.5

View = Callable[..., Awaitable[Any]]


class QueryMalformedError(MalformedInputError):
    code = "request.query.malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What an operation takes, gives and asks of its caller.

    ``allow`` is the lowest role that may call it (None: anybody, without a credential); ``device_may`` lets a device
    call it for itself. What is for ``provisioning`` takes a provisioning key, and no other credential. What is not
    ``throttled`` may be called as often as anybody likes. ``body`` is a schema, or None where there is no body; with
    ``raw_body`` the view reads it itself, and words of OpenAPI may stand in for the schema. With ``max_lines`` the
    body is kept in a file, and the schema is that of a line; so it is where it is ``streamed``: the view reads its
    ``pieces``, and it has a largest size only if the answer is remembered. ``answer`` writes what the view returns;
    where ``answer_types`` are kinds of lines it is that of a line, and the view streams them itself, as it does what
    clients may want instead of JSON. Where a schema costs more than the rest, ``decode`` reads what it would take,
    and gives None for whatever the schema shall judge, and ``encode`` writes what it would write. ``versioned``
    answers carry an entity tag, ``conditional`` writes heed ``If-Match``, and what ``creates`` something heeds
    ``Idempotency-Key``. ``location`` is a pattern over the answer's fields. What is put in its place may have been
    there before: ``is_new`` tells from what the view returns that it was not, which is then answered with 201 and the
    location. ``audited`` names the change that was made, where no service has recorded it.

    For the document alone: services check what ``platform_administrator_alone`` and ``users_alone`` (not keys) say of
    the caller; ``path`` says more of what stands in the path (an id needs no words), ``example`` is a body that is
    taken as it stands, ``examples`` are files that are, by their media types, and ``also`` says which answers there
    are besides those that follow from the rest.
    """

    summary: str
    allow: Role | None
    device_may: bool = False
    provisioning: bool = False
    throttled: bool = True
    query: Schema = field(default_factory=NoQuery)
    body: Schema | dict[str, Any] | None = None
    example: Any = None
    examples: Mapping[str, str] = field(default_factory=dict)
    raw_body: bool = False
    decode: Callable[[bytes], Any] | None = None
    media_types: tuple[str, ...] = (JSON,)
    max_body_bytes: int = MAX_BODY_BYTES
    max_lines: int | None = None
    streamed: bool = False
    answer: Schema | None = None
    encode: Callable[[Any], bytes] | None = None
    answer_types: tuple[str, ...] = (JSON,)
    status: int = 200
    versioned: bool = False
    conditional: bool = False
    creates: bool = False
    location: str | None = None
    is_new: Callable[[Any], bool] | None = None
    audited: ChangeReader | None = None
    platform_administrator_alone: bool = False
    users_alone: bool = False
    path: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    also: Mapping[int, Schema] = field(default_factory=dict)

    @property
    def status_of_new(self) -> int:
        """Say how it is answered that something was made, and where."""
        return self.status if self.is_new is None else HTTPStatus.CREATED.value

    @property
    def takes_credential(self) -> bool:
        return self.allow is not None or self.provisioning

    @property
    def takes_body(self) -> bool:
        return self.raw_body or self.body is not None

    @property
    def is_conditional_read(self) -> bool:
        return self.versioned and not self.conditional and self.status == HTTPStatus.OK


class Admission:
    """The caller's being let in, which holds for a moment and is then to be had anew; it counts as one request."""

    def __init__(self, declared: Operation, path: Mapping[str, Any]) -> None:
        self._declared = declared
        self._path = path
        self._admitted: tuple[Attempt, float] | None = None
        self._context = copy_context()

    async def renew(self) -> Attempt:
        """Let the caller in, unless that was done just now; raises what ``admit`` raises."""
        if self._admitted is None or time.monotonic() - self._admitted[1] > TRUSTED_SECONDS:
            attempt = await admit(
                self._path.get("device_id"),
                allow=self._declared.allow,
                device_may=self._declared.device_may,
                provisioning=self._declared.provisioning,
                throttled=self._declared.throttled and self._admitted is None,
            )
            self._admitted = attempt, time.monotonic()
        return self._admitted[0]

    async def find_refusal(self) -> DomainError | None:
        """Tell, and record, why the caller is not let in any more, also when the answer has begun."""
        # By then the framework has taken the request out of the context.
        return await asyncio.create_task(self._find_refusal(), context=self._context)

    async def _find_refusal(self) -> DomainError | None:
        try:
            await self.renew()
        except DomainError as error:
            await record_refusal(error, self._path)
            return error
        return None


def operation(summary: str, **declaration: Any) -> Callable[[View], View]:
    """Declare a view as an operation.

    It receives whichever of ``actor``, ``attempt``, ``admission``, ``query``, ``body``, ``raw_body``, ``spool``,
    ``pieces`` and ``expected_version`` it names, besides what stands in the path.
    """
    declared = Operation(summary=summary, **declaration)

    def declare(view: View) -> View:
        names = frozenset(inspect.signature(view).parameters)

        async def serve(path: Mapping[str, Any]) -> Response:
            admission = Admission(declared, path)
            await admission.renew()
            given = await _read_request(declared)
            # Who takes long to send a body may have lost meanwhile what let them in.
            actor = (await admission.renew()).actor

            async def call() -> Response:
                # So may who has waited for another request with their idempotency key.
                attempt = await admission.renew()
                offered = {**path, **given, "actor": attempt.actor, "attempt": attempt, "admission": admission}
                value = await view(**{name: offered[name] for name in names & offered.keys()})
                change = declared.audited(offered, value) if declared.audited else None
                if change is not None:
                    await record_change(attempt, change)
                return _answer(declared, value)

            key = request.headers.get("Idempotency-Key") if declared.creates else None
            if key is not None and actor is not None:
                return await answer_once(actor, key, given["digest"], call)
            if declared.audited is None or (actor is not None and actor.device_id is not None):
                return await call()
            return await to_its_end(call())

        @wraps(view)
        async def handle(**path: Any) -> Response:
            try:
                return await serve(path)
            except DomainError as error:
                await record_refusal(error, path)
                raise

        handle.operation = declared  # type: ignore[attr-defined]  # for the OpenAPI document
        return handle

    return declare


async def _read_request(declared: Operation) -> dict[str, Any]:
    query = _query_values()
    given: dict[str, Any] = {"query": load(declared.query, query) if query else {**_load_nothing(declared.query)}}
    if declared.conditional:
        given["expected_version"] = expected_version(request.headers.get("If-Match"))
    if declared.max_lines is not None:
        # An answer that is remembered is held in memory, as it is not when it goes out line by line.
        is_remembered = declared.creates and "Idempotency-Key" in request.headers
        max_lines = min(declared.max_lines, MAX_REMEMBERED_LINES) if is_remembered else declared.max_lines
        spool = await spool_body(declared.media_types, max_bytes=declared.max_body_bytes, max_lines=max_lines)
        given |= {"spool": spool, "digest": spool.digest}
    elif declared.streamed:
        pieces, digest = await stream_body(declared.media_types, max_remembered_bytes=declared.max_body_bytes)
        given |= {"pieces": pieces, "digest": digest}
    elif declared.takes_body:
        if not declared.raw_body:
            _check_not_packed(declared.media_types)
        raw = await read_body(declared.media_types, declared.max_body_bytes)
        given["raw_body"] = raw
        if declared.creates and "Idempotency-Key" in request.headers:
            given["digest"] = hashlib.sha256(raw).digest()
        if isinstance(declared.body, Schema):
            decoded = declared.decode(raw) if declared.decode else None
            given["body"] = load(declared.body, decode_storable_json(raw)) if decoded is None else decoded
    return given


@cache
def _load_nothing(schema: Schema) -> Mapping[str, Any]:
    """Give what comes of no query, which is the same each time."""
    return cast("Mapping[str, Any]", load(schema, {}))


def _check_not_packed(media_types: tuple[str, ...]) -> None:
    if (request.headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        raise MediaTypeUnsupportedError(f"Send the body as {' or '.join(media_types)}, not packed.")


async def read_body(media_types: tuple[str, ...], max_bytes: int) -> bytes:
    """Read a body of a known kind and a bounded size.

    :raises MediaTypeUnsupportedError: the body is declared as something else.
    :raises RequestTooLargeError: it is larger.
    """
    if request.mimetype not in media_types:
        raise MediaTypeUnsupportedError(f"Send the body as {' or '.join(media_types)}.")
    try:
        async with asyncio.timeout(request.body_timeout):
            body = cast("bytes", await request.body)
    except TimeoutError as error:
        raise RequestTimeout from error
    except RequestEntityTooLarge as error:
        raise body_too_large(max_bytes) from error
    if len(body) > max_bytes:
        raise body_too_large(max_bytes)
    return body


def _query_values() -> dict[str, str]:
    if not request.query_string:
        return {}
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise QueryMalformedError("The query is not UTF-8. Percent-encode its values.") from error
    repeated = {name: ["Given more than once."] for name, values in request.args.lists() if len(values) > 1}
    if repeated:
        raise RuleViolationError("A query parameter is given more than once.", repeated)
    values = request.args.to_dict()
    unstorable = {name: ["Must not contain the character U+0000."] for name in values if "\0" in values[name]}
    if unstorable:
        raise RuleViolationError("A query parameter contains the character U+0000.", unstorable)
    return values


def load(schema: Schema, value: Any) -> Any:
    """Check input against its schema.

    :raises RuleViolationError: with what is wrong, by field path.
    """
    try:
        return schema.load(value)
    except ValidationError as error:
        raise RuleViolationError("The request does not fit. See errors.", flat(error.messages)) from error


def flat(messages: Any, path: str = "") -> dict[str, list[str]]:
    """Turn marshmallow's nested messages into ``{"field.path": [messages]}``."""
    if isinstance(messages, Mapping):
        found: dict[str, list[str]] = {}
        for key, inner in messages.items():
            is_own = key == "_schema"
            found |= flat(inner, path if is_own else f"{path}.{key}".lstrip("."))
        return found
    return {path or "body": [str(message) for message in messages]}


def _answer(declared: Operation, value: Any) -> Response:
    response = value if isinstance(value, Response) else _written(declared, value)
    if len(declared.answer_types) > 1:
        response.headers["Vary"] = "Accept"
    return response


def _written(declared: Operation, value: Any) -> Response:
    headers: dict[str, str] = {}
    if declared.versioned:
        version = value["version"] if isinstance(value, Mapping) else getattr(value, "version", None)
        # Who asks about a key is told by the key itself, which has no version.
        if version is not None:
            headers["ETag"] = entity_tag(version)
        if request.method in {"GET", "HEAD"} and is_unmodified(request.headers.get("If-None-Match"), version):
            return _empty(304, headers)
    if declared.answer is None:
        return _empty(declared.status, headers)
    if declared.encode:
        return Response(declared.encode(value), status=declared.status, headers=headers, content_type=JSON)
    written = declared.answer.dump(value)
    status = declared.status_of_new if declared.is_new is None or declared.is_new(value) else declared.status
    if declared.location and status == declared.status_of_new:
        headers["Location"] = declared.location.format_map(written)
    return Response(encode_json(written), status=status, headers=headers, content_type=JSON)


def _empty(status: int, headers: dict[str, str]) -> Response:
    response = Response(b"", status=status, headers=headers)
    # The framework says what kind of thing a body is also where there is none.
    del response.headers["Content-Type"]
    return response
