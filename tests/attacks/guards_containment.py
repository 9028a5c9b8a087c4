"""The guards of rows 16 to 37: what a launch, a path, an upload, a model, a checkpoint and a config may do."""

from tests.attacks.mutations import Guard

GUARDS = [
    Guard(
        17,
        "app/domain/registry.py",
        r'_NAME = re.compile(rf"\w[\w.-]',
        r'_NAME = re.compile(rf"[\w.-][\w.-]',
    ),
    Guard(18, "app/domain/recipe_parts.py", 'extra="forbid"', 'extra="ignore"'),
    Guard(36, "app/domain/training.py", "gt=0,\n        le=0.1,\n        allow_inf_nan=False,\n", ""),
    Guard(37, "app/domain/recipe_parts.py", 'extra="forbid"', 'extra="ignore"'),
    Guard(37, "app/config.py", 'device: Literal["auto", "cpu", "cuda"]', "device: str"),
]
