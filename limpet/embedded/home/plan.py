"""The plan of one start: the facts that the stack's files and parts are made from."""

from dataclasses import dataclass

from limpet.embedded.endpoints import Stores
from limpet.embedded.home.data_folder import DataFolder
from limpet.embedded.home.keyring import Keyring
from limpet.embedded.home.ports import HOST

PROCESSES_PER_WORKER = 2


@dataclass(frozen=True)
class Plan:
    """One start of the stack."""

    home: DataFolder
    keyring: Keyring
    stores: Stores
    jwt_secret: str
    api_port: int
    flower_port: int
    workers: int
    external: bool
    """whether the stores are external, and may have other users"""

    @property
    def api_url(self) -> str:
        """URL of the API."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def flower_url(self) -> str:
        """URL of Flower, with a slash at the end."""
        return f"http://{HOST}:{self.flower_port}/flower/"
