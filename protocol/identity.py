"""Keys: Ed25519 to sign, CURVE25519 for the wire; their fingerprints; files that only their owner can read."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import zmq
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.errors import IdentityError, SignatureError, Where

_RAW = serialization.Encoding.Raw


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """What may be known of a peer: its Ed25519 key (32 bytes) and its CURVE key (40 characters of Z85)."""

    signing: bytes
    curve: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 over both keys as `ab:cd:…`, 16 bytes long: what two people read to each other."""
        digest = hashlib.sha256(self.signing + self.curve.encode("ascii")).hexdigest()[:32]
        return ":".join(digest[at : at + 2] for at in range(0, 32, 2))

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check an Ed25519 signature (RFC 8032). Raises SignatureError."""
        try:
            Ed25519PublicKey.from_public_bytes(self.signing).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise SignatureError("the signature does not hold") from None

    def text(self) -> str:
        """One line: `<signing hex>.<curve Z85 in hex>`; read back by `public_identity`."""
        return f"{self.signing.hex()}.{self.curve.encode('ascii').hex()}"


def public_identity(text: str) -> PublicIdentity:
    """The identity in one line of text. Raises IdentityError."""
    signing, _, curve = text.strip().partition(".")
    try:
        identity = PublicIdentity(bytes.fromhex(signing), bytes.fromhex(curve).decode("ascii"))
    except ValueError:
        raise IdentityError("not a key", help="copy the whole line that `stackmaster keys master` prints") from None
    if len(identity.signing) != 32 or len(identity.curve) != 40:
        raise IdentityError("not a key: wrong length")
    return identity


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """A private identity: signs, and opens CURVE sockets."""

    signing: Ed25519PrivateKey
    curve_public: str
    curve_secret: bytes

    @property
    def public(self) -> PublicIdentity:
        """The part that others may know."""
        raw = self.signing.public_key().public_bytes(_RAW, serialization.PublicFormat.Raw)
        return PublicIdentity(raw, self.curve_public)

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature of 64 bytes."""
        return self.signing.sign(message)

    def __repr__(self) -> str:
        return f"Identity({self.public.fingerprint})"


def generate() -> Identity:
    """A fresh identity from the system's random source."""
    public, secret = zmq.curve_keypair()
    return Identity(Ed25519PrivateKey.generate(), public.decode("ascii"), secret)


def load_or_create(path: Path) -> Identity:
    """The identity kept in `path` (mode 0600), made on first use. Raises IdentityError."""
    if not path.exists():
        identity = generate()
        seed = identity.signing.private_bytes(_RAW, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        text = f"{seed.hex()}\n{identity.curve_public}\n{identity.curve_secret.decode('ascii')}\n"
        write_private(path, text.encode("ascii"))
    return load(path)


def load(path: Path) -> Identity:
    """The identity kept in `path`. Raises IdentityError when it is missing, malformed or readable by others."""
    where = Where(file=str(path))
    try:
        mode = path.lstat().st_mode
        raw = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityError(f"the key cannot be read: {error}", where=where) from None
    if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
        raise IdentityError("the key file is open to others", where=where, help=f"chmod 600 {path}")
    lines = raw.split("\n")
    try:
        signing = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(lines[0]))
        public, secret = lines[1], lines[2].encode("ascii")
        matches = zmq.curve_public(secret).decode("ascii") == public
    except (ValueError, IndexError, zmq.ZMQError):
        raise IdentityError("the key file is malformed", where=where) from None
    if not matches:
        raise IdentityError("the two halves of the CURVE key do not belong together", where=where)
    return Identity(signing, public, secret)


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write `content` to `path` atomically and durably; the mode is set before the content. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(content)
            file.flush()
            os.fsync(fd)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
