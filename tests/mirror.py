"""A mirror of the archive on this machine, as download_chandra_obsid wants one: by HTTP, with ``byobsid/``."""

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(archive: Path, folder: Path) -> Iterator[str]:
    """The address of a mirror with the ObsIDs of a folder; ``folder`` is made for links to them."""
    for path in archive.iterdir():
        if path.name.isdigit():
            place = folder / "byobsid" / path.name[-1]
            place.mkdir(parents=True, exist_ok=True)
            (place / path.name).symlink_to(path)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
