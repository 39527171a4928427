"""Secrets: the same for all processes, for their owner's eyes only."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from api.auth import WeakSecretError
from api.secrets import SecretsError, look_at_secrets, token_secret, webhook_secret


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """It is long, it stays, and the data directory is made for it."""
    directory = tmp_path / "data"
    first = token_secret(directory, {})
    assert len(first) >= 64
    assert token_secret(directory, {}) == first
    assert stat.S_IMODE((directory / "token.secret").stat().st_mode) == 0o600
    assert [each.name for each in directory.iterdir()] == ["token.secret"]


def test_those_who_start_together_agree(tmp_path: Path) -> None:
    """However many look at once, there is one secret."""
    for attempt in range(20):
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _, n=attempt: token_secret(tmp_path / str(n), {}), range(8)))
        assert len(found) == 1


def test_a_webhook_secret_is_one_of_standard_webhooks(tmp_path: Path) -> None:
    """What is made here, their library takes."""
    secret = webhook_secret(tmp_path, {})
    assert secret.startswith("whsec_")
    Webhook(secret)


def test_the_environment_comes_first_and_nothing_is_written(tmp_path: Path) -> None:
    """An operator with a vault keeps no secret on the disk."""
    given = {"LIVETILL_SECRET": "of the vault " * 3, "LIVETILL_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0" * 4}
    assert token_secret(tmp_path, given) == "of the vault " * 3
    assert webhook_secret(tmp_path, given) == "whsec_" + "c2VjcmV0" * 4
    assert look_at_secrets(tmp_path, given) == {
        "tokens": "from LIVETILL_SECRET",
        "webhooks": "from LIVETILL_WEBHOOK_SECRET",
    }
    assert not list(tmp_path.iterdir())


def test_a_secret_that_others_can_read_is_not_trusted(tmp_path: Path) -> None:
    """It may be known by now: the line says what to do."""
    token_secret(tmp_path, {})
    (tmp_path / "token.secret").chmod(0o644)
    for look in (token_secret, look_at_secrets):
        with pytest.raises(SecretsError, match="Others can read"):
            look(tmp_path, {})


@pytest.mark.parametrize("secret", ["c2VjcmV0" * 4, "whsec_", "whsec_not base64", "whsec_" + "c2VjcmV0" * 3])
def test_a_webhook_secret_of_another_form_is_refused(tmp_path: Path, secret: str) -> None:
    """Providers would sign by another key than we check by."""
    with pytest.raises(SecretsError, match="no Standard Webhooks secret"):
        webhook_secret(tmp_path, {"LIVETILL_WEBHOOK_SECRET": secret})
    with pytest.raises(SecretsError, match="no Standard Webhooks secret"):
        look_at_secrets(tmp_path, {"LIVETILL_WEBHOOK_SECRET": secret})


def test_a_doctor_judges_a_secret_as_a_server_does(tmp_path: Path) -> None:
    """What is too short to sign tokens is said to be."""
    with pytest.raises(WeakSecretError, match="at least 32 bytes"):
        look_at_secrets(tmp_path, {"LIVETILL_SECRET": "short"})


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    """A file without a secret would sign anything."""
    (tmp_path / "token.secret").touch(mode=0o600)
    with pytest.raises(SecretsError, match="is empty"):
        token_secret(tmp_path, {})
