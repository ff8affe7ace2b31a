"""Signatures are those of the Standard Webhooks specification, as its own library verifies them."""

import base64
from datetime import UTC, datetime

import pytest

from app.webhooks.signing import SECRET_PREFIX, new_secret, sign, signed_headers

BODY = b'{"test": 2432232314}'


def test_the_example_of_the_specification() -> None:
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme"
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_has_256_random_bits_and_is_never_the_same() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(base64.b64decode(s.removeprefix(SECRET_PREFIX), validate=True)) == 32 for s in secrets)


def test_every_secret_in_force_verifies_and_no_other() -> None:
    library = pytest.importorskip("standardwebhooks", reason="standardwebhooks is not installed")
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = signed_headers([new, old], "msg_1", int(datetime.now(UTC).timestamp()), BODY)
    for secret in (old, new):
        assert library.Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
    for secret, body, sent in (
        (other, BODY, headers),
        (new, BODY + b" ", headers),
        (new, BODY, {**headers, "webhook-id": "msg_2"}),
        (new, BODY, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
    ):
        with pytest.raises(library.WebhookVerificationError):
            library.Webhook(secret).verify(body, sent)
