"""Ids that are no person's."""

from __future__ import annotations

import pytest

from cdp.forms.traces import is_personal


@pytest.mark.parametrize(
    "name",
    [
        *("ios.push_token", "android.idfa", "ga_client_id", "_fbp", "gclid", "msclkid", "wbraid", "zclid", "group_id"),
        *("previous_id", "new_network_clid", " GCLID "),
    ],
)
def test_ids_of_things_are_not_a_persons(name: str) -> None:
    """Push tokens, advertising ids, cookies, click ids and companies never join people."""
    assert not is_personal(name)


@pytest.mark.parametrize("name", ["crm_id", "zalo_id", "Email", "mobile", "passport", "client_id"])
def test_other_ids_are(name: str) -> None:
    """Ids that are issued to people, and contacts, may join them."""
    assert is_personal(name)
