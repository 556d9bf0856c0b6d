"""Reads models and measures them; trains nothing to keep."""
