"""The ``limpet`` command.

User commands use HTTP only; operator commands run on the servers' hosts and need the
``server`` extra. A command is imported when it is called, so a client without that
extra never loads a server's library.
"""

from importlib import import_module

import click

_COMMANDS = {
    "up": "limpet.commands.up:up",
    "demo": "limpet.demo.tour:demo",
    "import": "limpet.commands.import_manifest:import_command",
    "verify": "limpet.commands.verify:verify",
    "batches": "limpet.commands.batches:batches",
    "watch": "limpet.commands.batches:watch",
    "report": "limpet.commands.batches:report",
    "why": "limpet.commands.why:why",
    "retry": "limpet.commands.batches:retry",
    "cancel": "limpet.commands.batches:cancel",
    "pause": "limpet.commands.batches:pause",
    "resume": "limpet.commands.batches:resume",
    "check": "limpet.commands.check:check",
    "migrate": "limpet.commands.operate:migrate",
    "token": "limpet.commands.operate:token",
    "keys": "limpet.commands.operate:keys",
    "users": "limpet.commands.operate:users",
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
