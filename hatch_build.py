"""A checkout that is installed to work in (`pip install -e .`) brings what its experiments need.

Experiments are commands that draw figures, and are in a checkout alone. The library has the extra
`commands` for those who want the same of it.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WithCommands(BuildHookInterface):
    """Adds the extra `commands` to the dependencies of an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """What Hatchling calls before it builds a wheel."""
        if version == "editable":
            extras = self.metadata.core.optional_dependencies
            build_data["dependencies"] = [*build_data["dependencies"], *extras["commands"]]
