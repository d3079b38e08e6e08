"""Command groups that choose a command by themselves."""

from __future__ import annotations

import typer
from typer.core import TyperGroup


class FilesOrStores(TyperGroup):
    """A command group that takes an unknown command for a file: ``import FILE`` is ``import chat FILE``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        is_named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        is_help_enough = not args and self.no_args_is_help
        return super().parse_args(ctx, args if is_named or is_help_enough else ["chat", *args])
