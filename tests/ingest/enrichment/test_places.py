"""Where addresses are, by files of MaxMind's format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from ingest.enrichment.places import AGAIN, Places

CITY = {
    "country": {"iso_code": "VN", "names": {"en": "Vietnam"}},
    "subdivisions": [{"iso_code": "SG", "names": {"en": "Ho Chi Minh"}}],
    "city": {"names": {"en": "Ho Chi Minh City", "ru": "Хошимин"}},
    "location": {"latitude": 10.822, "longitude": 106.6257, "time_zone": "Asia/Ho_Chi_Minh"},
}
LOCATION = {
    "country": "Vietnam",
    "country_code": "VN",
    "region": "Ho Chi Minh",
    "region_code": "SG",
    "city": "Ho Chi Minh City",
    "timezone": "Asia/Ho_Chi_Minh",
}


def write(file: Path, entries: dict[str, Any]) -> None:
    """A file of MaxMind's format with these networks."""
    writer = MMDBWriter(6, "GeoIP2-City", languages=["en"], description="A test.", ipv4_compatible=True)
    for network, entry in entries.items():
        writer.insert_network(IPSet([network]), entry)
    fresh = file.with_suffix(".new")
    writer.to_db_file(str(fresh))
    fresh.replace(file)


class Watch:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def look(places: Places, address: str) -> Any:
    """What is known of an address, decoded."""
    found = places.of(address)
    return msgspec.json.decode(found) if found else None


def test_location(tmp_path: Path) -> None:
    """An address in the file has a location, without coordinates; others have none."""
    write(tmp_path / "geo.mmdb", {"14.160.0.0/16": CITY, "2402:800::/32": {"country": CITY["country"]}})
    places = Places(tmp_path / "geo.mmdb", tmp_path)
    assert look(places, "14.160.1.2") == LOCATION
    assert look(places, "2402:800:63a1::1") == {"country": "Vietnam", "country_code": "VN"}
    for other in ("8.8.8.8", "no address", "", "fe80::1%eth0", "999.1.1.1"):
        assert look(places, other) is None
    assert not list(tmp_path.glob("geo-*"))


def test_a_new_file_is_read(tmp_path: Path) -> None:
    """A file that changes is read anew within the half minute; one that breaks leaves the last good one in use."""
    file, watch = tmp_path / "geo.mmdb", Watch()
    places = Places(file, tmp_path, now=watch)
    assert look(places, "14.160.1.2") is None

    write(file, {"14.160.0.0/16": CITY})
    watch.seconds += AGAIN
    assert look(places, "14.160.1.2") == LOCATION

    moved = CITY | {"city": {"names": {"en": "Đà Lạt"}}}
    write(file, {"14.160.0.0/16": moved})
    os.utime(file, (1, 1))
    watch.seconds += AGAIN
    assert look(places, "14.160.1.2")["city"] == "Đà Lạt"

    file.write_bytes(file.read_bytes()[:-200])
    assert look(places, "14.160.7.7")["city"] == "Đà Lạt"  # cut off in place, while it is in use
    watch.seconds += AGAIN
    assert look(places, "14.160.8.8")["city"] == "Đà Lạt"


def test_a_file_of_another_layout(tmp_path: Path) -> None:
    """What is laid out otherwise finds nothing, and fails nobody."""
    write(tmp_path / "geo.mmdb", {"14.160.0.0/16": {"country": "VN"}, "14.161.0.0/16": "VN", "14.162.0.0/16": ["VN"]})
    places = Places(tmp_path / "geo.mmdb", tmp_path)
    assert [look(places, f"14.{part}.1.2") for part in (160, 161, 162)] == [None, None, None]


def test_without_a_file(tmp_path: Path) -> None:
    """No file, no location."""
    places = Places(None, tmp_path)
    assert not places.known
    assert look(places, "14.160.1.2") is None
