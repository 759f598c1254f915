"""Requests of ours to addresses that clients name: to public ones alone, and never through a proxy."""
