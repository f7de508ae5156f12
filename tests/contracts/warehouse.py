"""What a warehouse must do, whichever ClickHouse is behind it. The fixture `warehouse` is an opened, empty one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

import msgspec
import pytest

from cdp import clock, profiles
from cdp.errors import PermanentError, TransientError
from cdp.profiles import Part, Profile
from cdp.records import AnchorAssigned, Identifier, ObservationAdded
from cdp.settings import Settings
from cdp.warehouse.base import ROWS_REFUSED, Warehouse
from cdp.warehouse.rows import TABLES, change_rows, encode_rows

COLUMNS = ("anchor_id", "at", "received_at", "message_id", "properties")
ANCHOR = "00000000-0000-4000-8000-000000000001"
# Raw text as collectors may pass it on: valid JSON that other readers stumble over.
ODD_OBJECTS = (
    b"{}",
    b'{ "a" :\n 1 ,\t"b":[ ] }',
    b'{"a":1,"a":2}',
    b'{"a.b":1,"a":{"b":2}}',
    b'{"a":"\\u0000","b":"\\ud800"}',
    b'{"a":"\\"}{\\\\"}',
    b'{"}":"{","\\"":[{"]":1}]}',
    b'{"n":1e999,"m":' + b"9" * 5000 + b"}",
    '{"😀":"Áo dài Hà Đông"}'.encode(),
    b'{"a":' * 500 + b"1" + b"}" * 500,
)
ODD_STRINGS = ("", "'; DROP TABLE events; --", "{x:String}", "a\nb\tc\\", "\x00", "Nguyễn Thị 😀", '"', "\u2028")


def line(message_id: str, properties: bytes = b"{}", at: int = 0, anchor_id: str = ANCHOR) -> bytes:
    """One row for `insert`."""
    moment = clock.to_decimal(at).encode()
    return b'{"anchor_id":"%s","at":%s,"received_at":%s,"message_id":%s,"properties":%s}\n' % (
        anchor_id.encode(),
        moment,
        moment,
        msgspec.json.encode(message_id),
        properties,
    )


async def stored(warehouse: Warehouse) -> list[str]:
    """The message ids in `events`."""
    return [name for (name,) in await warehouse.rows("SELECT message_id FROM events ORDER BY message_id")]


class WarehouseContract:
    """Inherit it beside a fixture `warehouse`."""

    async def test_objects_are_kept_as_the_text_that_came(self, warehouse: Warehouse) -> None:
        """Whatever JSON object the sender wrote, its bytes come back unchanged."""
        await warehouse.insert("events", COLUMNS, b"".join(line(str(i), raw) for i, raw in enumerate(ODD_OBJECTS)))

        rows = await warehouse.rows("SELECT properties FROM events ORDER BY toUInt32(message_id)")

        assert list(ODD_OBJECTS) == [text.encode() for (text,) in rows]

    async def test_moments_come_back_to_the_millisecond(self, warehouse: Warehouse) -> None:
        """Every moment that the product knows survives storing, from 1970 to 2299."""
        moments = [0, 1, 999, 1_000, 1_795_249_800_123, 1_795_249_800_999, clock.LATEST - 1, clock.LATEST]
        await warehouse.insert("events", COLUMNS, b"".join(line(str(m), at=m) for m in moments))

        rows = await warehouse.rows("SELECT at, toUnixTimestamp64Milli(at) FROM events ORDER BY at")

        assert moments == [milliseconds for _, milliseconds in rows]
        assert moments == [clock.from_datetime(at) for at, _ in rows]

    async def test_parameters_are_values_never_text(self, warehouse: Warehouse) -> None:
        """A bound value comes back as it went in, whatever SQL it looks like."""
        for text in ODD_STRINGS:
            assert text == await warehouse.value("SELECT {text:String}", {"text": text})
        texts = [text for text in ODD_STRINGS if text]
        assert texts == await warehouse.value("SELECT {texts:Array(String)}", {"texts": texts})

    async def test_thousands_of_ids_can_be_bound(self, warehouse: Warehouse) -> None:
        """A question about 5,000 profiles is one query."""
        ids = [str(uuid.uuid4()) for _ in range(5_000)]

        found = await warehouse.value("SELECT length({ids:Array(UUID)})", {"ids": ids})

        assert found == 5_000

    async def test_rows_by_name(self, warehouse: Warehouse) -> None:
        """`dicts` names the columns; `value` of nothing is None."""
        assert await warehouse.dicts("SELECT 1 AS one, '2' AS two") == [{"one": 1, "two": "2"}]
        assert await warehouse.value("SELECT 1 WHERE 0") is None

    async def test_a_refused_row_leaves_nothing_behind(self, warehouse: Warehouse) -> None:
        """One row that cannot be read refuses its whole insert, and the error says that the rows are at fault."""
        for poison in (
            line("bad", anchor_id="no-uuid"),
            b'{"anchor_id":',
            line("bad").replace(b'"at":0.000', b'"at":"x"'),
        ):
            with pytest.raises(PermanentError) as refused:
                await warehouse.insert("events", COLUMNS, line("good") + poison + line("good"))
            assert refused.value.code == ROWS_REFUSED

        assert await stored(warehouse) == []

    async def test_a_wrong_statement_is_not_blamed_on_the_rows(self, warehouse: Warehouse) -> None:
        """A missing table is for the operator: no row may be set aside because of it."""
        with pytest.raises(PermanentError) as refused:
            await warehouse.insert("nowhere", COLUMNS, line("good"))

        assert refused.value.code != ROWS_REFUSED

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM file('/etc/hostname', 'LineAsString')",
            "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
            "SELECT count() FROM events SETTINGS readonly = 0",
            "SELECT sum(number) FROM numbers(100) SETTINGS max_execution_time = 0",
            "INSERT INTO events (message_id) VALUES ('x')",
            "DROP TABLE events",
            "SET readonly = 0",
            "SELECT * FROM numbers(6000000)",
        ],
    )
    async def test_limited_reads_stay_inside(self, warehouse: Warehouse, sql: str) -> None:
        """A limited query reads tables within its limits, nothing else, and the next call is not limited by it."""
        with pytest.raises(PermanentError):
            await warehouse.rows(sql, limited=True)

        for _ in range(3):
            await warehouse.insert("events", COLUMNS, line("after"))
            assert await warehouse.rows("SELECT count() FROM events", limited=True)

    async def test_more_calls_than_handles_wait_their_turn(self, warehouse: Warehouse) -> None:
        """Thirty calls at once on two handles are all answered."""
        answers = await asyncio.gather(*(warehouse.value("SELECT {n:UInt32}", {"n": n}) for n in range(30)))

        assert list(range(30)) == answers

    async def test_a_cancelled_call_gives_its_handle_back(self, warehouse: Warehouse) -> None:
        """A caller that stops waiting leaves at once, and costs no handle."""
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(warehouse.value("SELECT sleep(0.3)"), 0.02)

        assert await warehouse.value("SELECT 1") == 1

    async def test_settle_waits_for_an_insert_whose_caller_is_gone(self, warehouse: Warehouse) -> None:
        """After `settle`, what is read back is final, also when the one who inserted was cancelled."""
        rows = b"".join(line(f"{i:05}") for i in range(20_000))
        inserting = asyncio.create_task(warehouse.insert("events", COLUMNS, rows))
        await asyncio.sleep(0.02)
        inserting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await inserting

        await warehouse.settle()
        first = await stored(warehouse)
        await asyncio.sleep(0.2)

        assert first == await stored(warehouse)

    async def test_opening_twice_at_once_makes_the_tables_once(self, settings: Settings, warehouse: Warehouse) -> None:
        """Two processes that start together both find the tables, and what was stored stays."""
        await warehouse.insert("events", COLUMNS, line("kept"))
        await warehouse.command("TRUNCATE TABLE migrations")
        others = [Warehouse(settings), Warehouse(settings)]
        await asyncio.gather(*(other.open() for other in others))

        assert await stored(others[0]) == ["kept"]
        assert len(await warehouse.rows("SELECT number FROM migrations FINAL")) >= 1
        await asyncio.gather(*(other.close() for other in others))

    async def test_a_closed_warehouse_says_so(self, settings: Settings, warehouse: Warehouse) -> None:
        """After `close` every call is refused, those that were waiting too, and closing again does nothing."""
        other = Warehouse(settings)
        await other.open()
        waiting = [asyncio.create_task(other.value("SELECT sleep(0.1)")) for _ in range(6)]
        await asyncio.sleep(0.02)
        await other.close()
        await other.close()

        answers = await asyncio.gather(*waiting, return_exceptions=True)

        assert all(answer == 0 or isinstance(answer, TransientError) for answer in answers)
        with pytest.raises(TransientError):
            await other.value("SELECT 1")

    async def test_the_latest_trait_wins_in_any_order(self, warehouse: Warehouse) -> None:
        """Two values of the same moment are told apart the same way, whichever came first."""
        values = [line_of_trait("a", 5, '"x"'), line_of_trait("b", 5, '"y"'), line_of_trait("c", 4, '"z"')]

        async def winner(rows: Sequence[bytes]) -> object:
            await warehouse.command("TRUNCATE TABLE trait_values")
            for row in rows:
                await warehouse.insert("trait_values", TRAIT_COLUMNS, row)
            await warehouse.command("OPTIMIZE TABLE trait_values FINAL")
            merged = await warehouse.value("SELECT value FROM trait_values")
            assert merged == await warehouse.value("SELECT argMax(value, rank) FROM trait_values")
            return merged

        first = await winner(values)
        assert {first} == {await winner(values[::-1]), await winner([values[1], values[2], values[0]])}
        assert first in ('"x"', '"y"')

    async def test_people_are_read_in_both_views(self, warehouse: Warehouse) -> None:
        """Two who likely are one have a profile together, and each what surely is theirs alone."""
        lan, hoa = "00000000-0000-4000-8000-000000000011", "00000000-0000-4000-8000-000000000012"
        other = "00000000-0000-4000-8000-000000000002"
        changes = [
            ObservationAdded(ANCHOR, "web", 1, [Identifier("email", "lan@x.vn")]),
            ObservationAdded(other, "web", 1, [Identifier("email", "hoa@x.vn")]),
            AnchorAssigned(ANCHOR, lan, 1, 1),
            AnchorAssigned(other, lan, 1, 1, sure_id=hoa),
        ]
        for row in (row for change in changes for row in change_rows(change)):
            await warehouse.insert(TABLES[type(row)], row.__struct_fields__, encode_rows([row]))
        likely = (await profiles.read(warehouse, [lan, hoa])).values()
        sure = (await profiles.read_sure(warehouse, [lan, hoa])).values()

        def emails(one: Profile | Part) -> list[str]:
            return [known.value for known in one.identifiers]

        assert [(one.profile_id, emails(one)) for one in likely] == [(lan, ["hoa@x.vn", "lan@x.vn"])]
        assert [[(part.profile_id, emails(part)) for part in one.parts] for one in likely] == [
            [(lan, ["lan@x.vn"]), (hoa, ["hoa@x.vn"])]
        ]
        assert [(one.profile_id, emails(one), one.parts, one.beside) for one in sure] == [
            (lan, ["lan@x.vn"], [], [{}]),
            (hoa, ["hoa@x.vn"], [], [{}]),
        ]
        assert await profiles.likely_of(warehouse, hoa) == lan


TRAIT_COLUMNS = ("anchor_id", "name", "at", "value", "message_id")


def line_of_trait(message_id: str, at: int, value: str) -> bytes:
    """One row of `trait_values`."""
    row = {"anchor_id": ANCHOR, "name": "city", "at": at, "value": value, "message_id": message_id}
    return msgspec.json.encode(row) + b"\n"
