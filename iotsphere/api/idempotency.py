"""``Idempotency-Key``: whoever lost the answer to a request may send it again without fear of doing it twice."""

import hashlib
import re
from collections.abc import Awaitable, Callable

import msgspec
from dependency_injector.wiring import Provide, inject
from quart import Response, request

from iotsphere.identity.errors import IdempotencyKeyMalformedError
from iotsphere.identity.idempotency import IdempotencyService
from iotsphere.kernel.actor import Actor

KEY = re.compile(r"[\x20-\x7e]{1,255}")
REMEMBERED_HEADERS = ("Content-Type", "Location", "ETag")


class RememberedAnswer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes


@inject
async def answer_once(
    actor: Actor,
    key: str,
    digest: bytes,
    call: Callable[[], Awaitable[Response]],
    idempotency: IdempotencyService = Provide["identity.idempotency"],
) -> Response:
    """Call once under this key; a repeat gets the first answer again. ``digest`` is that of the body.

    :raises IdempotencyKeyMalformedError: the key is empty, too long or not printable ASCII.
    :raises IdempotencyKeyReusedError: the key came with another request.
    """
    if not KEY.fullmatch(key):
        raise IdempotencyKeyMalformedError("Idempotency-Key takes 1 to 255 printable ASCII characters.")
    fingerprint = hashlib.sha256(f"{request.method} {request.full_path}\n".encode() + digest).digest()
    encoded = await idempotency.answer_once(
        actor=actor.name, key=key, fingerprint=fingerprint, work=lambda: _encoded_answer(call)
    )
    answer = msgspec.msgpack.decode(encoded, type=RememberedAnswer)
    return Response(answer.body, status=answer.status, headers=answer.headers)


async def _encoded_answer(call: Callable[[], Awaitable[Response]]) -> bytes:
    response = await call()
    headers = {name: response.headers[name] for name in REMEMBERED_HEADERS if name in response.headers}
    body = await response.get_data(as_text=False)
    return msgspec.msgpack.encode(RememberedAnswer(response.status_code, headers, body))
