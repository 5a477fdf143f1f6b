"""The ``limpet`` command.

User commands speak HTTP only; operator commands run where the servers are and
need the ``server`` extra. Each command is imported when it is called, so the
light client never loads a server's library.
"""

from importlib import import_module

import click

_COMMANDS = {
    "up": "limpet.stack.command:up",
    "demo": "limpet.demo:demo",
    "import": "limpet.importing.command:import_command",
    "verify": "limpet.importing.verify_command:verify",
    "batches": "limpet.batches:batches",
    "watch": "limpet.batches:watch",
    "report": "limpet.batches:report",
    "why": "limpet.why:why",
    "retry": "limpet.batches:retry",
    "cancel": "limpet.batches:cancel",
    "pause": "limpet.batches:pause",
    "resume": "limpet.batches:resume",
    "check": "limpet.check:check",
    "migrate": "limpet.operate:migrate",
    "token": "limpet.operate:token",
    "keys": "limpet.operate:keys",
    "users": "limpet.operate:users",
}


class _Lazy(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        try:
            command = getattr(import_module(module), name)
        except ModuleNotFoundError as missing:
            raise click.ClickException(
                f"'limpet {cmd_name}' needs {missing.name!r}: pip install 'limpet[embedded]' (or 'limpet[server]')"
            ) from missing
        assert isinstance(command, click.Command)
        return command


@click.command(cls=_Lazy)
@click.version_option(package_name="limpet")
def main() -> None:
    """Limpet takes in attachments in bulk and never lets go of one."""
