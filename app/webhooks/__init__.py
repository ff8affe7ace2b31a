"""Webhooks: what happened is sent, signed, to addresses that a client names (Standard Webhooks 1.0)."""
