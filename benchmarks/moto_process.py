"""moto's S3 in a process of its own, counting requests: prints its URL and answers until its standard input ends."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections import Counter
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from benchmarks.servers import COUNTS


def _main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto, counts = DomainDispatcherApplication(create_backend_app), Counter[str]()

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == COUNTS:
            body = json.dumps(counts).encode()
            counts.clear()
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]
        lists = "list-type" in environ["QUERY_STRING"]
        counts["LIST" if lists else environ["REQUEST_METHOD"]] += 1
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _main()
