"""The operations of the API as its OpenAPI document has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iotsphere.api.openapi import describe
from iotsphere.app import create_app
from iotsphere.containers.application import create_container
from tests.api.bench import NOWHERE

METHODS = ("get", "put", "post", "patch", "delete")


@dataclass(frozen=True)
class Described:
    name: str
    method: str
    path: str
    document: Mapping[str, Any]

    @property
    def variables(self) -> list[str]:
        return [parameter["name"] for parameter in self.document["parameters"] if parameter["in"] == "path"]

    @property
    def media_type(self) -> str | None:
        body = self.document.get("requestBody")
        return next(iter(body["content"])) if body else None


def describe_operations() -> dict[str, Described]:
    """Give every operation by its name; no store is needed to know them."""
    container = create_container(NOWHERE)
    try:
        document = describe(create_app(container))
    finally:
        container.unwire()
    listed = [
        Described(item[method]["operationId"], method.upper(), path, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]
    return {described.name: described for described in listed}


OPERATIONS = describe_operations()
