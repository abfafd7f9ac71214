"""An OpenTelemetry collector: takes OTLP over HTTP, decodes it by the published protocol, keeps the spans."""

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fakes.http_server import HttpServer, body_of


@dataclass(frozen=True)
class Collected:
    """One span as it came."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str | int]
    is_error: bool
    said: str
    events: tuple[str, ...]
    service: str


SERVER, CLIENT, INTERNAL = 2, 3, 1
"Kinds of spans in the protocol."


class Collector(HttpServer):
    """A context manager on a free loopback port; answers 200 until `status` says otherwise."""

    def __init__(self) -> None:
        self.status = 200
        self.paths: set[str] = set()
        self._spans: list[Collected] = []
        self._changed = threading.Condition()
        super().__init__(self._take, "")

    @property
    def endpoint(self) -> str:
        return self.url.rstrip("/")

    @property
    def spans(self) -> list[Collected]:
        with self._changed:
            return list(self._spans)

    def of(self, trace_id: str) -> list[Collected]:
        """The spans of one trace, each once, in order of their beginning."""
        found = {span.span_id: span for span in self.spans if span.trace_id == trace_id}
        return sorted(found.values(), key=lambda span: span.start_ns)

    def wait_for(
        self, trace_id: str, enough: Callable[[list[Collected]], bool], deadline_s: float = 30.0
    ) -> list[Collected]:
        """The same, once there are enough; TimeoutError when not in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: enough(self.of(trace_id)), deadline_s):
                raise TimeoutError(f"spans of {trace_id}: {self.of(trace_id)}")
            return self.of(trace_id)

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = body_of(request)
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with self._changed:
            self.paths.add(request.path)
            if self.status == 200:
                self._spans += _decoded(body)
            self._changed.notify_all()
        request.send_response(self.status)
        request.send_header("Content-Type", "application/x-protobuf")
        request.send_header("Content-Length", "0")
        request.end_headers()


def _decoded(body: bytes) -> list[Collected]:
    found = []
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
        for scope in of_resource.scope_spans:
            for span in scope.spans:
                found.append(
                    Collected(
                        span.name,
                        span.kind,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.trace_state,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        {one.key: one.value.string_value or one.value.int_value for one in span.attributes},
                        span.status.code == 2,
                        span.status.message,
                        tuple(event.name for event in span.events),
                        resource["service.name"],
                    )
                )
    return found
