"""The errors that code written for Salt imports from `salt.exceptions`."""

from __future__ import annotations


class SaltException(Exception):
    """The root of Salt's errors."""

    def __init__(self, message: object = "") -> None:
        super().__init__(message)
        self.message = self.strerror = str(message)


class CommandExecutionError(SaltException):
    """A function could not do what it should."""

    def __init__(self, message: object = "", info: object = None) -> None:
        super().__init__(message)
        self.info = info


class CommandNotFoundError(SaltException):
    """A command that is needed is not installed."""


class SaltInvocationError(SaltException, TypeError):
    """A function was called with arguments that it does not take."""


class SaltConfigurationError(SaltException):
    """A setting is wrong."""


class SaltRenderError(SaltException):
    """A template cannot be rendered."""


class MinionError(SaltException):
    """The minion cannot do what it should."""


class ArgumentValueError(CommandExecutionError):
    """An argument has a value that it cannot have."""


class TimedProcTimeoutError(SaltException):
    """A command took longer than it may."""


class CheckError(CommandExecutionError):
    """A check of a value failed."""
