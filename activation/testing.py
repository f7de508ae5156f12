"""What the author of a connector tests with: a contract suite to inherit, and fakes that keep the contract.

class TestAcme(ConnectorContract):
    connector = Acme()
    settings = {"url": "https://acme.example", "token": "s3cret"}
    cases = Path(__file__).parent / "cases"
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec

from activation.connector import Batch, Change, Connector, Omitted
from activation.outcomes import Delivered, Dropped, Failed, Outcome, Retry
from activation.requests import Reply, Request
from activation.showing import shown
from cdp.errors import TransientError
from cdp.vault import secrets_in

AT = 1_795_249_800_000  # 2026-11-21T08:30:00.000Z
WORDS: dict[type, str] = {Delivered: "delivered", Retry: "retry", Failed: "failed", Dropped: "dropped"}


def sample_change(number: int = 0, **fields: Any) -> Change:
    """A change like others; `number` tells them apart."""
    default: dict[str, Any] = {
        "id": f"{number:032x}",
        "action": "add",
        "segment": "vip",
        "profile_id": f"00000000-0000-4000-8000-{number:012x}",
        "sequence": 1,
        "at": AT,
        "identifiers": {"email": [f"an{number}@example.com"], "phone": ["+84901234567"], "user_id": [f"u{number}"]},
        "traits": {"name": "Nguyễn Văn An", "city": "Đà Nẵng", "total": 1_850_000},
        "trace_id": f"{number:032x}",
    }
    return Change(**(default | fields))


# Members as they really are: nothing known, too much known, and texts that want to be something else.
ODD_CHANGES = (
    sample_change(1, identifiers={}, traits={}),
    sample_change(2, traits={"n": None, "deep": {"a": [{"b": {}}]}, "big": 2**70, "real": -0.5, "no": False, "": ""}),
    sample_change(
        3, traits={"text": '=1+1\r\n\t",;\u2028\x00', "emoji": "🧧", "key.with.dots": "x", "{segment}": "{x}"}
    ),
    sample_change(4, identifiers={"email": []}, trace_id="", action="remove"),
)


class ConnectorContract:
    """What holds for every connector. Set `connector` and `settings` (as a person would give them); `cases` if any.

    A case is a JSON file: `settings` (over those of the class), `destination`, `at`, `changes` (over `sample_change`),
    `requests` as people are shown them, `omitted` (position → reason), and `replies`: `{"request", "status", "headers",
    "body", "refused", "outcomes"}`, where an outcome is `delivered`, `retry`, `failed` or `dropped`.
    """

    connector: Connector[Any]
    settings: ClassVar[dict[str, Any]] = {}
    cases: Path | None = None

    def parsed(self, **over: Any) -> Any:
        """The settings, checked."""
        return self.connector.Settings.model_validate(self.settings | over)

    def batch(self, changes: Sequence[Change], *, at: int = AT) -> Batch:
        """A batch of these changes."""
        return Batch("acme", changes, at, self.connector.Audience.model_construct())

    def build(self, changes: Sequence[Change], *, at: int = AT) -> Sequence[Request | Omitted]:
        """What the connector makes of them."""
        return self.connector.build(self.parsed(), self.batch(changes, at=at))

    def sizes(self) -> list[int]:
        """Batch sizes worth a look."""
        largest = self.connector.batch_size(self.parsed())
        assert 1 <= largest <= self.connector.capabilities.batch
        return sorted({1, min(2, largest), min(3, largest), largest})

    def test_it_describes_itself(self) -> None:
        """It has a name, a title and a sentence for each setting."""
        assert self.connector.name and self.connector.title and self.connector.name.islower()
        for model in (self.connector.Settings, self.connector.Audience):
            for name, field in model.model_fields.items():
                assert field.description, f"the setting {name} needs a description"
            json.dumps(model.model_json_schema())

    def test_each_change_is_covered_once(self) -> None:
        """Each member is in exactly one request, or omitted with a reason."""
        for size in self.sizes():
            covered: list[int] = []
            for item in self.build([sample_change(number) for number in range(size)]):
                covered += [item.member] if isinstance(item, Omitted) else item.members
                assert not isinstance(item, Omitted) or item.reason
            assert sorted(covered) == list(range(size))

    def test_building_is_pure(self) -> None:
        """The same batch gives the same requests."""
        for size in self.sizes():
            changes = [sample_change(number) for number in range(size)]
            assert self.build(changes) == self.build(changes)

    def test_ids_are_stable_over_attempts(self) -> None:
        """A later attempt speaks of the same deliveries: an id that is told once is told again, and no other is."""
        for change in (sample_change(7), sample_change(8, action="remove")):
            first = self.told(self.build([change]))
            again = self.told(self.build([msgspec.structs.replace(change, attempt=2)], at=AT + 60_000))
            assert (change.id in first) == (change.id in again)
            assert sample_change(9).id not in again

    def test_adding_and_removing_differ(self) -> None:
        """A receiver can tell who comes from who goes."""
        if self.connector.capabilities.removes:
            add, remove = sample_change(1), sample_change(1, action="remove")
            assert self.told(self.build([add])) != self.told(self.build([remove]))

    def test_odd_members_are_built_or_omitted(self) -> None:
        """No member makes it raise."""
        for change in ODD_CHANGES:
            assert self.build([change])

    def test_each_member_gets_an_outcome(self) -> None:
        """Whatever comes back, each member of the request gets exactly one outcome."""
        for request in self.requests(max(self.sizes())):
            for reply in _replies():
                outcomes = self.interpret(request, reply)
                assert len(outcomes) == len(request.members)
                assert all(type(outcome) in WORDS for outcome in outcomes)

    def test_interpreting_is_pure(self) -> None:
        """The same reply says the same."""
        for request in self.requests(1):
            for reply in _replies():
                assert self.interpret(request, reply) == self.interpret(request, reply)

    def test_trouble_of_the_platform_is_retried(self) -> None:
        """A platform that is busy or broken loses nobody."""
        for request in self.requests(1):
            for status in (429, 500, 502, 503, 504):
                assert all(isinstance(outcome, Retry) for outcome in self.interpret(request, Reply(status, AT)))

    def test_secrets_are_not_shown(self) -> None:
        """No secret stands in a repr, in JSON, or in what a dry run shows."""
        settings = self.parsed()
        hidden = secrets_in(settings)
        requests = self.requests(1)
        texts = [repr(settings), settings.model_dump_json(), self.told(requests), repr(self.connector)]
        texts += [repr(msgspec.structs.replace(request, **_without_bodies(request))) for request in requests]
        for secret in hidden:
            assert not any(secret in text for text in texts)

    def test_cases(self) -> None:
        """Each recorded case still comes out the same."""
        for path, case in self._cases():
            settings = self.parsed(**case.get("settings", {}))
            changes = [sample_change(number, **fields) for number, fields in enumerate(case["changes"])]
            batch = Batch(case.get("destination", "acme"), changes, case.get("at", AT), case.get("audience"))
            items = self.connector.build(settings, batch)
            requests = [item for item in items if not isinstance(item, Omitted)]
            omitted = {str(item.member): item.reason for item in items if isinstance(item, Omitted)}
            assert [shown(request, secrets_in(settings)) for request in requests] == case["requests"], path
            assert omitted == case.get("omitted", {}), path
            for said in case.get("replies", []):
                outcomes = self.connector.interpret(settings, requests[said["request"]], _reply(said))
                assert [WORDS[type(outcome)] for outcome in outcomes] == said["outcomes"], path

    def requests(self, size: int) -> list[Request]:
        """The requests of a batch of that size."""
        items = self.build([sample_change(number) for number in range(size)])
        return [item for item in items if not isinstance(item, Omitted)]

    def interpret(self, request: Request, reply: Reply) -> Sequence[Outcome]:
        """What the connector makes of a reply."""
        return self.connector.interpret(self.parsed(), request, reply)

    def told(self, items: Sequence[Request | Omitted]) -> str:
        """All that these requests tell, as text."""
        hidden = secrets_in(self.parsed())
        requests = [shown(item, hidden) for item in items if not isinstance(item, Omitted)]
        return json.dumps(requests, ensure_ascii=False, default=str)

    def _cases(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted(self.cases.glob("*.json")) if self.cases else []:
            yield path, json.loads(path.read_text(encoding="utf-8"))


def _replies() -> Iterator[Reply]:
    for status in (200, 201, 204, 207, 301, 400, 401, 403, 404, 409, 410, 413, 418, 422, 429, 500, 503):
        for body in (b"", b"{}", b'{"error": "no"}', b"<html>", b"\xff\xfe", b"[]", b"null"):
            yield Reply(status, AT, {"retry-after": "7"}, body)
    yield Reply(200, AT, refused={0: "no"})


def _reply(said: dict[str, Any]) -> Reply:
    body = said.get("body", "")
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    refused = {int(place): reason for place, reason in said.get("refused", {}).items()}
    return Reply(said.get("status", 200), AT, said.get("headers", {}), content, refused)


def _without_bodies(request: Request) -> dict[str, Any]:
    """Bodies may have to hold a secret; they are masked where they are shown, and never logged."""
    return {"body": b""} if hasattr(request, "body") else {}


class Answer(NamedTuple):
    """How a fake destination meets one request: replies, hangs, resets the connection, or drips bytes for ever."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""
    kind: Literal["reply", "hang", "reset", "drip"] = "reply"


