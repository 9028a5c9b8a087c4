"""The xtuner config of a run in its five parts: as its trainer read it, or would."""

import re

from app.config import settings
from app.domain.beneath import read_beneath
from app.domain.importing.storing import CONFIG_TEXT
from app.domain.mixes import count_rows, rows_file
from app.domain.models import Run
from app.domain.runs import id_of, recipe_of
from app.domain.xtuner_config import ConfigParts, render_config

_HEADING = re.compile(r"^#{71}\n#(?P<heading>.{69})#\n#{71}\n", re.MULTILINE)


def written_text(run_id: int, *, name: str = "config.py") -> str:
    """Return the config that a run's trainer read; empty before there is one."""
    try:
        with read_beneath(settings().runs_folder, settings().run_folder(run_id) / name) as file:
            return file.read().decode()
    except (OSError, UnicodeDecodeError):
        return ""


def written_config(run_id: int) -> list[tuple[str, str]]:
    """Return the parts of the config that a run's trainer read; none before there is one."""
    _, *pieces = _HEADING.split(written_text(run_id))
    return [(heading.strip(), body.strip("\n")) for heading, body in zip(pieces[::2], pieces[1::2], strict=True)]


def imported_config(run_id: int) -> list[tuple[str, str]]:
    """Return the config of a run that was made by hand, as it was found; none where there was none."""
    text = written_text(run_id, name=CONFIG_TEXT)
    return [("config", text)] if text else []


def rendered_config(run: Run) -> ConfigParts:
    """Render the config that a run's trainer would read now."""
    recipe = recipe_of(run)
    return render_config(
        recipe,
        model_path=run.model.path,
        template=run.model.template,
        run_folder=str(settings().run_folder(id_of(run))),
        data_file=str(rows_file(run.mix_sha256 or "…")),  # hashed once the run starts
        rows=count_rows(recipe.mix).total,
        device="cuda" if settings().device == "cuda" else "cpu",
    )


def plain_parts(config: ConfigParts) -> list[tuple[str, str]]:
    """Return the parts of a config as a page shows them."""
    return [(heading, body.strip("\n")) for heading, body in config.parts]
