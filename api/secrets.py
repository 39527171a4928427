"""The two secrets of a shop: one signs tokens, the other the payment provider's callbacks.

They come from the environment, where an operator with a vault puts them, or else from files in the data directory that
only their owner can read, made at first use. Processes that start together agree: a file is written whole beside its
place and linked there, which only the first of them can do; all read what stands there then.
"""

import base64
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

TOKENS: Final = ("LIVETILL_SECRET", "LIVETILL_JWT_SECRET")
WEBHOOKS: Final = ("LIVETILL_WEBHOOK_SECRET",)
UNMADE: Final = "made at first use"
PREFIX: Final = "whsec_"
"""How Standard Webhooks mark a secret; base64 follows."""
_BYTES: Final = 32
_FEWEST_BYTES: Final = 24
"""What Standard Webhooks ask for at least."""


class SecretsError(Exception):
    """A secret cannot be kept or must not be trusted; one line that says what to do."""


def token_secret(
    data_dir: Path, environment: Mapping[str, str] = os.environ, *, made: Callable[[Path], object] = lambda _: None
) -> str:
    """Return the secret that signs tokens; ``made`` is told of the file if it had to be made."""
    return _given(TOKENS, environment) or _kept(data_dir / "token.secret", _new_token_secret, made)


def webhook_secret(data_dir: Path, environment: Mapping[str, str] = os.environ) -> str:
    """Return the secret that signs the payment provider's callbacks, as Standard Webhooks write it."""
    secret = _given(WEBHOOKS, environment) or _kept(data_dir / "webhook.secret", _new_webhook_secret)
    if not _is_webhook_secret(secret):
        problem = f"it must be {PREFIX} and base64 of at least {_FEWEST_BYTES} bytes"
        raise SecretsError(f"{WEBHOOKS[0]} is no Standard Webhooks secret: {problem}")
    return secret


def _given(names: tuple[str, ...], environment: Mapping[str, str]) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def _new_token_secret() -> str:
    return secrets.token_urlsafe(_BYTES * 2)


def _new_webhook_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def _is_webhook_secret(secret: str) -> bool:
    try:
        known = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        return secret.startswith(PREFIX) and len(known) >= _FEWEST_BYTES
    except ValueError:
        return False


def _kept(path: Path, make: Callable[[], str], made: Callable[[Path], object] = lambda _: None) -> str:
    """Return the secret in a file, made if there is none."""
    try:
        if not path.exists() and _write_first(path, make()):
            made(path)
        return _read(path)
    except OSError as error:
        raise SecretsError(
            f"The secret {path} cannot be used ({error.strerror}): check the directory, or set it in the environment"
        ) from error


def _write_first(path: Path, secret: str) -> bool:
    """Put a secret where none is, and tell whether we did; one that another process was faster to put there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError:
        return False
    finally:
        Path(fresh).unlink(missing_ok=True)
    return True


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise SecretsError(f"Others can read the secret {path}: remove it to have a new one made, or chmod 600 it")
    secret = path.read_text().strip()
    if not secret:
        raise SecretsError(f"The secret {path} is empty: remove it to have a new one made")
    return secret


def look_at_secrets(data_dir: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Say where each secret comes from, and make none; an error, as when serving, when one must not be trusted."""
    from api.auth import strong

    tokens = _place_of(TOKENS, data_dir / "token.secret", environment)
    webhooks = _place_of(WEBHOOKS, data_dir / "webhook.secret", environment)
    if tokens != UNMADE:
        strong(token_secret(data_dir, environment))
    if webhooks != UNMADE:
        webhook_secret(data_dir, environment)
    return {"tokens": tokens, "webhooks": webhooks}


def _place_of(names: tuple[str, ...], path: Path, environment: Mapping[str, str]) -> str:
    given = next((name for name in names if environment.get(name)), None)
    if given is not None:
        return f"from {given}"
    return f"in {path}" if path.exists() else UNMADE
