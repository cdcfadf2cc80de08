"""What devices send and are answered all day, read and written as the schemas would, in a part of their time.

The schemas say what is taken and what is answered, and what is wrong with the rest.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from iotsphere.api.json_body import encode_json
from iotsphere.shadow.model import ShadowChange, ShadowDocument, ShadowPatch

Section = dict[str, Any] | None | UnsetType


class CompiledState(Struct, forbid_unknown_fields=True):
    desired: Section = UNSET
    reported: Section = UNSET
    delta: Any = UNSET


class CompiledPatch(Struct, forbid_unknown_fields=True):
    """What most devices send: refusals, too, are left to the schema."""

    state: CompiledState | None
    version: int | UnsetType = UNSET
    client_token: str | UnsetType = UNSET


DECODER = msgspec.json.Decoder(CompiledPatch)


def decode_patch(body: bytes) -> ShadowPatch | None:
    """Read a patch; None says that it may be wrong."""
    if b"\\u0000" in body:
        return None
    try:
        given = DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return None
    return ShadowPatch(
        None if given.state is None else _given(desired=given.state.desired, reported=given.state.reported),
        **_given(version=given.version, client_token=given.client_token),
    )


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not UNSET}


def encode_document(document: ShadowDocument) -> bytes:
    return encode_json(
        {
            "state": document.state,
            "metadata": document.metadata,
            "version": document.version,
            "versions": document.versions,
            "timestamp": document.timestamp,
        }
        | _present(violations=document.violations)
    )


def encode_change(change: ShadowChange) -> bytes:
    patch = change.patch or ShadowPatch({})
    return encode_json(
        {
            "state": patch.state,
            "metadata": change.metadata,
            "version": change.version,
            "timestamp": change.timestamp,
        }
        | _present(client_token=patch.client_token, refusals=patch.refusals, violations=change.violations)
    )


def _present(**optional: Any) -> dict[str, Any]:
    return {name: value for name, value in optional.items() if value not in (None, {})}
