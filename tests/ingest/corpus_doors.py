"""Bad and odd requests at the doors beside the tracking API, and what must become of each.

A case is a whole request. Its answer has one of the statuses named, and the code where one is; so many events are
stored. What holds of every case stands in `test_corpus_doors.py`: no 500, nobody waits, no secret is told, and whoever
comes next is served.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

KEY = "wk_doors_0123456789"
SOURCE = "doors"
SECRET = "canary-webhook-secret-0123456789"
IDENTITY_SECRET = "canary-identity-secret-0123456789"
SECRETS = (SECRET, IDENTITY_SECRET)
PAGE = "https://www.shop.vn"
# The source that every case but those that name another knocks at.
BODY: dict[str, Any] = {
    "name": "Doors",
    "allowed_origins": ["https://*.shop.vn"],
    "redirect_hosts": ["shop.vn", "*.shop.vn"],
    "id_cookie": {"days": 30},
    "identity": {"mode": "enforce", "method": "hmac", "secrets": [IDENTITY_SECRET]},
    "webhook": {"preset": "shopify", "signature": {"secrets": [SECRET]}},
}
HOOK = f"/v1/webhooks/{SOURCE}"
PIXEL, CLICK, COOKIE = (f"{path}?writeKey={KEY}" for path in ("/v1/pixel.gif", "/v1/click", "/v1/id"))
LONG = "x" * 100_000
DEEP = b"[" * 100_000 + b"]" * 100_000
DEEP_OBJECT = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
LATIN = b'{"x":"\xe9\xff"}'


class Knock(NamedTuple):
    """A request, and what must come of it. `stored` of None: whatever it is, it is sound."""

    name: str
    method: str
    path: str
    statuses: tuple[int, ...]
    code: str = ""
    stored: int | None = 0
    headers: Mapping[str, str] = MappingProxyType({})
    parts: tuple[bytes | None, ...] = (b"",)

    @property
    def door(self) -> str:
        """The first word of its name."""
        return self.name.split(":")[0].split()[0].rstrip(",")


def get(name: str, path: str, *statuses: int, code: str = "", stored: int | None = 0, **headers: str) -> Knock:
    """A GET; header names with underscores."""
    return Knock(name, "GET", path, statuses, code, stored, _named(headers))


def post(
    name: str, path: str, body: bytes, *statuses: int, code: str = "", stored: int | None = 0, **headers: str
) -> Knock:
    """A POST."""
    return Knock(name, "POST", path, statuses, code, stored, _named(headers), (body,))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def hook(
    name: str, body: bytes, *statuses: int, code: str = "", stored: int | None = 0, topic: str = "orders/create"
) -> Knock:
    """A webhook with its right signature."""
    digest = base64.b64encode(hmac.digest(SECRET.encode(), body, hashlib.sha256)).decode()
    return post(
        f"webhook: {name}",
        HOOK,
        body,
        *statuses,
        code=code,
        stored=stored,
        X_Shopify_Hmac_Sha256=digest,
        X_Shopify_Topic=topic,
        X_Shopify_Webhook_Id="w-1",
        Content_Type="application/json",
    )


def data(value: bytes) -> str:
    """Base64 for a query."""
    return quote(base64.b64encode(value).decode())


def coded(name: str, value: bytes, *statuses: int, path: str = PIXEL) -> Knock:
    """An image request whose event stands in `data`."""
    return get(f"pixel: data is {name}", f"{path}&data={data(value)}", *statuses)


PIXELS = [
    get("pixel: plain", f"{PIXEL}&event=Opened&anonymousId=a", 200, stored=1),
    get("pixel: nobody", f"{PIXEL}&event=Opened", 200, stored=1),
    get("pixel: no key", "/v1/pixel.gif?event=Opened", 401),
    get("pixel: unknown key", "/v1/pixel.gif?writeKey=nope&event=Opened", 401),
    get("pixel: key with NUL", "/v1/pixel.gif?writeKey=%00&event=Opened", 401),
    get("pixel: key of bytes", "/v1/pixel.gif?writeKey=%ff%fe&event=Opened", 401),
    get("pixel: long key", f"/v1/pixel.gif?writeKey={LONG}", 401),
    get("pixel: two keys", f"{PIXEL}&writeKey=other&event=E", 200, stored=1),
    get("pixel: bytes that are no UTF-8", f"{PIXEL}&event=%ff%fe&anonymousId=%c3%28", 200, stored=1),
    get("pixel: raw bytes", f"{PIXEL}&event=é&anonymousId=\u202e", 200, stored=None),
    get("pixel: NUL", f"{PIXEL}&event=a%00b", 200, stored=None),
    get("pixel: broken escapes", f"{PIXEL}&event=%&x=%zz&y=%u0041", 200, stored=1),
    get("pixel: 10,000 parameters", PIXEL + "&a=1" * 10_000, 200, stored=None),
    get("pixel: 10,000 names", PIXEL + "".join(f"&k{n}=1" for n in range(10_000)), 200, stored=None),
    get("pixel: a long value", f"{PIXEL}&event=E&properties.x={LONG}", 200, stored=None),
    get("pixel: a long name", f"{PIXEL}&{LONG}=1", 200, stored=None),
    get("pixel: a long userId", f"{PIXEL}&userId={LONG}", 200),
    get("pixel: dots", f"{PIXEL}&.=1&..=2&a..b=3&{'a.' * 10_000}b=4", 200, stored=None),
    get("pixel: names that contradict", f"{PIXEL}&event=E&properties=1&properties.x=2&context=5", 200),
    get("pixel: context.traits is text", f"{PIXEL}&event=E&context.traits=x", 200),
    get("pixel: a userId without proof", f"{PIXEL}&event=E&userId=lan", 200),
    get("pixel: an address without proof", f"{PIXEL}&event=E&email=lan@shop.vn", 200),
    get("pixel: it is verified, it says", f"{PIXEL}&event=E&userId=lan&verified=true&vouched=1", 200),
    get("pixel: a wrong proof", f"{PIXEL}&event=E&userId=lan&context.identity.signature={'0' * 64}", 200),
    get("pixel: a proof that is text", f"{PIXEL}&event=E&userId=lan&context.identity=x", 200),
    get("pixel: unknown type", f"{PIXEL}&type=purchase&anonymousId=a", 200),
    get("pixel: no such type of path", f"/v1/pixel/purchase?writeKey={KEY}", 404),
    get("pixel: a time that is none", f"{PIXEL}&event=E&timestamp=yesterday", 200),
    get("pixel: prototype", f"{PIXEL}&event=E&__proto__.admin=1&constructor.prototype.x=1", 200, stored=1),
    get("pixel: no page's origin", f"{PIXEL}&event=E", 403, Origin="https://evil.example"),
    get("pixel: headers of bytes", f"{PIXEL}&event=E", 200, stored=1, User_Agent="\udcff\x01", Referer="\udcfe"),
    get("pixel: a long referrer", f"{PIXEL}&event=E", 200, stored=1, Referer=f"https://x.vn/{LONG}"),
    get("pixel: cookies that are none", f"{PIXEL}&event=E", 200, stored=1, Cookie='__Host-cdp_doors="; \\ =;;=,'),
    coded("a list", b"[]", 400),
    coded("no JSON", b"{", 400),
    get("pixel: data is no base64", f"{PIXEL}&data=!!!", 400),
    get("pixel: data is cut off", f"{PIXEL}&data=e30=e", 400),
    coded("no UTF-8", LATIN, 400),
    coded("deep", DEEP, 400),
    coded("an object too deep", DEEP_OBJECT, 400),
    coded("huge numbers", b'{"event":"E","properties":{"x":1e999}}', 400, 200),
    coded("a key of a wrong kind", b'{"writeKey":5,"event":"E"}', 401, path="/v1/pixel/track?x=1"),
    coded("parts of a wrong kind", b'{"type":5,"event":[],"anonymousId":{},"context":7}', 200),
    Knock("pixel: POST", "POST", PIXEL, (405,), "method_not_allowed"),
    Knock("pixel: HEAD", "HEAD", PIXEL, (200,)),
    Knock("pixel: a method that is none", "BREW", PIXEL, (405,), "method_not_allowed"),
    Knock("pixel: OPTIONS", "OPTIONS", PIXEL, (204,)),
]
TARGETS = [
    "",
    "shop.vn",
    "//shop.vn",
    "https:shop.vn",
    "https:/shop.vn",
    "https://",
    "https://evil.example",
    "https://shop.vn.evil.example",
    "https://evilshop.vn",
    "https://shop.vn@evil.example",
    "https://shop.vn%40evil.example",
    "https://evil.example#shop.vn",
    "https://evil.example?shop.vn",
    "https://evil.example\\@shop.vn",
    "https://shop.vn\\.evil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//shop.vn",
    "data:text/html,x",
    "ftp://shop.vn",
    "https://shop.vn:99999",
    "https://shop.vn:8443",
    "https://[::1",
    "https://[::1]/",
    "https://127.0.0.1/",
    "https://shop.vn\r\nSet-Cookie: a=b",
    "https://shop.vn/\nX: y",
    "https://shop.vn\t.evil.example",
    " https://evil.example",
    "\x00https://shop.vn",
    "https://shop。vn.evil.example",
    "https://user:pass@shop.vn",
    "http:///shop.vn",
    "https://shop.vn/" + "a" * 50_000,
    "https://" + "a" * 5_000 + ".shop.vn",
]
# Of these some are not refused but made harmless, or fine; none may lead to a host that the source does not name.
CLICKS = [
    *(get(f"click to {target[:40]!r}", f"{CLICK}&url={quote(target)}", 302, 400, stored=None) for target in TARGETS),
    *(
        get(f"click, raw, to {target[:40]!r}", f"{CLICK}&url={target}", 302, 400, stored=None)
        for target in TARGETS
        if target.isascii() and target.isprintable() and "?" not in target
    ),
    get("click: fine", f"{CLICK}&url=https://shop.vn/a&anonymousId=a", 302, stored=1),
    get("click: no target", CLICK, 400),
    get("click: two targets", f"{CLICK}&url=https://evil.example&url=https://shop.vn", 400),
    get("click: unknown key", "/v1/click?writeKey=nope&url=https://shop.vn/", 302),
    get("click: unknown key, other target", "/v1/click?writeKey=nope&url=https://evil.example/", 400),
    get("click: a userId without proof", f"{CLICK}&url=https://shop.vn/&userId=lan", 302),
    get("click: data that is none", f"{CLICK}&url=https://shop.vn/&data=!", 302),
    get("click: deep data", f"{CLICK}&url=https://shop.vn/&data={data(DEEP)}", 302),
    get("click: names that contradict", f"{CLICK}&url=https://shop.vn/&properties=1&context=2", 302),
    get("click: bytes", f"{CLICK}&url=https://shop.vn/%ff%fe&event=%ff", 302, 400, stored=None),
    get("click: half an emoji", f"{CLICK}&url=https://shop.vn/%ed%a0%80", 302, 400, stored=None),
    Knock("click: POST", "POST", CLICK, (405,), "method_not_allowed"),
    Knock("click: HEAD", "HEAD", f"{CLICK}&url=https://shop.vn/", (302,)),
]
WEBHOOKS = [
    post("webhook: no signature", HOOK, b"{}", 401),
    post("webhook: wrong signature", HOOK, b"{}", 401, X_Shopify_Hmac_Sha256="AAAA"),
    post("webhook: a signature of bytes", HOOK, b"{}", 401, X_Shopify_Hmac_Sha256="\udcff\udcfe"),
    post("webhook: a long signature", HOOK, b"{}", 401, X_Shopify_Hmac_Sha256=LONG),
    post("webhook: the write key instead", HOOK, b"{}", 401, Authorization=f"Bearer {KEY}"),
    post("webhook: unknown source", "/v1/webhooks/nobody", b"{}", 404, code="unknown_source"),
    post("webhook: a source of bytes", "/v1/webhooks/%ff", b"{}", 404),
    post("webhook: a source above", "/v1/webhooks/..%2f..", b"{}", 404),
    post("webhook: a long source", f"/v1/webhooks/{LONG}", b"{}", 404),
    post("webhook: a source without one", "/v1/webhooks/plain", b"{}", 404, code="no_webhook"),
    Knock("webhook: GET", "GET", HOOK, (401, 405)),
    Knock("webhook: PUT", "PUT", HOOK, (405,), "method_not_allowed"),
    hook("no body", b"", 400, code="empty_body"),
    hook("spaces", b"  \n", 400, code="empty_body"),
    *(
        hook(name, body, 200, stored=None)
        for name, body in {
            "no JSON": b"{",
            "a list": b"[]",
            "a number": b"5",
            "null": b"null",
            "text": b'"x"',
            "NaN": b'{"id":NaN}',
            "a huge number": b'{"id":1e999,"total_price":1e999}',
            "not UTF-8": LATIN,
            "binary": bytes(range(256)),
            "deep": DEEP,
            "a deep object": DEEP_OBJECT,
            "BOM": b'\xef\xbb\xbf{"id":1}',
            "half an emoji": b'{"id":"\\ud83d"}',
            "NUL": b'{"id":"\\u0000","email":"\\u0000"}',
            "duplicate keys": b'{"id":1,"id":2}',
            "an empty object": b"{}",
            "wrong types": b'{"id":{},"customer":5,"line_items":"x","total_price":[],"email":7,"created_at":{}}',
            "line items of all kinds": b'{"id":1,"line_items":[null,5,"x",[],{"price":{}}],"customer":{"id":[]}}',
            "times that are none": b'{"id":1,"created_at":"yesterday","updated_at":99999999999999999999}',
            "500,000 line items": b'{"id":1,"line_items":[' + b"{}," * 500_000 + b"{}]}",
            "a million numbers": b'{"id":1,"line_items":[' + b"1," * 1_000_000 + b"1]}",
            "a template": b'{"id":"{{7*7}} ${jndi:ldap://x}","note":"=cmd|x"}',
        }.items()
    ),
    hook("unknown topic", b'{"id":1}', 200, topic="no/such"),
    hook("a topic of bytes", b'{"id":1}', 200, topic="\udcff"),
    hook("larger than the limit", b'{"id":"' + b"x" * 5_100_000 + b'"}', 400, code="body_too_large"),
    post("webhook: gzip that is none", HOOK, b"x", 400, code="invalid_gzip", Content_Encoding="gzip"),
    post("webhook: bomb", HOOK, gzip.compress(b"0" * 50_000_000), 400, code="body_too_large", Content_Encoding="gzip"),
    Knock("webhook: a client that hangs up", "POST", HOOK, (0,), "", 0, {}, (b"{", None)),
]
ORIGIN = {"Origin": PAGE}
COOKIES = [
    Knock("cookie: fine", "GET", COOKIE, (200,), "", 0, ORIGIN),
    get("cookie: no key", "/v1/id", 401),
    get("cookie: unknown key", "/v1/id?writeKey=%00", 401),
    get("cookie: another page", COOKIE, 403, code="origin_not_allowed", Origin="https://evil.example"),
    get("cookie: null", COOKIE, 403, code="origin_not_allowed", Origin="null"),
    get("cookie: an origin of bytes", COOKIE, 403, Origin="\udcff\udcfe"),
    get("cookie: a long origin", COOKIE, 403, Origin=f"https://{LONG}"),
    *(
        Knock(f"cookie: jar {jar[:30]!r}", "GET", COOKIE, (200,), "", 0, {**ORIGIN, "Cookie": jar})
        for jar in (
            "",
            ";",
            "=",
            "a",
            "a=b=c",
            "__Host-cdp_doors=",
            "__Host-cdp_doors=../../x",
            f"__Host-cdp_doors={LONG}",
            "__Host-cdp_doors=<script>",
            '__Host-cdp_doors="\\',
            "\udcff=\udcff",
            ";".join(f"c{n}=1" for n in range(5_000)),
            "__Host-cdp_doors=a; __Host-cdp_doors=b",
            "$Version=1; __Host-cdp_doors=x",
            "__Host-cdp_doors=a\r\nX: y",
        )
    ),
    *(
        Knock(f"cookie: brought {body[:30]!r}", "POST", COOKIE, statuses, "", 0, ORIGIN, (body,))
        for body, statuses in {
            b"": (200,),
            b"{}": (200,),
            b"null": (400,),
            b"[]": (400,),
            b"5": (400,),
            b"{": (400,),
            LATIN: (400, 200),
            DEEP: (400,),
            b'{"anonymousId":5}': (200,),
            b'{"anonymousId":null,"renew":"yes"}': (200,),
            b'{"anonymousId":{"x":[]}}': (200,),
            b'{"anonymousId":"<script>"}': (200,),
            b'{"anonymousId":"a\\r\\nSet-Cookie: x=y"}': (200,),
            b'{"anonymousId":"%s"}' % (b"x" * 100_000): (200,),
            b'{"x":1e999}': (400,),
            b'{"anonymousId":"\\ud83d"}': (400, 200),
        }.items()
    ),
    Knock("cookie: POST without a page", "POST", COOKIE, (403,), "origin_not_allowed", 0, {}, (b"{}",)),
    Knock("cookie: DELETE", "DELETE", COOKIE, (405,), "method_not_allowed"),
]
SETTINGS = [
    *(
        get(f"settings: {name}", f"/v1/projects/{name}/settings", 404)
        for name in (
            "nope",
            "%00",
            "%ff",
            "..%2f..",
            "<script>",
            "x" * 5_000,
            "%F0%9F%98%80",
            "{{7*7}}",
            "'; DROP TABLE x",
        )
    ),
    get("settings: the key", f"/v1/projects/{KEY}/settings", 200),
    get("settings: a host of bytes", f"/v1/projects/{KEY}/settings", 200, Host="\udcff\udcfe"),
    get("settings: a host with markup", f"/v1/projects/{KEY}/settings", 200, Host='"><script>'),
    get("settings: a long host", f"/v1/projects/{KEY}/settings", 200, Host=LONG),
    get("source config: no key", "/sourceConfig/", 401),
    get("source config: unknown key", "/sourceConfig?writeKey=%ff", 401),
    get("source config: broken authorization", "/sourceConfig", 401, Authorization="Basic ====\udcff"),
    get("script: no such build", "/cdp/0000.js", 404),
    get("script: a path above", "/cdp/../../etc/passwd", 404),
    get("script: odd tags", "/cdp.js", 200, If_None_Match='W/"x", *, "\udcff', Accept_Encoding="\udcff;q=z"),
    post("counts: anything", "/v1/m", bytes(range(256)), 200),
    post("counts: a bomb", "/v1/m", gzip.compress(b"0" * 50_000_000), 200, Content_Encoding="gzip"),
]
AUTH = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}
ANONYMOUS = b'{"type":"track","event":"E","anonymousId":"a"}'


def event(name: str, identity: Any, stored: int = 0, **more: Any) -> Knock:
    """A track event of `lan` with whatever stands in the place of a proof."""
    body = json.dumps({"event": "E", "userId": "lan", "context": {"identity": identity}, **more}).encode()
    return Knock(f"proof: {name}", "POST", "/v1/track", (200,), "", stored, AUTH, (body,))


GOOD = {"signature": hmac.digest(IDENTITY_SECRET.encode(), b"lan", hashlib.sha256).hex()}
LAN = b'{"event":"E","userId":"lan"}'
IDENTITIES: list[Any] = [
    *(None, 5, "x", [], {}, True, {"email": "x"}, {"token": None}, {"token": "a.b.c"}, {"token": "." * 10_000}),
    *({"token": [1]}, {"signature": None}, {"signature": 5}, {"signature": {}}, {"signature": "é"}),
    *({"signature": "0" * 64}, {"signature": LONG}, {"signature": "\x00" * 64}, {"signature": "\ud83d"}),
    {"signature": IDENTITY_SECRET},
]


def raw(name: str, path: str, body: bytes, *, stored: int | None = 0, **headers: str) -> Knock:
    """An event as bytes."""
    return Knock(f"proof: {name}", "POST", path, (200,), "", stored, {**AUTH, **_named(headers)}, (body,))


PROOFS = [
    *(event(f"{number}: {str(one)[:30]!r}", one) for number, one in enumerate(IDENTITIES)),
    event("good", GOOD, 1),
    event("good, of the wrong one", GOOD, userId="minh"),
    raw("a header of bytes", "/v1/track", LAN, X_Identity_Proof="\udcff"),
    raw("a long header", "/v1/track", LAN, X_Identity_Proof=LONG),
    raw(
        "beside a batch, of a wrong kind",
        "/v1/batch",
        b'{"batch":[%s],"context":{"identity":[[]]}}' % ANONYMOUS,
        stored=1,
    ),
    raw(
        "a huge number in it",
        "/v1/track",
        b'{"event":"E","anonymousId":"a","context":{"identity":{"x":1e999}}}',
        stored=None,
    ),
    raw(
        "external ids of all kinds",
        "/v1/track",
        b'{"event":"E","anonymousId":"a","context":{"externalIds":[null,5,"x",[],{},{"type":{},"id":[]},{"id":1e999}]}}',
        stored=None,
    ),
    raw(
        "traits of huge numbers",
        "/v1/identify",
        b'{"anonymousId":"a","traits":{"email":1e999,"name":[1e999]}}',
        stored=None,
    ),
]

DOORS: list[Knock] = [*PIXELS, *CLICKS, *WEBHOOKS, *COOKIES, *SETTINGS, *PROOFS]
