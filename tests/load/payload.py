"""Events of the usual size (about 1,150 bytes), as a server SDK sends them."""

from __future__ import annotations

import random
import uuid

import orjson

WORDS = ("Áo dài lụa", "Giày chạy bộ", "Cà phê", "Nón lá", "Balo", "Tai nghe", "Gạo ST25", "Sữa tươi")


def event(number: int, *, people: int, seed: int = 0) -> dict[str, object]:
    """One track event of one of `people` customers; `number` and `seed` decide everything but the messageId."""
    choose = random.Random(seed * 1_000_003 + number)
    person = choose.randrange(people)
    return {
        "type": "track",
        "event": choose.choice(("Product Viewed", "Product Added", "Checkout Started", "Order Completed")),
        "messageId": str(uuid.uuid4()),
        "userId": f"user-{person:07d}",
        "anonymousId": str(uuid.UUID(int=person)),
        "timestamp": "2026-11-21T08:30:00.123Z",
        "properties": {
            "order_id": f"DH{number:09d}",
            "total": choose.randrange(10, 500) * 10_000,
            "currency": "VND",
            "products": [
                {"product_id": f"sku-{choose.randrange(400)}", "name": choose.choice(WORDS), "price": 199_000}
                for _ in range(4)
            ],
        },
        "context": {
            "ip": "14.160.1.2",
            "locale": "vi-VN",
            "timezone": "Asia/Ho_Chi_Minh",
            "userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15",
            "page": {"path": "/p/12", "url": "https://shop.vn/p/12?utm_source=facebook", "title": "Áo dài lụa"},
            "campaign": {"source": "facebook", "medium": "cpc", "name": "tet-2027"},
            "library": {"name": "analytics-node", "version": "3.1.0"},
        },
    }


def single(number: int, *, people: int = 10_000) -> bytes:
    """The body of POST /v1/track."""
    return orjson.dumps(event(number, people=people))


def batch(number: int, *, size: int = 100, people: int = 10_000) -> bytes:
    """The body of POST /v1/batch."""
    return orjson.dumps({"batch": [event(number * size + index, people=people) for index in range(size)]})
