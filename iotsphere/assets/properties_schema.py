"""The schema of properties: what is said of the asset of a device, as the device's type has it."""

from iotsphere.assets.documents import MAX_DEPTH, SHOWN_KEY_LENGTH, JsonObject, size_of
from iotsphere.assets.schema_document import SchemaDocument
from iotsphere.assets.schema_load import MAX_CHECKS, check_load, measure
from iotsphere.assets.schema_validator import SchemaValidator, SchemaViolation, sizes
from iotsphere.kernel.errors import RuleViolationError

PATH = "properties_schema"
MAX_VIOLATIONS = 20
# A value takes that many bytes at the least, with what parts it from the next.
BYTES_PER_VALUE = 2


def check_properties_schema(schema: JsonObject) -> None:
    """Refuse what a schema of a shadow is refused for, with properties as deep as they may be.

    :raises RuleViolationError: ``errors`` names the place below ``properties_schema``.
    """
    check_load(SchemaDocument(schema, PATH), PATH, levels=MAX_DEPTH)
    PropertiesSchema(schema)


class PropertiesSchema:
    """A schema that was checked, ready to be held against properties."""

    def __init__(self, schema: JsonObject) -> None:
        document = SchemaDocument(schema, PATH)
        self._load = measure(document, PATH, levels=MAX_DEPTH)
        self._validator = SchemaValidator(document, self._load, is_whole=True)

    def check(self, properties: JsonObject) -> None:
        """Refuse properties that do not fit. Where nothing is said, nothing can be missing.

        :raises RuleViolationError: ``errors`` names up to 20 places below ``properties``.
        """
        if not properties:
            return
        if self._is_too_much(properties):
            raise _refusal([((), "Holds more values than can be held against the schema of the device type.")])
        if violations := self._validator.violations(properties, limit=MAX_VIOLATIONS):
            raise _refusal(violations)

    def _is_too_much(self, properties: JsonObject) -> bool:
        """Properties may be eight times as large as the states that a schema was weighed with."""
        most_values = size_of(properties) // BYTES_PER_VALUE + 1
        return self._load.checks(most_values) > MAX_CHECKS and self._load.checks(sizes(properties)[0]) > MAX_CHECKS


def _refusal(violations: list[SchemaViolation]) -> RuleViolationError:
    errors: dict[str, list[str]] = {}
    for way, message in violations:
        place = ".".join(["properties", *(str(step)[:SHOWN_KEY_LENGTH] for step in way)])
        errors.setdefault(place, []).append(message)
    return RuleViolationError("properties: Do not fit the schema of the device type.", errors)
