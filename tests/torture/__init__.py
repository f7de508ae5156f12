"""Tests that hurt the product on purpose."""
