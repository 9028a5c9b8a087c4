"""From the findings of a version to the next version: repairs as somebody chose them."""

from sqlmodel import Session

from app.domain.datasets import store
from app.domain.datasets.incoming import ROWS, incoming_folder
from app.domain.datasets.intake import Intake
from app.domain.errors import FieldError, InvalidError
from app.domain.findings.choices import Choice
from app.domain.findings.stored import repair_stored
from app.domain.messages import message
from app.domain.models import Dataset


def repair_dataset(session: Session, dataset: Dataset, choice: Choice) -> store.StoredVersion:
    """
    Store the rows of a version, put right as chosen, as the newest version of its name.

    Args:
        session: used only once the rows are written, so that nobody waits for it meanwhile.
        dataset: may belong to another session, or to none.
        choice: what is done.

    Raises:
        InvalidError: nothing was chosen, or no row would be left.
        TooLargeError: the file needs more memory than a search is given.
    """
    if not choice.kinds and not choice.drop:
        raise InvalidError([FieldError("kinds", message("Choose what to repair."))])
    with incoming_folder() as folder:
        repaired = repair_stored(store.whole_file(dataset), choice, folder / ROWS)
        if repaired.rows == 0:
            raise InvalidError([FieldError("kinds", message("These repairs would leave no row."))])
        intake = Intake(
            rows=repaired.rows,
            left_out=0,
            size_bytes=repaired.size_bytes,
            sha256=repaired.sha256,
            form=dataset.form,
            container=dataset.container,
        )
        return store.keep_version(
            session, name=dataset.name, intake=intake, rows=folder / ROWS, source_name=dataset.source_name
        )
