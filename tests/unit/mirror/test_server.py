"""Starting and stopping, in a thread and for good."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
import requests

from nvframe.mirror import Server, create_app, load_dataset, serve


def test_one_connection_serves_many_requests(dataset):
    clients = set()
    app = create_app(load_dataset(str(dataset)))

    async def spy(scope, receive, send):
        clients.add(tuple(scope["client"]))
        await app(scope, receive, send)

    with Server(spy) as server, requests.Session() as session:
        for path in ("/api/images/", "/api/nope/", "/media/images/20/map_9.nii.gz", "/api/images"):
            session.get(server.url + path, timeout=10).content  # noqa: B018
        assert session.head(f"{server.url}/api/images/", timeout=10).ok
    assert len(clients) == 1


def test_stop_frees_port_thread_and_sockets(dataset):
    server = Server(create_app(load_dataset(str(dataset))))
    with requests.Session() as session:  # an idle connection is no reason to wait
        with server:
            url = server.url
            assert session.get(f"{url}/api/", timeout=10).ok
            with pytest.raises(RuntimeError, match="already runs"):
                server.start()
        with pytest.raises(requests.ConnectionError):
            session.get(f"{url}/api/", timeout=10)
    server.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "nvframe-mirror"]
    gc.collect()  # an unclosed socket would warn here, and a warning fails the test
    with server:
        assert requests.get(f"{server.url}/api/", timeout=10).ok


def test_stop_cuts_a_slow_answer_off_without_a_word(caplog):
    entered = threading.Event()

    async def stuck(scope, receive, send):
        entered.set()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        import asyncio

        await asyncio.Event().wait()

    failures = []

    def ask(url):
        try:
            requests.get(url, timeout=10)
        except requests.RequestException as error:
            failures.append(error)

    with Server(stuck) as server:
        client = threading.Thread(target=ask, args=(server.url,))
        client.start()
        entered.wait(10)
    client.join(10)
    assert failures
    assert not caplog.records


def test_port_that_is_taken(dataset):
    app = create_app(load_dataset(str(dataset)))
    with Server(app) as server, pytest.raises(OSError, match="in use"):
        Server(app, port=int(server.url.rpartition(":")[2])).start()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_ipv6(dataset):
    try:
        with Server(create_app(load_dataset(str(dataset))), host="::1") as server:
            assert server.url.startswith("http://[::1]:")
            assert requests.get(f"{server.url}/api/", timeout=10).ok
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_serve_until_interrupted(dataset):
    script = (
        "import sys; from nvframe.mirror import load, serve\n"
        "serve(load(sys.argv[1]), port=0, on_start=lambda url: print(url, flush=True))\n"
        "print('ended')"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, str(dataset)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        url = process.stdout.readline().strip()
        assert requests.get(f"{url}/api/collections/", timeout=10).json()["count"] == 2
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "ended\n", "")


def test_serve_says_when_the_port_is_taken(dataset):
    catalogue = load_dataset(str(dataset))
    with Server(create_app(catalogue)) as server, pytest.raises(OSError, match="in use"):
        serve(catalogue, port=int(server.url.rpartition(":")[2]))
