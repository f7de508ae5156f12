"""Tests of webhooks with the resolver behind: who the people are, whatever the order and however often it is sent."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cdp.records import decode_resolved
from cdp.service import Platform
from cdp.settings import Settings
from cdp.streams.base import Log
from cdp.testing import FrozenClock
from cdp.topics import EVENTS_RAW, EVENTS_RESOLVED
from cdp.warehouse.loader import Loader
from identity.service import WING
from ingest.collector import Collector
from ingest.testing import Client
from tests.ingest.webhooks.conftest import Define
from tests.ingest.webhooks.senders import PATH, SECRET, Case, case
from tests.waiting import eventually
