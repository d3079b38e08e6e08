"""The OpenAPI document that FastAPI makes of the routes, with the errors as they really are."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic_core import to_json

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemResource"}}}

ERRORS = {
    400: "The body is not JSON, or the address is not UTF-8",
    401: "The API key is missing or unknown",
    403: "The key lacks the scope",
    404: "There is no such thing, or it is deleted",
    409: "The name or the message id is taken, others wrote first, or a rebuild is under way",
    412: "It is at another version than If-Match says",
    413: "The body is too large",
    415: "The body does not say that it is JSON, or is compressed in a way that is not taken",
    422: "The request cannot be taken",
    503: "The store cannot answer just now",
}
OF_WRITES_ONLY = {409, 412, 413, 415}


class FieldErrorResource(BaseModel):
    field: str = Field(description="dotted path in the body, or the name of a parameter or header")
    reason: str


class ProblemResource(BaseModel):
    """The shape of every error. ``errors`` comes with 400 and 422, ``current_version`` with 412."""

    type: str = Field(examples=["urn:recount:problem:not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no such session"])
    errors: list[FieldErrorResource] = []
    current_version: int | None = None


SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "an API key"},
    "basic": {"type": "http", "scheme": "basic", "description": "an API key as the password"},
}
"""The ways to send an API key. While no key was ever made, none is needed."""


def install(app: FastAPI) -> None:
    """Have ``app`` describe the errors of the native API as ProblemResource."""
    made_by_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made_by_fastapi()
            _document_errors(document)
            _document_security(document)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document_errors(document: dict[str, Any]) -> None:
    schema = ProblemResource.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document["components"]["schemas"]
    schemas |= {**schema.pop("$defs"), "ProblemResource": schema}
    for path, operations in document["paths"].items():
        if path.startswith("/v1/"):
            for method, operation in operations.items():
                operation["responses"] |= _errors_of(method, operation)
    if b"HTTPValidationError" not in to_json(document["paths"]):  # FastAPI's own shape of a 422
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)


def _document_security(document: dict[str, Any]) -> None:
    document["servers"] = [{"url": "/"}]
    document["security"] = [{name: []} for name in SECURITY_SCHEMES]
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    for operations in document["paths"].values():
        for operation in operations.values():
            if "system" in operation["tags"]:
                operation["security"] = []


def _errors_of(method: str, operation: dict[str, Any]) -> dict[str, Any]:
    statuses = [status for status in ERRORS if method != "get" or status not in OF_WRITES_ONLY]
    if {"webhooks", "purges"} & set(operation["tags"]):  # these cannot conflict with other writers
        statuses = [status for status in statuses if status not in (409, 412)]
    if "projections" in operation["tags"]:
        statuses = [status for status in statuses if status != 412]
    if "system" in operation["tags"]:
        statuses = [status for status in statuses if str(status) in operation["responses"]]
    return {str(status): {"description": ERRORS[status], "content": PROBLEM} for status in statuses}
