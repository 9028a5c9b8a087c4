"""What cannot be done with an imported run, and why, in words."""

from app.domain.messages import Message, message
from app.domain.models import ModelState, Run


def problem_of_files(run: Run, *, has_adapter: bool) -> Message | None:
    """Say why nothing can be made of a checkpoint; None where its run was not imported, or its adapter was taken."""
    if not run.imported_from or has_adapter:
        return None
    return message(
        "This run was imported, and its checkpoints stay in {folder}. To take their adapters too: "
        "temper import --copy {folder}",
        folder=run.imported_from,
    )


def problem_of_base(run: Run) -> Message | None:
    """Say why an imported run's base model cannot be loaded; None where it can, or the run was not imported."""
    if not run.imported_from or run.model.state is ModelState.READY:
        return None
    return message(
        "This run was imported, and its base model “{name}” is not on this machine. Register it under another name, "
        "then import the run again with --model.",
        name=run.model.name,
    )
