"""Telephone numbers and e-mail addresses in files: whether they are any, and the form under which people are known.

Spreadsheets take numbers for numbers: the zero in front gets lost (`912345678`), and is put back.
"""

from __future__ import annotations

import re

from cdp.forms import phones

TELEPHONE = re.compile(r"[+(]?\d[\d\s.()/-]{5,19}\d(?:\s*(?:ext|x|#|máy lẻ).*)?", re.IGNORECASE)
SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?e\+?\d+", re.IGNORECASE)


def restored(written: str, region: str) -> str:
    """A number that a spreadsheet took the zero of gets it back; any other stays as it is. Vietnam's only."""
    bare = written.replace(" ", "")
    return f"0{bare}" if region == phones.VIETNAM and phones.is_bare_mobile(bare) else written


def telephone(written: str, region: str) -> str | None:
    """A number as people write it → E.164; None when it is none, or reaches nobody. `region` is ISO 3166."""
    return phones.canonical(written, region) if TELEPHONE.fullmatch(written.strip()) else None


def trouble(written: str) -> str:
    """Why a number is none, in words."""
    if SCIENTIFIC.fullmatch(written.strip()):
        return "The spreadsheet cut its digits: format the column as text."
    return "This is no telephone number."


def masked(written: str) -> str:
    """What can be shown of a value: its shape, and just enough to find it again."""
    if "@" in written:
        local, _, domain = written.partition("@")
        return f"{local[:1]}•••@{domain[:1]}•••{domain[domain.rfind('.') :] if '.' in domain else ''}"
    if sum(sign.isdigit() for sign in written) >= 6:
        return f"{written[:3]}{'•' * min(max(1, len(written) - 5), 8)}{written[-2:]}"
    words = (word if len(word) < 2 else f"{word[0]}{'•' * min(len(word) - 1, 4)}" for word in written.split()[:4])
    return " ".join(words)
