"""Canonical forms: what people write in many ways, in one. Pure, and the same in every wing."""
