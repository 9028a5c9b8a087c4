"""A file that somebody sends, to a page or to the API: received, read apart, kept as a version of a set."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from sqlmodel import Session

from app.domain.datasets import store
from app.domain.datasets.incoming import incoming_folder
from app.domain.errors import AppError, FieldError, InvalidError, TooLargeError, UnavailableError, UnsupportedTypeError
from app.domain.messages import Message
from app.domain.models import Dataset
from app.web.uploads import FILE_PART, Upload, receive_upload, uploaded_name

READ_AT_ONCE = 2  # files, of pages and of the API together: each may take a core and `intake_memory_bytes`
_readers = CapacityLimiter(READ_AT_ONCE)


@dataclass(frozen=True)
class UploadForm:
    """The upload form as it stands: what was typed, and what is wrong."""

    name: str = ""
    problems: Sequence[FieldError] = ()
    status: int = HTTPStatus.OK

    def error(self, field: str) -> Message | None:
        """Return what is wrong with a field."""
        return next((problem.message for problem in self.problems if problem.field == field), None)


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Upload]:
    """Write the file of a request into a folder that is there for a while; fails as `receive_upload` does."""
    async with contextmanager_in_threadpool(incoming_folder()) as folder:
        yield await receive_upload(request, folder)


async def keep_upload(session: Session, upload: Upload, *, name: str = "", file_name: str = "") -> store.StoredVersion:
    """
    Read an upload apart and keep it as the newest version of a set.

    Args:
        name: of the set; what stands in the form without it, and then the file's own.
        file_name: what the file is called, where no form says it.

    Raises:
        InvalidError: at `file` or `name`.
    """
    source_name = file_name or upload.file_name
    wanted = store.checked_name(uploaded_name(name or upload.fields.get("name", ""), source_name))
    intake = await to_thread.run_sync(store.read_upload, upload.path, limiter=_readers)
    rows = store.rows_beside(upload.path)

    def keep() -> store.StoredVersion:
        return store.keep_version(session, name=wanted, intake=intake, rows=rows, source_name=source_name)

    return await run_in_threadpool(keep)


async def receive_dataset(request: Request, session: Session) -> Dataset | UploadForm:
    """Keep what a page's form sends; or return the form with its mistakes, and keep nothing."""
    name = ""
    try:
        async with received(request) as upload:
            name = upload.fields.get("name", "")
            return (await keep_upload(session, upload)).dataset
    except InvalidError as error:
        problems = [problem if problem.field == "name" else FieldError(FILE_PART, problem.message)
                    for problem in error.fields]  # fmt: skip
        return UploadForm(name, problems, error.status_code)
    except (TooLargeError, UnavailableError, UnsupportedTypeError) as error:
        return UploadForm(name, _at_file(error), error.status_code)


def _at_file(error: AppError) -> Sequence[FieldError]:
    return (FieldError(FILE_PART, error.message),)
