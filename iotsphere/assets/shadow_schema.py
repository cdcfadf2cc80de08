"""The schema of a shadow: what devices of a type report, and what may be asked of them."""

from iotsphere.assets.documents import JsonObject
from iotsphere.assets.schema_document import SchemaDocument
from iotsphere.assets.schema_load import check_load, measure
from iotsphere.assets.schema_validator import SchemaValidator, SchemaViolation


def check_shadow_schema(schema: JsonObject, path: str) -> None:
    """Refuse what is no JSON Schema (2020-12), refers to anything outside of itself, or could take too long.

    :raises RuleViolationError: ``errors`` names the place below ``path``.
    """
    document = SchemaDocument(schema, path)
    check_load(document, path)
    ShadowSchema(schema)


class ShadowSchema:
    """A schema that was checked, ready to be held against states.

    ``reported`` is meant as it is written. Of ``desired`` nothing has to be there: it names only what shall change.
    """

    def __init__(self, schema: JsonObject) -> None:
        document = SchemaDocument(schema, "shadow_schema")
        load = measure(document, "shadow_schema")
        self._whole = SchemaValidator(document, load, is_whole=True)
        self._partial = SchemaValidator(document, load, is_whole=False)

    def violations(self, state: JsonObject, *, is_whole: bool, limit: int) -> list[SchemaViolation]:
        """Tell where a state breaks the schema: a whole one, or one that names only some of what there is."""
        return (self._whole if is_whole else self._partial).violations(state, limit=limit)
