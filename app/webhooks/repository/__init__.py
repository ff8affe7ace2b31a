"""Webhooks in the database: `endpoints` a client keeps, `outbox` what is to be sent, `sending` who sends it."""
