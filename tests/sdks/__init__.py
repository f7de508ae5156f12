"""Official SDKs of Segment, RudderStack and their kin, unchanged, against the real product in processes of its own.

    story ─► driver (node, Python, a page in Chromium) ─► SDK ─► gate ─► collector ─► … ─► GET /api/v1/events

`sdks` is the table of SDKs, `story` what each is told, `drivers/` how each is told, `gate` what happens on the way.
To add an SDK: a driver of a few lines, its package in package.json or in the extra `dev`, a row in `sdks`.
"""
