"""A fetch whose work is done by other processes: a Dask cluster, into a shared directory and into a bucket."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import xarray as xr

import nvframe
from nvframe.errors import NvframeError, PluginError, StorageError

distributed = pytest.importorskip("distributed")


pytestmark = pytest.mark.usefixtures("server")


@contextmanager
def dask_cluster(environ=None):
    """Start two worker processes, which have `environ` besides what is set now."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in (environ or {}).items():
                environment.setenv(name, value)
            cluster = distributed.LocalCluster(
                2, processes=True, threads_per_worker=2, dashboard_address="127.0.0.1:0", host="127.0.0.1"
            )
            stack.enter_context(cluster)
        yield stack.enter_context(distributed.Client(cluster))


def of(user):
    """Return the variables that give a process one user's credentials."""
    return {"AWS_ACCESS_KEY_ID": user["key"], "AWS_SECRET_ACCESS_KEY": user["secret"]}


def everything(executor, data_dir, **options):
    return nvframe.fetch(data_dir=data_dir, max_images=None, executor=executor, **options)


def hidden(directory):
    return [path for path in directory.rglob("*") if path.name.startswith(".")]


def test_the_cluster_does_the_same_as_threads(tmp_path):
    steps = {"processors": ["resample-3mm"], "annotators": ["neurosynth-words"]}
    by_threads = everything(None, tmp_path / "threads", **steps)
    with dask_cluster() as client:
        by_cluster = everything(client.get_executor(pure=False), tmp_path / "cluster", **steps)
    assert len(by_cluster) == 12
    assert [asset.sha256 for asset in by_cluster.assets] == [asset.sha256 for asset in by_threads.assets]
    assert by_cluster.annotations == by_threads.annotations
    assert hidden(tmp_path) == []


def test_workers_keep_their_connections(tmp_path, server):
    with ProcessPoolExecutor(1) as pool:
        frame = everything(pool, tmp_path)
    assert len(frame) == 12
    downloads = [request for request in server.requests if request.path.startswith("/media/")]
    assert len({request.client for request in downloads}) == 1


def test_a_killed_workers_tasks_run_again(tmp_path):
    marker = tmp_path / "killed"

    def kill_once(img, record):
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return img

    with dask_cluster() as client:
        frame = everything(client.get_executor(pure=False), tmp_path / "data", processors=[kill_once])
    assert marker.exists()
    assert (len(frame), frame.failures) == (12, [])
    assert all(frame.load(i).get_fdata().any() for i in range(12))
    assert hidden(tmp_path) == []


def test_an_image_that_kills_every_worker_is_a_failure_of_its_own(tmp_path, recwarn):
    def kill(img, record):
        os.kill(os.getpid(), signal.SIGKILL)

    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), dask_cluster() as client:
        frame = nvframe.fetch(
            image_ids=[1001],
            data_dir=tmp_path,
            processors=[kill],
            executor=client.get_executor(pure=False),
            on_error="ignore",
        )
    (failure,) = frame.failures
    assert (failure.image_id, failure.plugin, failure.error_type) == ("1001", "executor", "KilledWorker")


def test_a_pool_that_breaks_down_says_what_to_do(tmp_path):
    everything(None, tmp_path, collection_ids=[1])
    with ProcessPoolExecutor(1) as pool, pytest.raises(NvframeError, match="What is stored stays") as caught:
        everything(pool, tmp_path, processors=[_Killer()])
    assert "run the same call again" in str(caught.value)
    assert len(nvframe.fetch(data_dir=tmp_path, mode="offline")) == 4


class _Killer:
    def __call__(self, img, record):
        os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_cannot_see_the_directory_are_refused():
    spawn = multiprocessing.get_context("spawn")  # a fork would see what was in memory before it
    with (
        ProcessPoolExecutor(1, spawn) as pool,
        pytest.raises(StorageError, match="cannot see memory://") as caught,
    ):
        everything(pool, "memory://of-one-process")
    assert "use a directory that all workers share" in str(caught.value)


def test_a_plan_that_somebody_changed_is_not_run(tmp_path):
    class Meddled(ProcessPoolExecutor):
        def submit(self, work, *args):
            for plan in (tmp_path / "neurovault/.nvframe-staging").iterdir():
                plan.write_bytes(pickle.dumps("theirs"))
            return super().submit(work, *args)

    with Meddled(1) as pool, pytest.raises(StorageError, match="refused to run it"):
        everything(pool, tmp_path)


