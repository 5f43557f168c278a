"""The entry of `stackminion`: join a master, serve it, look at the configuration."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from pathlib import Path

from minion import __version__
from minion.config import DEFAULT_FILE, MinionSettings, conditions, load_enrolment
from protocol.errors import ConfigError, InputError, StackmasterError, Where
from protocol.settings import Loaded, load

EXAMPLES = """examples:
  stackminion join sm1-…                 join with the token that `stackmaster keys token` printed
  stackminion join --master ctl1 --master-key KEY
                                         join without one; then `stackmaster keys accept` on the master
  stackminion serve                      run the daemon in the foreground (systemd does this)
  stackminion config check               check the configuration files
"""


def main(argv: list[str] | None = None) -> int:
    """Run `stackminion`; the exit code."""
    arguments = _parser().parse_args(argv)
    os.umask(0o077)
    try:
        return int(arguments.run(arguments))
    except StackmasterError as error:
        _explain(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _explain(error: StackmasterError) -> None:
    place = str(error.where)
    print(f"stackminion: {error.message}", file=sys.stderr)
    if place:
        print(f"  where: {place}", file=sys.stderr)
    if error.help:
        print(f"  do:    {error.help}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stackminion",
        description="The minion of stackmaster.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"stackminion {__version__}")
    parser.add_argument("--config", type=Path, help=f"configuration file (default {DEFAULT_FILE})")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    _join_parser(verbs)
    serve = verbs.add_parser("serve", help="run the daemon")
    serve.set_defaults(run=_serve)
    key = verbs.add_parser("fingerprint", help="print this minion's fingerprint")
    key.set_defaults(run=_fingerprint)
    config = verbs.add_parser("config", help="check or show the configuration")
    config.add_argument("what", choices=["check", "show"])
    config.set_defaults(run=_config)
    return parser


def _join_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    join = verbs.add_parser("join", help="enrol at a master")
    join.add_argument("token", nargs="?", help="what `stackmaster keys token` printed ('-' reads it from stdin)")
    join.add_argument("--master", action="append", default=[], metavar="ADDRESS", help="host or host:port, repeatable")
    join.add_argument("--master-key", metavar="KEY", help="what `stackmaster keys master` prints")
    join.add_argument("--id", help="this minion's id (default: the configured one, else the host name)")
    join.set_defaults(run=_join)


def _settings(arguments: argparse.Namespace) -> Loaded[MinionSettings]:
    path: Path | None = arguments.config
    if path is None and "STACKMASTER_CONFIG" in os.environ:
        path = Path(os.environ["STACKMASTER_CONFIG"])
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    loaded = load(MinionSettings, path, os.environ)
    conditions(loaded.value.global_state_conditions)
    return loaded


def _join(arguments: argparse.Namespace) -> int:
    from minion.join import fingerprint, join
    from protocol.identity import public_identity
    from protocol.token import read_token

    settings = _settings(arguments).value
    if arguments.id:
        settings = dataclasses.replace(settings, id=arguments.id)
    if arguments.token:
        if arguments.master or arguments.master_key:
            raise InputError("a token names the master already", help="leave out --master and --master-key")
        token = read_token(sys.stdin.read() if arguments.token == "-" else arguments.token)
        master, addresses, secret = token.master, token.addresses, token.secret
    elif arguments.master and arguments.master_key:
        master, addresses, secret = public_identity(arguments.master_key), tuple(arguments.master), ""
    else:
        raise InputError(
            "nothing says which master to join",
            help="give a token, or --master ADDRESS and --master-key KEY (`stackmaster keys master` prints it)",
        )
    minion = settings.minion_id()
    answer = join(settings.state_dir, minion, master, addresses, secret)
    print(f"{minion} {answer.state}: {answer.message}")
    print(f"fingerprint {fingerprint(settings.state_dir)}")
    if answer.state == "pending":
        print(f"on the master: stackmaster keys accept {minion}")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from minion.agent import Agent
    from protocol.identity import load as load_identity

    settings = _settings(arguments).value
    _log_to_stderr(settings.log_level)
    _check_private(settings.state_dir)
    enrolment = load_enrolment(settings.state_dir)
    identity = load_identity(settings.state_dir / "identity")
    Agent(settings, enrolment, identity).run()
    return 0


def _check_private(state_dir: Path) -> None:
    """Refuse a folder that others can change: keys and orders lie in it. Raises ConfigError."""
    if not state_dir.exists():
        return
    found = state_dir.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ConfigError(
            "the state folder belongs to another user or can be changed by others",
            where=Where(file=str(state_dir)),
            help=f"chown it to the user that runs stackminion and chmod 700 {state_dir}",
        )


def _log_to_stderr(level: str) -> None:
    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
    if level not in levels:
        raise InputError(f"there is no log level {level!r}", help=f"use one of {', '.join(levels)}")
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(level=levels[level], format=f"{stamp}%(levelname)s %(message)s", stream=sys.stderr)


def _fingerprint(arguments: argparse.Namespace) -> int:
    from minion.join import fingerprint

    print(fingerprint(_settings(arguments).value.state_dir))
    return 0


def _config(arguments: argparse.Namespace) -> int:
    loaded = _settings(arguments)
    loaded.value.minion_id()
    if arguments.what == "show":
        for field in dataclasses.fields(loaded.value):
            origin = loaded.origins.get(field.name, "default")
            print(f"{field.name}: {getattr(loaded.value, field.name)}  # {origin}")
    else:
        print(f"the configuration is in order ({len(loaded.origins)} settings given)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
