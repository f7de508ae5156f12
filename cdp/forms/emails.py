"""E-mail addresses in one written form: what reaches the same mailbox reads the same."""

from __future__ import annotations

import re
import unicodedata

ADDRESS = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@[^\s@\"(),:;<>\[\]\\.]+(?:\.[^\s@\"(),:;<>\[\]\\.]+)+")
LONGEST = 254

GMAIL = "gmail.com"
# Domains that belong to no mailbox provider, or to the same one: what was written → what was meant.
DOMAINS = {
    wrong: right
    for right, wrongs in {
        GMAIL: "googlemail.com gmial.com gamil.com gmai.com gmal.com gnail.com gmaill.com gmil.com gmail.co gmail.cm "
        "gmail.om gmail.vn gmail.com.vn",
        "yahoo.com": "yaho.com yahooo.com yhoo.com yahoo.co yahoo.cm",
        "hotmail.com": "hotmial.com hotmal.com hotmai.com hotmil.com hotmail.co hotmail.cm",
        "outlook.com": "outlok.com outloo.com outlook.co",
        "icloud.com": "iclod.com icoud.com icloud.co",
    }.items()
    for wrong in wrongs.split()
}
# Endings that are no top-level domain.
ENDINGS = {"con": "com", "cmo": "com", "ocm": "com", "comm": "com", "cpm": "com", "xom": "com", "vnn": "vn"}

NOBODY = re.compile(
    r"""(?:no|do[_-]?not)[_-]?reply|no[_-]?e?mail|none|null|undefined|unknown|n/?a|anonymous|guest|nobody|
    khong|khongco|khongcoe?mail|khongbiet|khachle""",
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
    if domain == GMAIL:
        local = local.partition("+")[0].replace(".", "")
    return None if not local or _is_placeholder(local, domain) else f"{local}@{domain}"


def _address(raw: str) -> str | None:
    text = unicodedata.normalize("NFC", raw).strip().strip("<>.,;").lower().removeprefix("mailto:")
    return text if len(text) <= LONGEST and ADDRESS.fullmatch(text) else None


def _is_placeholder(local: str, domain: str) -> bool:
    if NOBODY.fullmatch(local) or (domain == f"{local}.com" and len(local) <= LONGEST_PLACEHOLDER):
        return True
    return domain == GMAIL and TYPED_AT_RANDOM.fullmatch(local) is not None
