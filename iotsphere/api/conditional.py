"""Entity tags: the version of a resource, as HTTP asks and answers for it."""

import re

from iotsphere.kernel.errors import MalformedInputError

ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
ENTITY_TAGS = re.compile(rf"{ENTITY_TAG.pattern}([ \t]*,[ \t]*{ENTITY_TAG.pattern})*")
NO_VERSION = -1


class PreconditionMalformedError(MalformedInputError):
    code = "request.precondition.malformed"


def entity_tag(version: int) -> str:
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """Read ``If-Match``: the version that the client expects, or None for any.

    A tag that no version of ours has can never match, so it expects a version that nothing has.

    :raises PreconditionMalformedError: it is neither ``*`` nor one quoted tag.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tag = ENTITY_TAG.fullmatch(if_match.strip())
    if tag is None:
        raise PreconditionMalformedError('If-Match takes one quoted version, such as "3", or *.')
    is_weak = if_match.strip().startswith("W/")
    return int(tag[1]) if re.fullmatch(r"[0-9]{1,18}", tag[1]) and not is_weak else NO_VERSION


def is_unmodified(if_none_match: str | None, version: int | None) -> bool:
    """Tell whether the client has this version already; of what has none (None), nobody has it.

    :raises PreconditionMalformedError: it is neither ``*`` nor a list of quoted tags.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return version is not None
    if ENTITY_TAGS.fullmatch(if_none_match.strip()) is None:
        raise PreconditionMalformedError('If-None-Match takes quoted versions, such as "3", or *.')
    return version is not None and str(version) in ENTITY_TAG.findall(if_none_match)