def test_what_does_not_pickle_is_named_before_any_download(tmp_path, server):
    lock = threading.Lock()

    def locked(img, record):
        with lock:
            return img

    with (
        ProcessPoolExecutor(1) as pool,
        pytest.raises(PluginError, match=r"processor '.*locked' cannot be sent"),
    ):
        everything(pool, tmp_path, processors=["resample-3mm", locked])
    assert [request.path for request in server.requests if request.path.startswith("/media/")] == []


def test_a_client_in_place_of_its_executor_is_explained(tmp_path):
    with dask_cluster() as client, pytest.raises(TypeError, match=r"client\.get_executor\(pure=False\)"):
        everything(client, tmp_path)
    assert hidden(tmp_path) == []


def test_a_bucket_is_filled_with_the_workers_own_credentials(make_bucket, guarded):
    make_bucket("lab")
    own = guarded()
    with dask_cluster(of(own)) as client:
        frame = everything(client.get_executor(pure=False), "s3://lab/maps", storage_options=own)
    assert (len(frame), frame.failures) == (12, [])
    assert frame.load(11).get_fdata().any()


def test_a_zarr_is_filled_by_the_cluster(tmp_path):
    frame = everything(None, tmp_path)
    by_threads, by_cluster = str(tmp_path / "threads.zarr"), str(tmp_path / "cluster.zarr")
    frame.to_zarr(by_threads)
    with dask_cluster() as client:
        frame.to_zarr(by_cluster, executor=client.get_executor(pure=False))
    with xr.open_zarr(by_threads) as one, xr.open_zarr(by_cluster) as other:
        assert other.status.values.tolist() == [1] * 12
        xr.testing.assert_identical(one.load(), other.load())


def test_a_zarr_in_a_bucket_is_filled_with_the_workers_own_credentials(make_bucket, guarded):
    make_bucket("lab")
    own = guarded()
    frame = everything(None, "s3://lab/maps", storage_options=own)
    with dask_cluster() as client, pytest.raises(StorageError, match="set credentials in their environment"):
        frame.to_zarr("s3://lab/cube.zarr", storage_options=own, executor=client.get_executor(pure=False))
    with dask_cluster(of(own)) as client:
        frame.to_zarr("s3://lab/cube.zarr", storage_options=own, executor=client.get_executor(pure=False))
    with xr.open_zarr("s3://lab/cube.zarr", storage_options=own) as ds:
        assert ds.status.values.tolist() == [1] * 12
        assert ds.stat_map.notnull().any(("x", "y", "z")).all()


def test_workers_without_credentials_say_where_to_set_them(make_bucket, guarded):
    make_bucket("lab")
    own = guarded()
    with (
        dask_cluster() as client,
        pytest.raises(StorageError, match="set credentials in their environment") as caught,
    ):
        everything(client.get_executor(pure=False), "s3://lab/maps", storage_options=own)
    assert own["secret"] not in str(caught.value)
    assert own["key"] not in str(caught.value)


def test_jobs_of_an_array_share_the_images_among_them(tmp_path):
    command = [
        sys.executable,
        "-m",
        "nvframe",
        "fetch",
        "--max-images",
        "all",
        "--json",
        "--data-dir",
        tmp_path,
    ]
    jobs = [
        subprocess.Popen([*command, "--shard", f"{i}/3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for i in range(3)
    ]
    fetched = []
    for job in jobs:
        out, err = job.communicate(timeout=60)
        assert job.returncode == 0, err.decode()
        fetched.append([image["id"] for image in json.loads(out)["images"]])
    assert sorted(image for part in fetched for image in part) == list(range(1001, 1013))
    assert min(map(len, fetched)) > 0
    assert len(nvframe.fetch(data_dir=tmp_path, max_images=None, mode="offline")) == 12
    second = nvframe.fetch(data_dir=tmp_path, max_images=None, shard=(1, 3), mode="offline")
    assert [meta["id"] for meta in second.images_meta] == fetched[1]


@pytest.mark.parametrize("shard", ["8/8", "one", "1", "-1/8"])
def test_a_part_that_does_not_exist_is_refused(shard, tmp_path):
    command = [sys.executable, "-m", "nvframe", "fetch", "--data-dir", tmp_path, "--shard", shard]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "is not a part: write 0/8 to 7/8" in done.stderr
