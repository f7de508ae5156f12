"""Tests of the record linker, each module by what it promises and all together against a stupid oracle."""
