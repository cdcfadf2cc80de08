"""A portion of a file's lines beside what is there of the assets that they name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from iotsphere.assets.asset_line import AssetFile, AssetLine, KnownAsset
from iotsphere.assets.documents import refusal
from iotsphere.assets.errors import AssetNotFoundError
from iotsphere.assets.line_order import Step, Token, plan_rounds
from iotsphere.assets.model import AssetPatch
from iotsphere.assets.properties_schema import PropertiesSchema
from iotsphere.kernel.errors import DomainError, RuleViolationError
from iotsphere.kernel.identifiers import AssetId, DeviceId, IdSource

Schemas = Mapping[DeviceId, PropertiesSchema]
NEEDED = ("asset_type", "name")


class ImportStatus(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class ImportedAsset:
    """What has become of a line: which asset it is by now, and what the line said of it.

    Not the asset itself: all that a portion changes may be too much to be in memory together.
    """

    id: AssetId
    asset_type: str
    name: str
    parent_id: AssetId | None
    version: int
    status: ImportStatus
    said: tuple[str, ...]


ImportOutcome = ImportedAsset | DomainError


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetDraft:
    """What a line says, with every name in it found: of a new asset, or of one that is there.

    What ``moves`` is to be below another asset than it was when it was looked at.
    """

    asset_id: AssetId
    patch: AssetPatch
    is_new: bool
    moves: bool = False
    properties_schema: PropertiesSchema | None = None


class LinePortion:
    def __init__(
        self, file: AssetFile, lines: Sequence[AssetLine], known: Iterable[KnownAsset], schemas: Schemas
    ) -> None:
        self._file = file
        self._lines = lines
        self._schemas = schemas
        by_name: dict[AssetId | DeviceId, KnownAsset] = {}
        for asset in known:
            by_name[asset.id] = asset
            if asset.device_id is not None:
                by_name[asset.device_id] = asset
        self._known = [by_name.get(name) if (name := line.asset_id or line.device_id) else None for line in lines]
        self._steps = list(self._find_steps())

    def plan(self) -> list[list[int]]:
        """Give the numbers of the lines that are settled together, round after round."""
        return plan_rounds(self._steps)

    def is_alone(self, line: int) -> bool:
        return self._steps[line].is_alone

    def draft(self, line: int, new_id: IdSource) -> AssetDraft:
        """Find what a line names, as the lines above it have left it.

        :raises AssetNotFoundError: the asset is not there.
        :raises RuleViolationError: its key is taken, its parent's is not known, or too little is said.
        """
        said, known = self._lines[line], self._known[line]
        self._check_names(said, known)
        patch = self._place(said)
        if known is None:
            _check_needed(patch)
            return AssetDraft(asset_id=AssetId(new_id()), patch=patch, is_new=True)
        schema = self._schemas.get(known.device_id) if known.device_id and "properties" in patch else None
        moves = "parent_id" in patch and patch["parent_id"] != known.parent_id
        return AssetDraft(asset_id=known.id, patch=patch, is_new=False, moves=moves, properties_schema=schema)

    def remember(self, line: int, asset_id: AssetId) -> None:
        if key := self._lines[line].key:
            self._file.remember(key, asset_id)

    def _check_names(self, line: AssetLine, known: KnownAsset | None) -> None:
        if known is None and (line.asset_id or line.device_id):
            raise AssetNotFoundError
        if known is not None and line.device_id not in {None, known.device_id}:
            raise refusal("device_id", "This is not the asset of that device.")
        taken = self._file.find(line.key) if line.key else None
        if taken is not None and (known is None or known.id != taken):
            raise refusal("key", "A line further up has this key.")

    def _place(self, line: AssetLine) -> AssetPatch:
        """Give what is said, with the id of the parent instead of its key."""
        if line.parent_key is None:
            return line.patch
        parent_id = self._file.find(line.parent_key)
        if parent_id is None:
            raise refusal("parent_key", "No line further up with this key has made or found an asset.")
        return line.patch | {"parent_id": parent_id}

    def _find_steps(self) -> Iterator[Step]:
        found: dict[str, AssetId] = {}
        changed: set[Token] = set()
        needed: set[Token] = set()
        for line, known in zip(self._lines, self._known, strict=True):
            own = _own_tokens(line, known)
            if known is not None and line.key:
                found.setdefault(line.key, known.id)
            parent = self._find_parent(line, found)
            is_below_others = known is not None and parent == known.parent_id and known.id not in changed
            is_alone = (
                known is not None
                and (line.parent_key is not None or "parent_id" in line.patch)
                and (known.is_parent or known.id in needed)
                and not is_below_others
            )
            yield Step(own, () if parent is None else (parent,), is_alone, known.size if known else 0)
            changed.update(own)
            if parent is not None:
                needed.add(parent)

    def _find_parent(self, line: AssetLine, found: Mapping[str, AssetId]) -> Token | None:
        if line.parent_key is None:
            return line.patch.get("parent_id")
        return self._file.find(line.parent_key) or found.get(line.parent_key) or line.parent_key


def _own_tokens(line: AssetLine, known: KnownAsset | None) -> list[Token]:
    own: list[Token] = [line.key] if line.key else []
    return own if known is None else [known.id, *own]


def _check_needed(patch: AssetPatch) -> None:
    errors = {member: ["Missing data for required field."] for member in NEEDED if member not in patch}
    if errors:
        raise RuleViolationError("A new asset needs a type and a name.", errors)
