"""E-mail addresses in one written form: what reaches the same mailbox reads the same."""

from __future__ import annotations

import re
import unicodedata

ADDRESS = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@[^\s@\"(),:;<>\[\]\\.]+(?:\.[^\s@\"(),:;<>\[\]\\.]+)+")
LONGEST = 254

GMAIL = "gmail.com"
# Domains that belong to no mailbox provider, or to the same one: what was written → what was meant. Slips are those
# that the lists of mailcheck, email_typo (both MIT) and others of their kind agree on. Other domains of the same
# provider (`yahoo.com.vn`, `ymail.com`, `hotmail.fr`) have mailboxes of their own and stay.
DOMAINS = {
    wrong: right
    for right, wrongs in {
        GMAIL: "googlemail.com gmial.com gamil.com gmai.com gmal.com gnail.com gmaill.com gmil.com gmali.com gmaul.com "
        "gmaio.com gmailc.om gimail.com gmail.co gmail.cm gmail.om gmail.cim gmail.vn gmail.com.vn "
        "gmail.con.vn",
        "yahoo.com": "yaho.com yahooo.com yhoo.com yhaoo.com yaoo.com yahho.com yahoo.co yahoo.cm yahoo.om",
        "yahoo.com.vn": "yaho.com.vn yahooo.com.vn yahoo.con.vn yhoo.com.vn",
        "hotmail.com": "hotmial.com hotmal.com hotmai.com hotmil.com hotmali.com hotmaill.com hotmaio.com hottmail.com "
        "hormail.com hotrmail.com hotmail.co hotmail.cm hotmail.om",
        "outlook.com": "outlok.com outloo.com outllook.com outlool.com putlook.com outlook.co outlook.cm outlook.om",
        "icloud.com": "iclod.com icoud.com iclould.com icloud.co icloud.cm icloud.om",
    }.items()
    for wrong in wrongs.split()
}
# Endings that are no top-level domain.
ENDINGS = {
    "con": "com",
    "cmo": "com",
    "ocm": "com",
    "comm": "com",
    "cpm": "com",
    "xom": "com",
    "vom": "com",
    "vnn": "vn",
}
# Providers that say in their help pages that they deliver `name+anything` to `name`, whatever the account's settings.
# Outlook.com does so too, but promises it for Exchange only; so its tags count.
PLUS_IS_A_TAG = frozenset(
    (
        *(GMAIL, "proton.me", "protonmail.com", "protonmail.ch", "pm.me", "fastmail.com", "fastmail.fm", "mailbox.org"),
        *("yandex.com", "yandex.ru", "ya.ru"),
    )
)

NOBODY = re.compile(
    r"""(?:no|do[_-]?not)[_.-]?reply|no[_-]?e?mail|none|null|nil|undefined|unknown|n/?a|anonymous|guest|nobody|noname|
    tests?|testing|tester|fake|khachhang|khach|
    khong|khongco|khongcoe?mail|khongbiet|khong[_.-]co|ko|koco|kocoe?mail|khachle|khach[_.-]le|chuaco|chuacoe?mail""",
    re.VERBOSE,
)
LONGEST_PLACEHOLDER = 5  # na@na.com, test@test.com, email@email.com
TYPED_AT_RANDOM = re.compile(r"a{1,3}|x{1,3}|abc|123|asdf?")


def is_address(raw: str) -> bool:
    """Whether it has the form of an address, whoever's it may be."""
    return _address(raw) is not None


def canonical(raw: str) -> str | None:
    """An address as people write it → the address of the mailbox; None when it is none, or nobody's."""
    text = _address(raw)
    if text is None:
        return None
    local, _, domain = text.rpartition("@")
    name, _, ending = domain.rpartition(".")
    domain = f"{name}.{ENDINGS.get(ending, ending)}"
    domain = DOMAINS.get(domain, domain)
    if domain in PLUS_IS_A_TAG:
        local = local.partition("+")[0]
    if domain == GMAIL:
        local = local.replace(".", "")
    return None if not local or _is_placeholder(local, domain) else f"{local}@{domain}"


def _address(raw: str) -> str | None:
    text = unicodedata.normalize("NFC", raw).strip().strip("<>.,;").lower().removeprefix("mailto:")
    return text if len(text) <= LONGEST and ADDRESS.fullmatch(text) else None


def _is_placeholder(local: str, domain: str) -> bool:
    if NOBODY.fullmatch(local) or (domain == f"{local}.com" and len(local) <= LONGEST_PLACEHOLDER):
        return True
    return domain == GMAIL and TYPED_AT_RANDOM.fullmatch(local) is not None
