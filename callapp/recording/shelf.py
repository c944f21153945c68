"""Where recordings are kept: a folder, or anything that fsspec has a name for (``s3://``, ``gs://`` …)."""

from __future__ import annotations

from glob import escape
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import urlsplit

from callapp.errors import CallappError, ConfigError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class ShelfUnavailable(CallappError):
    """A recording could not be written, read or deleted."""


class Shelf:
    """The place of all recordings.

    Args:
        url: a folder, or the URL of one.

    Raises:
        ConfigError: nothing that is installed can reach such a URL, or it is one that is looked for at once,
            as with FTP, and not found.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # its import costs a tenth of a second

        try:
            filesystem, path = fsspec.core.url_to_fs(url)
        except Exception as error:  # each kind of storage raises its own
            scheme = urlsplit(url).scheme
            raise ConfigError([f"RECORDINGS_URL: {scheme}:// cannot be used here: {error}"]) from error
        self._files = cast("AbstractFileSystem", filesystem)
        self._folder = PurePosixPath(path)

    @property
    def folder_here(self) -> Path | None:
        """The folder on this machine, if that is where it is."""
        return Path(self._folder) if "file" in self._files.protocol else None

    def path_of(self, call_sid: str, part: str = "") -> str:
        """The place of a call's recording; ``part`` names a further one of the same call."""
        return str(self._folder / f"{call_sid}{part and '-'}{part}.wav")

    def write(self, path: str, content: IO[bytes]) -> None:
        """Keep a file. It is there whole, or not at all.

        Raises:
            ShelfUnavailable: that did not work.
        """
        partial = f"{path}.part"
        try:
            self._files.makedirs(str(self._folder), exist_ok=True)
            with self._files.open(partial, "wb") as file:
                while piece := content.read(1 << 20):
                    file.write(piece)
            self._files.mv(partial, path)
        except Exception as error:  # each kind of storage raises its own
            raise ShelfUnavailable(f"{type(error).__name__}: {error}") from error

    def open(self, path: str) -> tuple[IO[bytes], int]:
        """A file that can be read from anywhere, and its size in bytes.

        Raises:
            FileNotFoundError: it is not there.
            ShelfUnavailable: it could not be opened.
        """
        try:
            size = int(self._files.size(path) or 0)
            return cast(IO[bytes], self._files.open(path, "rb")), size
        except FileNotFoundError:
            raise
        except Exception as error:  # each kind of storage raises its own
            raise ShelfUnavailable(f"{type(error).__name__}: {error}") from error

    def delete(self, call_sid: str) -> None:
        """Delete all recordings of a call; that there are none is fine.

        Raises:
            ShelfUnavailable: that did not work.
        """
        try:
            # The folder is called as it is called: its name may have brackets. Of what could not be written
            # to its end a part is left.
            for path in self._files.glob(f"{escape(str(self._folder))}/{call_sid}*.wav*"):
                self._files.rm(path)
        except FileNotFoundError:
            pass
        except Exception as error:  # each kind of storage raises its own
            raise ShelfUnavailable(f"{type(error).__name__}: {error}") from error
