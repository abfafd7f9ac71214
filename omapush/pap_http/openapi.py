"""The OpenAPI description of the JSON interface, made from its types and served as `/schema`."""

from __future__ import annotations

from litestar import Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

DESCRIPTION = OpenAPIConfig(
    title="omapush",
    version="1",
    description="Push using SIP: submit pushes and see what became of them. PAP is at /pap.",
    openapi_router=Router("/schema", route_handlers=[], include_in_schema=False),
    use_handler_docstrings=True,
    render_plugins=(JsonRenderPlugin(),),
    security=[{"basic": []}, {"bearer": []}, {"certificate": []}],
    components=Components(
        security_schemes={
            "basic": SecurityScheme(type="http", scheme="basic"),
            "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
            "certificate": SecurityScheme(type="mutualTLS"),
        }
    ),
)
