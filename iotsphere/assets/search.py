"""What assets are looked for by, and in which order they come."""

import re
import unicodedata
from dataclasses import dataclass

from iotsphere.assets.documents import MAX_DEPTH, JsonObject, check_storable, refusal, size_of
from iotsphere.assets.predicate import Predicate
from iotsphere.assets.relationship import Direction
from iotsphere.kernel.identifiers import AssetId, DeviceId

MAX_MATCH_BYTES = 4 * 1024
MAX_ORDER_LENGTH = 512
MAX_WORDS_LENGTH = 256
PROPERTIES = "properties"
# A key, in double quotes if there is a dot in it.
_KEY = re.compile(r'"((?:[^"\\]|\\["\\])+)"|([^".\\]+)')
_PATH = re.compile(rf"(?:{_KEY.pattern})(?:\.(?:{_KEY.pattern}))*")
_ESCAPED = re.compile(r"\\(.)")


def is_in_word(character: str) -> bool:
    """Tell whether a normalised character is part of a word, and does not stand between two, as the database has it.

    Letters are, of any script, and letters that are numbers, as Roman ones; of digits the usual ones alone.
    """
    category = unicodedata.category(character)
    return category[0] == "L" or category == "Nl" or character in "0123456789"


@dataclass(frozen=True, slots=True)
class RelatedTo:
    """A relationship to an asset: ``OUT`` of those that are looked for, or ``IN`` to them; no type stands for any."""

    asset_id: AssetId
    type: str | None = None
    direction: Direction = Direction.OUT


@dataclass(frozen=True, slots=True)
class AssetFilter:
    """What assets are looked for by; all of it holds of those that are found.

    ``match`` is an object that the properties contain. Contained is what JSONB's ``@>`` calls so: every member is
    there, objects within likewise, and of an array every element, wherever in the array. ``path`` is true of the
    properties. Every word of ``words`` begins one of the name, of which 16 characters count. An asset is below its
    ``ancestor``, and directly below its ``parent_id``.

    :raises RuleViolationError: no properties could ever be like ``match``, or there is no word in ``words``.
    """

    asset_type: str | None = None
    device_id: DeviceId | None = None
    parent_id: AssetId | None = None
    ancestor: AssetId | None = None
    related_to: RelatedTo | None = None
    match: JsonObject | None = None
    path: Predicate | None = None
    words: str | None = None

    def __post_init__(self) -> None:
        check_storable(self.match, "match")
        if size_of(self.match) > MAX_MATCH_BYTES:
            raise refusal("match", f"May take {MAX_MATCH_BYTES} bytes as compact JSON, and takes more.")
        check_storable(self.words, "q")
        if self.words is not None and not any(map(is_in_word, unicodedata.normalize("NFKC", self.words))):
            raise refusal("q", "There is no word in it. Words are of letters and of the digits 0 to 9.")

    @property
    def widest(self) -> str:
        """The field in which to say more where too much is looked for: what is held against each asset by itself."""
        if self.path is not None:
            return "path"
        return "match" if self.words is None else "q"

    @property
    def named(self) -> tuple[AssetId, ...]:
        """The assets that it speaks of."""
        named = (self.parent_id, self.ancestor, self.related_to.asset_id if self.related_to is not None else None)
        return tuple(asset_id for asset_id in named if asset_id is not None)


@dataclass(frozen=True, slots=True)
class AssetOrder:
    """In which order assets come: by ``created_at``, by ``name``, or by the property to which ``keys`` lead.

    By a property numbers come first, then texts by the first 64 characters, then false and true; the other way round
    if it ``is_descending``. What has none of these there comes last, in the order of creation.
    """

    by: str = "created_at"
    keys: tuple[str, ...] = ()
    is_descending: bool = False


BY_CREATION = AssetOrder()


def read_order(text: str) -> AssetOrder:
    """Read what is sorted by: ``created_at``, ``name``, ``properties.motor.kw``, each with a ``-`` for descending.

    :raises RuleViolationError: it is nothing of that.
    """
    said = text.removeprefix("-")
    is_descending = said != text
    if said in {"created_at", "name"}:
        return AssetOrder(said, is_descending=is_descending)
    keys = read_property(said, "sort")
    if keys is None:
        raise refusal("sort", "created_at, name or properties.<path>, with a - before it for the other way round.")
    return AssetOrder(PROPERTIES, keys, is_descending)


def read_property(text: str, field: str) -> tuple[str, ...] | None:
    """Give the keys of ``properties.motor.kw``, in which one with a dot is in double quotes; None if it is no path.

    :raises RuleViolationError: no property could have such a key; ``errors`` names the field.
    """
    by, _, path = text.partition(".")
    if by != PROPERTIES or len(text) > MAX_ORDER_LENGTH or not _PATH.fullmatch(path):
        return None
    keys = tuple(_ESCAPED.sub(r"\1", quoted) or plain for quoted, plain in _KEY.findall(path))
    check_storable(list(keys), field)
    if len(keys) > MAX_DEPTH:
        raise refusal(field, f"No properties are nested deeper than {MAX_DEPTH} levels.")
    return keys
