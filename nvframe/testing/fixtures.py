"""pytest plugin: fixtures for people who test code that uses nvframe.

It is loaded into every pytest run of everyone who has nvframe installed, so it imports pytest alone.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nvframe.contracts import Storage
    from nvframe.plugins.registry import Registry
    from nvframe.testing.server.server import NeuroVaultServer


@pytest.fixture(scope="session")
def _nvframe_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the synthetic corpus of this session once."""
    from nvframe.testing.corpus.synthetic import synthetic_corpus

    return synthetic_corpus(tmp_path_factory.mktemp("nvframe-corpus"), grids=("RAS-8mm",), specials=False)


@pytest.fixture
def nvframe_server(_nvframe_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NeuroVaultServer]:
    """Serve 3 synthetic collections of 4 maps on loopback, with nvframe pointed at them."""
    from nvframe.testing.server.server import NeuroVaultServer

    with NeuroVaultServer.from_corpus(_nvframe_corpus) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def nvframe_registry() -> Iterator[Registry]:
    """Put a registry of the built-ins alone in the place of this process's own.

    Its `register` takes descriptors and modules with hook implementations; `nvframe.fetch` finds them by name, and
    nothing that is installed.
    """
    from nvframe.plugins.registry import Registry, installed

    with installed(Registry(group="")) as registry:
        yield registry


@pytest.fixture(params=["local", "memory", "s3"])
def nvframe_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Return an empty storage: a directory, one in memory, one on S3 where moto and s3fs are installed."""
    from nvframe.plugins.registry import default_registry

    if request.param == "s3":
        url = request.getfixturevalue("nvframe_bucket")
    else:
        url = str(tmp_path / "storage") if request.param == "local" else f"memory://{uuid.uuid4().hex}"
    storage: Storage = default_registry().storage(url)
    return storage


@pytest.fixture
def nvframe_bucket(_nvframe_s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make an empty bucket on loopback and return its URL; its credentials are the environment's only ones."""
    boto3, s3fs = pytest.importorskip("boto3"), pytest.importorskip("s3fs")

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, lines in {
        "AWS_SHARED_CREDENTIALS_FILE": "[default]\naws_access_key_id = test\naws_secret_access_key = test\n",
        "AWS_CONFIG_FILE": "[default]\nregion = us-east-1\n",
    }.items():
        path = tmp_path / name.lower()
        path.write_text(lines)
        monkeypatch.setenv(name, str(path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", _nvframe_s3)
    # s3fs would hand the connections of an earlier test out again, to a server that is gone.
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"nvframe-{uuid.uuid4().hex}"
    client: Any = boto3.Session().client("s3")
    client.create_bucket(Bucket=bucket)
    client.close()
    yield f"s3://{bucket}"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def _nvframe_s3() -> Iterator[str]:
    """Serve S3 on loopback and return where."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server", reason="install moto[server] to test with S3")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()
