"""Expected failures, each with one sentence. Every other exception is a bug and stays loud."""


class LimpetError(Exception):
    """The root of every failure that Limpet expects."""


class UnknownDatabaseError(LimpetError):
    """No database of that name is configured."""


class StoreUnavailableError(LimpetError):
    """The object store is down or refuses us: transient, try again later."""


class SpoolFullError(LimpetError):
    """The disk for large bodies has no room: transient, try again later."""


class BrokerUnavailableError(LimpetError):
    """The broker is down or refuses us: the relay publishes later."""


class BlobMissingError(LimpetError):
    """The object store has no object under a key that a blob row names."""


class OvertakenError(LimpetError):
    """Another transaction changed a record between our read and our write: read again."""


class IdempotencyConflictError(LimpetError):
    """The idempotency key was used before, for another request."""


class RepairedElsewhereError(LimpetError):
    """Another check repairs this database at the moment: try again after it."""
