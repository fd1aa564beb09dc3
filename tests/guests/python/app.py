"""A connector in Python: proves that the interface can be implemented with componentize-py.

`echo` answers its arguments; `fetch` makes one request with a secret in a header, says what the
answer means, and returns status and body. `greet` reports progress, asks for a name, and answers
with content.
"""

import json

from componentize_py_types import Err, Ok, Result
from wit_world import exports
from wit_world.exports.tools import (
    Answer,
    Answer_Content,
    Answer_InputRequired,
    Answer_Object,
    Invocation,
    Tool,
)
from wit_world.imports import agent, http, log
from wit_world.imports.http import Directive, Exchange, Header, Request, Throttle
from wit_world.imports.types import (
    Atom_Bytes,
    Atom_Secret,
    Content,
    Effect,
    Encoding,
    Fault,
    FaultKind,
    Part,
    Question,
)

MANIFEST = {
    "name": "python-guest",
    "version": "0.1.0",
    "description": "A connector written in Python, for tests",
    "settings": {"type": "object", "additionalProperties": False},
    "upstreams": [{"name": "api", "kind": "http", "description": "Any HTTP server."}],
    "credentials": [{"name": "bot", "fields": [{"name": "token"}], "upstreams": ["api"]}],
    "operations": [
        {"label": "fetch", "upstream": "api", "method": "GET", "path": "/{path...}", "effect": "read"}
    ],
}

ECHO_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
FETCH_INPUT = {
    "type": "object",
    "properties": {"path": {"type": "string", "pattern": "^/"}},
    "required": ["path"],
    "additionalProperties": False,
}
FETCH_OUTPUT = {
    "type": "object",
    "properties": {"status": {"type": "integer"}, "body": {"type": "string"}},
    "required": ["status", "body"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
NAME_FORM = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}


class Manifest(exports.Manifest):
    def describe(self) -> str:
        return json.dumps(MANIFEST)


class Tools(exports.Tools):
    def list_tools(self) -> list[Tool]:
        return [
            tool("echo", "Answers what it was told.", ECHO_SCHEMA, ECHO_SCHEMA),
            tool("fetch", "Fetches a path of the upstream.", FETCH_INPUT, FETCH_OUTPUT),
            tool("greet", "Greets whoever it is.", NOTHING, None),
        ]

    def call(self, tool: str, invocations: list[Invocation]) -> list[Result[Answer, Fault]]:
        return [answer(tool, invocation) for invocation in invocations]


def tool(name: str, description: str, accepts: dict, returns: dict | None) -> Tool:
    return Tool(
        name=name,
        title=name.capitalize(),
        description=description,
        input_schema=json.dumps(accepts),
        output_schema=json.dumps(returns) if returns else None,
        effect=Effect.READ,
        first_operation="fetch",
        max_batch=1,
    )


def answer(tool: str, invocation: Invocation) -> Result[Answer, Fault]:
    arguments = json.loads(invocation.arguments)
    try:
        if tool == "greet":
            return Ok(greet(invocation))
        result = fetch(arguments["path"]) if tool == "fetch" else arguments
        return Ok(Answer_Object(json.dumps(result)))
    except Err as failure:
        # A fault of the host, raised by an import: handed on as it came, with its ticket.
        return Err(failure.value)


def greet(invocation: Invocation) -> Answer:
    if invocation.inputs is None:
        agent.report_progress(1, 2, "asking")
        params = {"message": "Who?", "requestedSchema": NAME_FORM}
        requests = {"who": {"method": "elicitation/create", "params": params}}
        return Answer_InputRequired(Question(json.dumps(requests), state="asked"))
    name = json.loads(invocation.inputs.responses)["who"]["content"]["name"]
    text = f"{name}, {invocation.inputs.state}, {agent.can_bring()}"
    return Answer_Content(Content(json.dumps([{"type": "text", "text": text}]), structured=None))


def fetch(path: str) -> dict:
    log.write(log.Level.DEBUG, f"fetching {path}")
    with http.send(request(path)) as exchange:
        while exchange.settle(verdict(exchange)) is Directive.SENT_AGAIN:
            pass
        if exchange.status() == 404:
            raise Err(fault(FaultKind.NOT_FOUND, f"There is nothing at {path}."))
        return {"status": exchange.status(), "body": exchange.body().decode(errors="replace")}


def request(path: str) -> Request:
    bearer = Part(Encoding.RAW, [Atom_Bytes(b"Bearer "), Atom_Secret("bot.token")])
    return Request(
        upstream="api",
        operation="fetch",
        effect=Effect.READ,
        method="GET",
        path=path,
        headers=[Header("authorization", [bearer])],
        body=[],
        options=None,
    )


def verdict(exchange: Exchange) -> http.Verdict:
    status = exchange.status()
    if status == 429:
        seconds = exchange.header("retry-after")
        wait = int(seconds) * 1000 if seconds and seconds.isdigit() else None
        return http.Verdict_Throttled(Throttle(wait, None))
    if status == 401:
        return http.Verdict_Unauthenticated()
    if status >= 500:
        return http.Verdict_Transient()
    return http.Verdict_Rejected() if status >= 400 else http.Verdict_Ok()


def fault(kind: FaultKind, message: str) -> Fault:
    return Fault(kind, message, code=None, path=None, retry_after_ms=None, ticket=None, details=None)
