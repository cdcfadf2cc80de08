"""How shadows and changes are written in Redis."""

import re
from collections.abc import Mapping

import msgspec

from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import ShadowStoreDamagedError
from iotsphere.shadow.model import ChangeKind, Settlement, Shadow, ShadowChange, ShadowKey, ShadowPatch
from iotsphere.shadow.ports import POSITIONS_PER_MILLISECOND, HeldShadow

HEADER = re.compile(rb"(\d{1,19}) (\d{1,19})\n")


class StoredChange(msgspec.Struct, omit_defaults=True):
    """A change beside the shadow that it made, which is stored as it is in the document."""

    device_id: DeviceId
    kind: ChangeKind
    actor: str
    correlation_id: str
    generation: int
    name: str | None = None
    patch: ShadowPatch | None = None
    settlements: list[Settlement] = []


_ENCODER = msgspec.json.Encoder()
_SHADOW = msgspec.json.Decoder(Shadow)
_CHANGE = msgspec.json.Decoder(StoredChange)


def encode_shadow(shadow: Shadow) -> bytes:
    return _ENCODER.encode(shadow)


def decode_document(document: bytes) -> Shadow | None:
    """Give the shadow; None for a note that the journal knows no such shadow.

    :raises ShadowStoreDamagedError: it is none.
    """
    _, _, text = document.partition(b"\n")
    if not text and document.endswith(b" 0\n"):
        return None
    try:
        return _SHADOW.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ShadowStoreDamagedError from error


def decode_held(document: bytes) -> HeldShadow | None:
    """Give what is held, be it readable or not; None for a note that the journal knows no such shadow."""
    header = HEADER.match(document)
    generation, version = (int(header[1]), int(header[2])) if header else (0, -1)
    try:
        shadow = decode_document(document)
    except ShadowStoreDamagedError:
        return HeldShadow(None, generation)
    if shadow is None:
        return None
    # A document at another version than its header says is one thing to who reads it and another to who writes it.
    return HeldShadow(shadow if shadow.version == version else None, generation)


def encode_change(change: ShadowChange, *, generation: int) -> bytes:
    return _ENCODER.encode(
        StoredChange(
            device_id=change.key.device_id,
            kind=change.kind,
            actor=change.actor,
            correlation_id=change.correlation_id,
            generation=generation,
            name=change.key.name,
            patch=change.patch,
            settlements=change.settlements,
        )
    )


def decode_entry(place: bytes, entry: Mapping[bytes, bytes]) -> ShadowChange:
    """:raises ShadowStoreDamagedError: it holds no change."""
    try:
        stored = _CHANGE.decode(entry[b"change"])
        key = ShadowKey(stored.device_id, stored.name)
        shadow = _SHADOW.decode(entry[b"shadow"])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RuleViolationError) as error:
        raise ShadowStoreDamagedError from error
    return ShadowChange(
        key=key,
        kind=stored.kind,
        shadow=shadow,
        actor=stored.actor,
        correlation_id=stored.correlation_id,
        patch=stored.patch,
        settlements=stored.settlements,
        generation=stored.generation,
        position=position_of(place),
    )


def position_of(place: bytes) -> int:
    milliseconds, _, number = place.partition(b"-")
    return int(milliseconds) * POSITIONS_PER_MILLISECOND + int(number)


def place_of(position: int) -> str:
    milliseconds, number = divmod(position, POSITIONS_PER_MILLISECOND)
    return f"{milliseconds}-{number}"
