"""Secrets at rest: AES-256-GCM under a key of the deployment, derived from `OWT_KEY_SECRET` or kept by KMS.

A sealed text begins with one byte that says how it was made, and is bound to the row that it stands in:
copied into another one it opens no more.  With KMS a process has a data key made now and then, and keeps its
encrypted form with each text; who can read the table and not call KMS reads nothing.
"""

import contextlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chalicelib import clock
from chalicelib.errors import Unavailable
from chalicelib.owt import settings
from chalicelib.settings import also_reset
from chalicelib.store import aws
from chalicelib.store.keys import Key

log = logging.getLogger(__name__)

DERIVED: Final = b"\x01"
"""Version, nonce, ciphertext with its tag."""
BY_KMS: Final = b"\x02"
"""Version, length of the encrypted data key in two bytes, that key, nonce, ciphertext with its tag."""
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
DATA_KEY_S: Final = 3600.0
REMEMBERED: Final = 1000
CONTEXT: Final = {"application": "foyer", "purpose": "owt"}
"""What KMS binds data keys to; a key policy may demand it."""
VAULT: Final = b"foyer owt vault 1"
TOKENS: Final = b"foyer owt tokens 1"


class CannotOpen(Unavailable):
    """The text was sealed under another key or for another row, or is damaged."""

    def __init__(self) -> None:
        super().__init__("a stored secret cannot be read")


class DataKey(NamedTuple):
    """A key of KMS as it is kept, and the cipher under it."""

    encrypted: bytes
    cipher: AESGCM
    made_at: float


def warm() -> None:
    """Make what sealing and unsealing need, where anything is to be sealed."""
    given = settings.get()
    if given.kms_key_id:
        kms()
    elif given.key_secret:
        _derived(given.key_secret)


def seal(text: str, where: Key) -> bytes:
    """`text` for the row `where` alone.  Raises `Unavailable`."""
    nonce = os.urandom(NONCE_BYTES)
    if settings.get().kms_key_id:
        key = _data_keys.current()
        head, cipher = BY_KMS + len(key.encrypted).to_bytes(2, "big") + key.encrypted, key.cipher
    else:
        head, cipher = DERIVED, _derived(settings.get().key_secret)
    return head + nonce + cipher.encrypt(nonce, text.encode(errors="surrogateescape"), _bound(head, where))


def unseal(sealed: bytes, where: Key) -> str:
    """The text that was sealed for the row `where`.  Raises `CannotOpen`, `Unavailable`."""
    head = _head(sealed)
    nonce, body = sealed[len(head) :][:NONCE_BYTES], sealed[len(head) + NONCE_BYTES :]
    for cipher in _ciphers(head):
        with contextlib.suppress(InvalidTag, ValueError):
            return cipher.decrypt(nonce, body, _bound(head, where)).decode(errors="surrogateescape")
    log.error("a secret of %s cannot be read: sealed under another key, or damaged", where.pk[:2])
    raise CannotOpen


def token_secret() -> str:
    """What tokens are signed with, the same in every process of the deployment."""
    return settings.get().token_secret or _derived_token_secret(settings.get().key_secret)


def token_secrets() -> tuple[str, ...]:
    """What tokens may have been signed with, while one secret takes another's place."""
    given = settings.get()
    also = given.token_secret_also
    if not also and given.key_secret_also:
        also = _derived_token_secret(given.key_secret_also)
    return (token_secret(), also) if also else (token_secret(),)


def _ciphers(head: bytes) -> Iterator[AESGCM]:
    """What may open a text that begins so.  Raises `Unavailable`."""
    if head != DERIVED:
        yield _data_keys.known(head[3:])
        return
    given = settings.get()
    yield _derived(given.key_secret)
    if given.key_secret_also:
        yield _derived(given.key_secret_also)


def _head(sealed: bytes) -> bytes:
    if sealed[:1] == BY_KMS:
        return sealed[: 3 + int.from_bytes(sealed[1:3], "big")]
    return sealed[:1]


def _bound(head: bytes, where: Key) -> bytes:
    return head + f"{where.pk}\0{where.sk}".encode()


def _derive(secret: str, purpose: bytes) -> bytes:
    if not secret:
        log.error("OWT_KEY_SECRET is not set, and what was made with it is needed")
        raise CannotOpen
    return HKDF(SHA256(), KEY_BYTES, None, purpose).derive(secret.encode(errors="surrogateescape"))


@cache
def _derived(secret: str) -> AESGCM:
    return AESGCM(_derive(secret, VAULT))


@cache
def _derived_token_secret(secret: str) -> str:
    return _derive(secret, TOKENS).hex()


@cache
def kms() -> Any:
    """The process's KMS client."""
    return aws.client(
        "kms",
        Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"}),
    )


class _DataKeys:
    """The data key that this process seals with, and those it has seen in sealed texts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: DataKey | None = None
        self._known: OrderedDict[bytes, AESGCM] = OrderedDict()

    def forget(self) -> None:
        with self._lock:
            self._current = None
            self._known.clear()

    def current(self) -> DataKey:
        """A data key not older than an hour.  Raises `Unavailable`."""
        with self._lock:
            current, now = self._current, clock.monotonic()
            if current is None or now - current.made_at > DATA_KEY_S:
                made = _call("generate_data_key", settings.get().kms_key_id, KeySpec="AES_256")
                current = DataKey(bytes(made["CiphertextBlob"]), AESGCM(bytes(made["Plaintext"])), now)
                self._current = current
                self._remember(current.encrypted, current.cipher)
            return current

    def known(self, encrypted: bytes) -> AESGCM:
        """The cipher under a data key that KMS encrypted.  Raises `Unavailable`, `CannotOpen`."""
        with self._lock:
            cipher = self._known.get(encrypted)
            if cipher is not None:
                self._known.move_to_end(encrypted)
                return cipher
        cipher = AESGCM(bytes(_decrypt(encrypted)["Plaintext"]))
        with self._lock:
            self._remember(encrypted, cipher)
        return cipher

    def _remember(self, encrypted: bytes, cipher: AESGCM) -> None:
        self._known[encrypted] = cipher
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


_data_keys: Final = _DataKeys()


def _decrypt(encrypted: bytes) -> Any:
    """A data key, under whichever key of ours it was encrypted.  Raises `Unavailable`, `CannotOpen`."""
    given = settings.get()
    try:
        return _call("decrypt", given.kms_key_id, CiphertextBlob=encrypted)
    except Unavailable as refused:
        if not given.kms_key_id_also or not isinstance(refused.__cause__, ClientError):
            raise
    return _call("decrypt", given.kms_key_id_also, CiphertextBlob=encrypted)


def _call(operation: str, key_id: str, **request: Any) -> Any:
    """One call of KMS.  Raises `Unavailable`, `CannotOpen`."""
    if not key_id:
        log.error("OWT_KMS_KEY_ID is not set, and what was sealed with it is needed")
        raise CannotOpen
    try:
        return getattr(kms(), operation)(KeyId=key_id, EncryptionContext=CONTEXT, **request)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        log.error("KMS refused %s: %s", operation, code)
        if code in {"InvalidCiphertextException", "IncorrectKeyException"}:
            raise CannotOpen from error
        raise Unavailable("keys cannot be had") from error
    except BotoCoreError as error:
        log.error("KMS did not answer %s: %s", operation, type(error).__name__)
        raise Unavailable("keys cannot be had") from error


also_reset(_derived.cache_clear)
also_reset(_derived_token_secret.cache_clear)
also_reset(kms.cache_clear)
also_reset(_data_keys.forget)
