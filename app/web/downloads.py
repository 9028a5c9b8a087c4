"""Files of an artifact as answers: one of them, or all as an archive."""

from fastapi.responses import FileResponse, Response, StreamingResponse

from app.domain.downloads import Download, DownloadFile, archive_size, stream_archive

# Weights do not compress; without this the answer would be squeezed through one core for minutes.
AS_IT_IS = {"Content-Encoding": "identity"}


class SentFile(FileResponse):
    """A file of which a few parts may be asked for; who asks for thousands gets all of it, which is less work."""

    max_ranges = 16  # whoever takes up a broken transfer asks for one


def send_file(file: DownloadFile) -> Response:
    """Send one file; a broken transfer can be taken up where it ended."""
    headers = AS_IT_IS | {"ETag": f'"{file.sha256}"'}
    return SentFile(file.path, filename=file.name, media_type="application/octet-stream", headers=headers)


def send_archive(download: Download) -> Response:
    """Send all files as one tar archive, whose size is known before it is made."""
    headers = AS_IT_IS | {
        "Content-Length": str(archive_size(download)),
        "Content-Disposition": f'attachment; filename="{download.name}.tar"',
    }
    return StreamingResponse(stream_archive(download), media_type="application/x-tar", headers=headers)
