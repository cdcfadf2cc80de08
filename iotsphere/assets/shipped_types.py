"""Device types that come with the platform: there in every organisation, until it says something else of them."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import resources
from typing import Self

from iotsphere.assets.device_type import DeviceType, DeviceTypeDefinition, name_behind
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page, encode_cursor


@dataclass(frozen=True, slots=True)
class ShippedType:
    """A type as its file has it. ``version`` rises by 1 with every release that changes it, and never falls."""

    definition: DeviceTypeDefinition
    version: int
    created_at: datetime
    updated_at: datetime


class ShippedTypes:
    """What an organisation sees of a type, given what the asset database keeps of it.

    The version of a name rises with whatever changes what is seen: the organisation, and a release while the
    organisation says nothing of its own. Of a removed type the version less the shipped one's is kept, so that later
    releases go on from there.
    """

    def __init__(self, types: Mapping[str, ShippedType]) -> None:
        self._types = dict(types)

    @classmethod
    def load(cls) -> Self:
        """Read the files of the package, each named after its type."""
        files = (resources.files("iotsphere.assets") / "shipped").iterdir()
        return cls({file.name.removesuffix(".toml"): _read(file.read_text(encoding="utf-8")) for file in files})

    @property
    def names(self) -> Collection[str]:
        return self._types.keys()

    def present(self, organisation_id: OrganisationId, name: str, kept: DeviceType | None) -> DeviceType | None:
        """Give what the organisation has by that name, None where there is nothing."""
        if kept is not None and not kept.is_removed:
            return kept
        shipped = self._types.get(name)
        if shipped is None:
            return None
        seen = DeviceType(
            organisation_id=organisation_id,
            name=name,
            **shipped.definition.members(),
            created_at=shipped.created_at,
            updated_at=shipped.updated_at,
            version=shipped.version,
            is_shipped=True,
        )
        if kept is None:
            return seen
        return replace(seen, version=kept.version + seen.version, updated_at=max(kept.updated_at, seen.updated_at))

    def removed(self, device_type: DeviceType) -> DeviceType:
        """Give what is kept of a type in whose place the shipped one, or none, is to be seen at the same version."""
        shipped = self._types.get(device_type.name)
        return replace(
            device_type, is_removed=True, version=device_type.version - (0 if shipped is None else shipped.version)
        )

    def listed(
        self, organisation_id: OrganisationId, kept: Page[DeviceType], *, limit: int, cursor: str | None
    ) -> Page[DeviceType]:
        """Put the shipped types into a page of what is kept, with all that is kept of their names."""
        by_name = {device_type.name: device_type for device_type in kept.items}
        after = "" if cursor is None else name_behind(cursor)
        # What comes after the last one of a page that is followed by another is not decided yet.
        missing = [name for name in self._types if after < name and name not in by_name]
        if kept.next_cursor is not None:
            missing = [name for name in missing if name < kept.items[-1].name]
        names = sorted([*by_name, *missing])
        shown = names[:limit]
        seen = [self.present(organisation_id, name, by_name.get(name)) for name in shown]
        has_more = kept.next_cursor is not None or len(names) > limit
        return Page([one for one in seen if one is not None], encode_cursor(shown[-1]) if has_more else None)


def _read(text: str) -> ShippedType:
    said = tomllib.loads(text)
    release = {member: said.pop(member) for member in ("version", "created_at", "updated_at")}
    return ShippedType(DeviceTypeDefinition(**said), **release)
