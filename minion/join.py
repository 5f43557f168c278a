"""Enrolment: a host presents its keys to a pinned master and learns whether it is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import zmq

from minion import __version__
from minion.config import ENROL_PORT, SESSION_PORT, Enrolment, save_enrolment
from protocol import WIRE_VERSION, codec, limits, sockets
from protocol.errors import IdentityError, RefusedError, UnreachableError
from protocol.identity import Identity, PublicIdentity, load, load_or_create
from protocol.messages import FROM_DOOR, Enrol, enrolment_statement
from protocol.messages import Enrolment as Answer
from protocol.names import MinionId

PATIENCE = 10.0
"""Seconds to wait for one address of the master."""


def join(state_dir: Path, minion: MinionId, master: PublicIdentity, addresses: Sequence[str], secret: str) -> Answer:
    """Enrol as `minion` with the pinned `master` at the first of `addresses` that answers; remember it.

    `secret` is the token's, or empty to wait for a person's `stackmaster keys accept`. The keys are made on first
    use. Raises UnreachableError when no address answers, RefusedError when the master says no.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = load_or_create(state_dir / "identity")
    answer, address = _ask_any(identity, master, addresses, _request(identity, minion, secret))
    if answer.state not in ("accepted", "pending"):
        raise RefusedError(f"the master at {address} refused: {answer.message}", help="get a new token or another id")
    save_enrolment(state_dir, Enrolment(minion, master, tuple(_session_address(each) for each in addresses)))
    return answer


def _request(identity: Identity, minion: MinionId, secret: str) -> Enrol:
    public = identity.public
    signature = identity.sign(enrolment_statement(minion, public.signing, public.curve))
    return Enrol(WIRE_VERSION, minion, public.signing, public.curve, secret, __version__, signature)


def _ask_any(
    identity: Identity, master: PublicIdentity, addresses: Sequence[str], request: Enrol
) -> tuple[Answer, str]:
    context = sockets.context()
    try:
        for address in addresses:
            answer = _ask(context, identity, master, sockets.endpoint(address, ENROL_PORT), request)
            if answer is not None:
                return answer, address
    finally:
        context.term()
    raise UnreachableError(
        f"no answer within {PATIENCE:.0f} s from {', '.join(addresses)}",
        help="is `stackmaster serve` running there, is port 4505 open, and is this that master's key? "
        "A master with another key does not answer",
    )


def _ask(
    context: zmq.Context[zmq.Socket[bytes]], identity: Identity, master: PublicIdentity, endpoint: str, request: Enrol
) -> Answer | None:
    try:
        socket = sockets.connecting(context, identity, master.curve, endpoint)
    except zmq.ZMQError as error:
        raise UnreachableError(f"{endpoint} is not an address: {error.strerror}") from None
    with socket:
        socket.send(codec.encode(request))
        if not socket.poll(int(PATIENCE * 1000)):
            return None
        return codec.decode(socket.recv(), FROM_DOOR, limit=limits.MAX_ENROL_MESSAGE)


def _session_address(address: str) -> str:
    """Where the session door is, when the enrolment door is at `address`: one port higher."""
    host, port = sockets.endpoint(address, ENROL_PORT).removeprefix("tcp://").rsplit(":", 1)
    return f"{host}:{int(port) + SESSION_PORT - ENROL_PORT}"


def fingerprint(state_dir: Path) -> str:
    """This minion's fingerprint, to compare with `stackmaster keys ls`. Raises IdentityError."""
    if not (state_dir / "identity").exists():
        raise IdentityError("this host has no key yet", help="`stackminion join` makes one")
    return load(state_dir / "identity").public.fingerprint
