"""What one start of the stack is going to be: the facts that its files and parts are made from."""

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
    """the stores are others', and others may use them"""

    @property
    def api_url(self) -> str:
        """Where the API will be."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def flower_url(self) -> str:
        """Where Flower will be, with a slash at the end."""
        return f"http://{HOST}:{self.flower_port}/flower/"
