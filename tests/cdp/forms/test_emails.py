"""E-mail addresses: what reaches the same mailbox reads the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.forms.emails import DOMAINS, PLUS_IS_A_TAG, canonical, is_address

LOCAL = st.from_regex(r"[a-z][a-z0-9]{6,12}", fullmatch=True)


@given(LOCAL, st.data())
def test_gmail_ignores_dots_case_and_what_follows_plus(local: str, data: st.DataObject) -> None:
    """Every way to write a Gmail address is the same mailbox."""
    place = data.draw(st.integers(1, len(local) - 1))
    dotted = f"{local[:place]}.{local[place:]}"
    for written in (dotted, dotted.upper(), f"{local}+shop"):
        assert canonical(f" {written}@gmail.com ") == f"{local}@gmail.com"
        assert canonical(f"{written}@GoogleMail.com") == f"{local}@gmail.com"


@given(LOCAL)
def test_elsewhere_dots_and_plus_count(local: str) -> None:
    """Other providers deliver dots and suffixes to other mailboxes."""
    assert canonical(f"{local}+x@outlook.com") == f"{local}+x@outlook.com"
    assert canonical(f"a.{local}@yahoo.com.vn") == f"a.{local}@yahoo.com.vn"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("lan.nguyen@gmial.com", "lannguyen@gmail.com"),
        ("lan.nguyen@gmail.con", "lannguyen@gmail.com"),
        ("lan.nguyen@gmail.com.vn", "lannguyen@gmail.com"),
        ("lan@yahoo.con", "lan@yahoo.com"),
        ("lan@hotmial.com", "lan@hotmail.com"),
        ("mailto:Lan@Example.com", "lan@example.com"),
        ("<lan@example.com>", "lan@example.com"),
        ("lan@example.com.", "lan@example.com"),
        ("\tx@y.co\n", "x@y.co"),
        ("le\u0302@example.vn", "lê@example.vn"),
    ],
)
def test_slips_are_mended(raw: str, expected: str) -> None:
    """Common slips of the domain, spaces, brackets and decomposed letters do not make another mailbox."""
    assert canonical(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        *("", "   ", "no-at-sign", "two@@at.com", "lan@", "@example.com", "lan@localhost", "a b@example.com"),
        *("na@na.com", "test@test.com", "no@no.com", "a@a.com", "noreply@shop.vn", "do-not-reply@shop.vn"),
        *("khongco@shop.vn", "khong.co@shop.vn", "na@company.vn", "test@example.com", "khachle@gmail.com"),
        *("khongco@gmail.com", "unknown@noemail.com", "abc@gmail.com", "null@example.com", "x" * 250 + "@a.vn"),
    ],
)
def test_what_is_nobodys_is_refused(raw: str) -> None:
    """What is no address, and what is typed because a form insists, identifies nobody."""
    assert canonical(raw) is None


@given(LOCAL, st.sampled_from(sorted(PLUS_IS_A_TAG)))
def test_tags_are_left_out_where_providers_say_so(local: str, domain: str) -> None:
    """What follows a plus is the reader's own note."""
    assert canonical(f"{local}+shop@{domain}") == canonical(f"{local}@{domain}") == f"{local}@{domain}"


@given(LOCAL, st.sampled_from(sorted(DOMAINS)))
def test_a_mended_domain_is_a_right_one(local: str, domain: str) -> None:
    """A slip leads to a domain that is none itself."""
    found = canonical(f"{local}@{domain}")
    assert found is not None
    assert found.endswith("@" + DOMAINS[domain])
    assert DOMAINS[domain] not in DOMAINS


@given(st.emails())
def test_what_is_written_as_an_address_has_its_form(raw: str) -> None:
    """Whoever is reached, only an address has a canonical form."""
    assert is_address(raw) or canonical(raw) is None


@given(st.text(max_size=40))
def test_no_text_raises(raw: str) -> None:
    """Any text is an address or None, and an address stays what it is."""
    found = canonical(raw)
    assert found is None or canonical(found) == found
