"""Failures that are expected, each with one sentence. All else is a bug and stays loud."""


class LimpetError(Exception):
    """The root of every failure that Limpet expects."""


class UnknownDatabaseError(LimpetError):
    """No database of that name is configured."""


class StoreUnavailableError(LimpetError):
    """The object store is away or refuses us: transient, try again later."""


class BrokerUnavailableError(LimpetError):
    """The broker is away or refuses us: the relay rings later."""


class BlobMissingError(LimpetError):
    """The object store has no object under a key that a blob row names."""


class OvertakenError(LimpetError):
    """Another transaction changed a record between our read and our write: read again."""


class IdempotencyConflictError(LimpetError):
    """The idempotency key was used before, for another request."""


class RepairedElsewhereError(LimpetError):
    """Two checks were to repair one database at once: the second lets the first one end."""
