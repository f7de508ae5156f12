"""`cdp demo`: a Vietnamese shop's fortnight, sent through the real collector."""
