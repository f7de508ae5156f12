"""The code in docs/how-to/trust.md, run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cdp.clock import SystemClock
from ingest.signatures import Claim, SignedIdentity, verifier_of
from tests.ingest.test_signatures import MAIL, SECRET, signed

PAGE = (Path(__file__).parents[2] / "docs/how-to/trust.md").read_text(encoding="utf-8")


def blocks(language: str) -> str:
    """The page's code in a language."""
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def test_the_python_code_makes_what_is_checked() -> None:
    """Signatures and tokens that a shop makes by the page are good here."""
    made: dict[str, Any] = {}
    exec(blocks("python"), made)
    assert made["cdp_signature"](SECRET, "lan") == signed("lan")
    assert made["cdp_contact_signature"](SECRET, "lan", "email", MAIL.value) == signed(f"lan\nemail\n{MAIL.value}")
    wanted = SignedIdentity.model_validate({"mode": "enforce", "method": "HS256", "secrets": [SECRET]})
    proof = {"token": made["cdp_token"](SECRET, "lan", MAIL.value)}
    verifier_of(wanted).check("lan", [Claim("userId", "lan", "userId"), MAIL], proof, SystemClock().now())


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here")
def test_the_node_code_makes_the_same() -> None:
    """Letters beyond ASCII included."""
    code = blocks("js").split("analytics.")[0]
    code += (
        f'console.log(cdpSignature({SECRET!r}, "Lân"), cdpContactSignature({SECRET!r}, "Lân", "email", "l@shop.vn"))'
    )
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == [signed("Lân"), signed("Lân\nemail\nl@shop.vn")]


def test_the_php_code_says_the_same() -> None:
    """PHP is rarely at hand: at least it names the hash and the three lines."""
    code = blocks("php")
    assert "hash_hmac('sha256', $userId, $secret)" in code
    assert "hash_hmac('sha256', \"$userId\\n$name\\n$value\", $secret)" in code
