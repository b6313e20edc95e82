"""The OpenAPI document: what FastAPI gathers from the routes, with the problems that they really answer."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from gateway.problems import SCHEMA

# FastAPI adds these to every route with parameters; here such an answer is a problem with status 400.
_NEVER = "422"
_NEVER_SCHEMAS = ("HTTPValidationError", "ValidationError")


def operation_id(route: APIRoute) -> str:
    """The route's own name, so that generated clients have `search()` and not `search_api_v1_collections…`."""
    return route.name


class DocumentedApp(FastAPI):
    """An application whose document says what is answered."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _with_problems(super().openapi())
        return self.openapi_schema


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop(_NEVER, None)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _NEVER_SCHEMAS:
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    return document
