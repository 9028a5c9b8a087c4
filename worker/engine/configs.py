"""
What the launcher must know of a config before anything heavy is imported.

The file is parsed, not run.
"""

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ConfigFacts:
    """What a rendered config says of itself."""

    model: str
    """Folder or hub id of the base model."""
    is_quantised: bool


def read_config(path: Path) -> ConfigFacts:
    """Read the facts of a config that `app.domain.xtuner_config` rendered."""
    tree = ast.parse(path.read_text("utf-8"))
    imported = {name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    models = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pretrained_model_name_or_path"
    )
    return ConfigFacts(model=next(models), is_quantised="BitsAndBytesConfig" in imported)