HANG, RESET, DRIP = Answer(kind="hang"), Answer(kind="reset"), Answer(kind="drip")


class Script:
    """Answers in their order; the last one for ever."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers) or [Answer()]

    def next(self) -> Answer:
        """The answer to the next request."""
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class Received(NamedTuple):
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class FakeDestination:
    """A destination on loopback that speaks HTTP and keeps what it gets. Use it as `async with`."""

    def __init__(self, *answers: Answer) -> None:
        self.received: list[Received] = []
        self.script = Script(answers)
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FakeDestination:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while await self._answer(reader, writer):
                pass
        self._connections.discard(writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, target, _ = head[0].split(" ")
        self.received.append(Received(method, target, headers, body))
        answer = self.script.next()
        if answer.kind == "reset":
            writer.transport.abort()
            return False
        if answer.kind == "hang":
            await asyncio.sleep(3600)
        lines = [f"HTTP/1.1 {answer.status} Scripted", *(f"{name}: {value}" for name, value in answer.headers.items())]
        length = len(answer.body) if answer.kind == "reply" else 1_000_000
        writer.write("\r\n".join([*lines, f"content-length: {length}", "", ""]).encode() + answer.body)
        await writer.drain()
        while answer.kind == "drip":
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.05)
        return True


class ScriptedTransport:
    """A transport without a network: answers by script or by a function, and keeps what it was given."""

    def __init__(self, *answers: Answer, answer: Callable[[Any], Reply] | None = None, at: int = AT) -> None:
        """`answer` may raise what a transport raises."""
        self.sent: list[Any] = []
        self.closed = False
        self.script = Script(answers)
        self._answer = answer
        self._at = at

    async def send(self, request: Any) -> Reply:
        """Answer as the script says; what would never answer raises at once."""
        await asyncio.sleep(0)
        self.sent.append(request)
        if self._answer is not None:
            return self._answer(request)
        answer = self.script.next()
        if answer.kind != "reply":
            raise TransientError(f"the destination does not answer: {answer.kind}")
        return Reply(answer.status, self._at, answer.headers, answer.body)

    async def close(self) -> None:
        """Nothing more will be sent."""
        self.closed = True
