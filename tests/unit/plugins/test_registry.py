"""The registry, with installed plugins that are real distributions on the path: good, broken and in conflict."""

import importlib
import shutil
import sys
import textwrap
import threading
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

import pytest

from nvframe.errors import (
    PluginConflictError,
    PluginError,
    PluginLoadError,
    PluginLoadWarning,
    UnknownPluginError,
)
from nvframe.plugins import (
    KINDS,
    AnnotatorPlugin,
    FilterPlugin,
    ImageProcessorPlugin,
    MetadataSourcePlugin,
    ResultFormatPlugin,
    StorageBackendPlugin,
    hookspecs,
)
from nvframe.plugins.registry import BUILTINS, Registry, default_registry, installed, load_factory
from nvframe.storage.local import LocalStorage
from nvframe.storage.remote import FsspecStorage
from nvframe.types import FetchEvent

PROCESSOR = """
from nvframe.plugins.hookspecs import hookimpl
from nvframe.plugins import ImageProcessorPlugin

class Made:
    def __init__(self, strength=1, *, timeout=None):
        self.strength, self.timeout = strength, timeout
    def __call__(self, img, record):
        return img

@hookimpl
def nvframe_image_processors():
    yield ImageProcessorPlugin({name!r}, Made, "from {name}")
"""


@pytest.fixture(autouse=True)
def switches(monkeypatch):
    for name in ("NVFRAME_DISABLE_PLUGINS", "NVFRAME_STRICT_PLUGINS", "NVFRAME_TRACE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution with one entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    imported = []

    def install(distribution, source, *, name=None, group="nvframe", version="1.0"):
        module = f"_plugin_{distribution.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name or distribution} = {module}\n")
        imported.append(module)
        importlib.invalidate_caches()

    yield install
    for module in imported:
        sys.modules.pop(module, None)


def processor(name):
    return PROCESSOR.format(name=name)


@pytest.fixture
def registry():
    return Registry()


# Built-ins


BUILT_IN = [
    (MetadataSourcePlugin, ["neurovault"]),
    (FilterPlugin, ["neurovault-basic-collections", "neurovault-basic-images"]),
    (StorageBackendPlugin, ["fsspec", "local", "s3"]),
    (ImageProcessorPlugin, ["mask", "resample", "resample-3mm", "smooth", "t-to-z"]),
    (AnnotatorPlugin, ["neurosynth-words"]),
]


@pytest.mark.parametrize(("kind", "names"), BUILT_IN)
def test_the_built_ins_are_there(registry, kind, names):
    built_in = [name for name in registry.names(kind) if registry.get(kind, name).builtin]
    assert built_in == names
    for name in names:
        found = registry.get(kind, name)
        assert (found.builtin, found.distribution, found.plugin.name) == (True, "nvframe", name)
        assert callable(load_factory(found.plugin))
        assert found.plugin.summary


def test_result_formats_load(registry):
    for name in ("bunch", "pandas", "xarray"):
        built, _, _ = registry.build(ResultFormatPlugin, name)
        assert callable(built.build)


class Touched(BaseException):
    """Raised where installed packages are looked at."""


def test_built_ins_do_not_touch_entry_points(monkeypatch, tmp_path):
    def explode(**kwargs):
        raise Touched("entry points were looked at")

    monkeypatch.setattr(metadata, "entry_points", explode)
    registry = Registry()
    for kind, names in BUILT_IN:
        for name in names:
            registry.get(kind, name)
    registry.build(ImageProcessorPlugin, "resample-3mm")
    registry.storage(str(tmp_path))
    with pytest.raises(Touched):
        registry.get(ImageProcessorPlugin, "resmple")


def test_the_core_names_its_plugin_sets_in_one_place():
    assert all(name.startswith("nvframe.") for name in BUILTINS)
    assert default_registry() is default_registry()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_hook(kind):
    assert hasattr(hookspecs, f"nvframe_{kind.plural}")


# Descriptors


@pytest.mark.parametrize("name", ["Resample", "a_b", "", "-a", "a--b", "a b", None, 3])
def test_a_name_is_kebab_case(name):
    with pytest.raises(PluginError, match="not kebab-case"):
        ImageProcessorPlugin(name, print)


def test_a_plugin_for_a_newer_api_says_so():
    with pytest.raises(PluginError, match="needs plugin API 2, this nvframe speaks 1: update nvframe"):
        ImageProcessorPlugin("future", print, api=2)


# Installed ones


def test_an_installed_plugin_is_found(install, registry):
    install("lab-tools", processor("denoise"), version="2.3")
    found = registry.get(ImageProcessorPlugin, "denoise")
    assert (found.distribution, found.version, found.builtin) == ("lab-tools", "2.3", False)
    row = next(row for row in registry.listing() if row.name == "denoise")
    assert (row.kind, row.distribution, row.version, row.state, row.summary) == (
        "processor",
        "lab-tools",
        "2.3",
        "ok",
        "from denoise",
    )


def test_an_unknown_name_comes_with_the_nearest(install, registry):
    install("lab-tools", processor("denoise"))
    with pytest.raises(
        UnknownPluginError, match=r"no processor is called 'densoise': did you mean 'denoise'\?"
    ):
        registry.get(ImageProcessorPlugin, "densoise")
    with pytest.raises(UnknownPluginError, match="there are denoise, mask, resample"):
        registry.get(ImageProcessorPlugin, "qqqqqq")
    with pytest.raises(UnknownPluginError, match="no source is called"):
        registry.get(MetadataSourcePlugin, "denoise")


def test_two_distributions_with_one_name_are_a_conflict_when_it_is_asked_for(install, registry):
    install("lab-a", processor("denoise"))
    install("lab-b", processor("denoise"), version="2.0")
    install("lab-c", processor("sharpen"))
    assert registry.get(ImageProcessorPlugin, "sharpen").distribution == "lab-c"
    with pytest.raises(PluginConflictError, match=r"'denoise' is registered by lab-a 1\.0 and lab-b 2\.0"):
        registry.get(ImageProcessorPlugin, "denoise")
    states = {
        row.distribution: row.state for row in registry.listing() if row.distribution.startswith("lab-")
    }
    assert states == {"lab-a": "conflict", "lab-b": "conflict", "lab-c": "ok"}


def test_disabling_one_ends_the_conflict(install, monkeypatch):
    install("lab-a", processor("denoise"))
    install("lab-b", processor("denoise"))
    monkeypatch.setenv("NVFRAME_DISABLE_PLUGINS", "lab-a")
    assert Registry().get(ImageProcessorPlugin, "denoise").distribution == "lab-b"


def test_a_built_in_is_never_overruled(install, registry):
    install("lab-a", processor("smooth"))
    assert "smooth" in registry.names(ImageProcessorPlugin)
    assert registry.get(ImageProcessorPlugin, "smooth").builtin
    row = next(row for row in registry.listing() if row.distribution == "lab-a")
    assert (row.name, row.state) == ("smooth", "shadowed")


def test_one_distribution_twice_on_the_path_is_no_conflict(install, registry, tmp_path, monkeypatch):
    install("lab-tools", processor("denoise"))
    again = tmp_path / "again"
    again.mkdir()
    shutil.copytree(tmp_path / "lab_tools-1.0.dist-info", again / "lab_tools-1.0.dist-info")
    monkeypatch.syspath_prepend(again)
    assert registry.get(ImageProcessorPlugin, "denoise").distribution == "lab-tools"
    rows = [row for row in registry.listing() if row.distribution == "lab-tools"]
    assert [(row.name, row.state) for row in rows] == [("denoise", "ok")]


def test_a_name_registered_twice_by_one_distribution_is_its_own_fault(install, registry):
    twice = processor("denoise") + "    yield ImageProcessorPlugin('denoise', dict)\n"
    install("lab-tools", twice + "    yield ImageProcessorPlugin('sharpen', Made)\n")
    with pytest.warns(PluginLoadWarning, match="lab-tools 1.0 was left out: .*'denoise' is registered twice"):
        found = registry.get(ImageProcessorPlugin, "denoise")
    assert found.plugin.summary == "from denoise"
    assert registry.get(ImageProcessorPlugin, "sharpen").distribution == "lab-tools"
    assert ("lab-tools", "broken") in {(row.distribution, row.state) for row in registry.listing()}


def test_threads_that_ask_at_once_load_each_plugin_once(install, registry):
    slow = "import threading; threading.Event().wait(0.05)\n"
    install("lab-tools", slow + processor("denoise"))
    barrier = threading.Barrier(4)

    def ask(_):
        barrier.wait()
        return registry.get(ImageProcessorPlugin, "denoise").distribution

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == ["lab-tools"] * 4
    assert [row.distribution for row in registry.listing() if row.name == "denoise"] == ["lab-tools"]


def test_a_plugin_may_look_at_the_plugins_while_it_is_imported(install):
    asks = "from nvframe.plugins.registry import default_registry\nSEEN = default_registry().listing()\n"
    install("lab-tools", asks + processor("denoise"))
    with installed(Registry()) as registry:
        assert registry.get(ImageProcessorPlugin, "denoise").distribution == "lab-tools"
    assert len(sys.modules["_plugin_lab_tools"].SEEN) > 5


def test_descriptors_and_modules_are_registered_without_installing(nvframe_registry):
    module = types.ModuleType("mine")
    exec(processor("denoise") + OBSERVER, vars(module))
    nvframe_registry.register(module, ImageProcessorPlugin("sharpen", dict), distribution="mine", version="7")
    assert default_registry() is nvframe_registry
    assert [nvframe_registry.get(ImageProcessorPlugin, name).version for name in ("denoise", "sharpen")] == [
        "7"
    ] * 2
    assert [row.name for row in nvframe_registry.listing() if row.distribution == "mine"] == [
        "denoise",
        "sharpen",
    ]
    (observer,) = nvframe_registry.observers()
    observer(FetchEvent("start"))
    assert module.seen == [FetchEvent("start")]


def test_the_registry_of_a_test_knows_nothing_that_is_installed(install, nvframe_registry):
    install("lab-tools", processor("denoise"))
    install("lab-watch", OBSERVER, group="nvframe.observers")
    assert "denoise" not in nvframe_registry.names(ImageProcessorPlugin)
    assert nvframe_registry.observers() == []


def test_an_observer_may_leave_out_the_event(install, registry):
    install(
        "lab-watch",
        "from nvframe import hookimpl\ntimes = []\n@hookimpl\ndef nvframe_fetch_event():\n    times.append(1)",
        group="nvframe.observers",
    )
    (observer,) = registry.observers()
    observer(FetchEvent("start"))
    assert sys.modules["_plugin_lab_watch"].times == [1]


# Broken ones


BROKEN = {
    "import": ("import nosuchmodule_xyz", "ModuleNotFoundError"),
    "syntax": ("def f(:", "SyntaxError"),
    "raises": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "typo": (
        "from nvframe.plugins.hookspecs import hookimpl\n@hookimpl\ndef nvframe_image_procesors(): yield 1",
        "nvframe_image_procesors",
    ),
    "not a descriptor": (
        "from nvframe.plugins.hookspecs import hookimpl\n@hookimpl\ndef nvframe_image_processors(): yield 'mine'",
        "'mine', not a ImageProcessorPlugin",
    ),
    "no list": (
        "from nvframe.plugins.hookspecs import hookimpl\n@hookimpl\ndef nvframe_image_processors(): return None",
        "TypeError",
    ),
    "exits": ("import sys\nsys.exit('not here')", "SystemExit: not here"),
    "no api": (
        "from nvframe.plugins.hookspecs import hookimpl\nfrom nvframe.plugins import FilterPlugin\n"
        "@hookimpl\ndef nvframe_filters(): yield FilterPlugin('f', print, api='1')",
        "api is '1'",
    ),
    "other kind": (
        "from nvframe.plugins.hookspecs import hookimpl\nfrom nvframe.plugins import FilterPlugin\n"
        "@hookimpl\ndef nvframe_image_processors(): yield FilterPlugin('f', print)",
        "not a ImageProcessorPlugin",
    ),
    "bad name": (
        "from nvframe.plugins.hookspecs import hookimpl\nfrom nvframe.plugins import ImageProcessorPlugin\n"
        "@hookimpl\ndef nvframe_image_processors(): yield ImageProcessorPlugin('My Name', print)",
        "not kebab-case",
    ),
}


@pytest.mark.parametrize(("source", "problem"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_costs_one_warning_and_is_named_where_it_is_missed(
    install, registry, source, problem
):
    install("lab-broken", source, version="0.9")
    install("lab-good", processor("denoise"))
    with pytest.warns(PluginLoadWarning, match=r"'lab-broken' of lab-broken 0\.9 was left out") as caught:
        assert registry.get(ImageProcessorPlugin, "denoise").distribution == "lab-good"
    assert len(caught) == 1
    assert problem in str(caught[0].message)
    with pytest.raises(
        UnknownPluginError, match=r"left out because they do not load: lab-broken \("
    ) as error:
        registry.get(ImageProcessorPlugin, "brokenn")
    assert problem in str(error.value)
    row = next(row for row in registry.listing() if row.distribution == "lab-broken")
    assert (row.state, row.version) == ("broken", "0.9")
    assert problem in row.summary


def test_a_broken_hook_costs_only_its_own_plugins(install, registry):
    install(
        "lab-half",
        processor("denoise") + "\n@hookimpl\ndef nvframe_annotators():\n    raise OSError('no words')\n",
    )
    with pytest.warns(PluginLoadWarning, match="OSError: no words"):
        assert registry.get(ImageProcessorPlugin, "denoise").distribution == "lab-half"


def test_two_distributions_may_name_their_entry_points_alike(install, registry):
    for distribution in ("lab-a", "lab-b"):
        install(distribution, "raise RuntimeError", name="plugin")
    with pytest.warns(PluginLoadWarning) as caught:
        registry.names(ImageProcessorPlugin)
    assert sorted(str(each.message).split()[3] for each in caught) == ["lab-a", "lab-b"]
    assert {row.distribution for row in registry.listing() if row.state == "broken"} == {"lab-a", "lab-b"}


def test_strict_raises_every_time(install, monkeypatch):
    install("lab-broken", "raise RuntimeError('no licence')")
    install("lab-good", processor("denoise"), name="aaa")
    monkeypatch.setenv("NVFRAME_STRICT_PLUGINS", "1")
    registry = Registry()
    for _ in range(2):
        with pytest.raises(
            PluginLoadError, match=r"'lab-broken' of lab-broken 1\.0: RuntimeError: no licence"
        ):
            registry.get(ImageProcessorPlugin, "denoise")
    monkeypatch.delenv("NVFRAME_STRICT_PLUGINS")
    with pytest.warns(PluginLoadWarning):
        assert registry.get(ImageProcessorPlugin, "denoise").distribution == "lab-good"


def test_a_warning_made_an_error_loses_no_good_plugin(install, registry):
    install("a-broken", "raise RuntimeError")
    install("lab-good", processor("denoise"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginLoadWarning):
            registry.get(ImageProcessorPlugin, "denoise")
        assert registry.get(ImageProcessorPlugin, "denoise").distribution == "lab-good"


@pytest.mark.parametrize("told", [b"[nvframe]\nno equals sign\n", b"[nvframe]\nlatin = caf\xe9\n"])
def test_a_list_that_cannot_be_read_costs_only_its_own_package(install, registry, tmp_path, told):
    install("lab-good", processor("denoise"))
    install("lab-odd", "")
    (tmp_path / "lab_odd-1.0.dist-info" / "entry_points.txt").write_bytes(told)
    assert isinstance(registry.observers(), list)  # asked for by every fetch
    with pytest.warns(PluginLoadWarning, match=r"'lab-odd' of lab-odd 1\.0 was left out: .* cannot be read"):
        assert registry.get(ImageProcessorPlugin, "denoise").distribution == "lab-good"
    assert [row.state for row in registry.listing() if row.distribution == "lab-odd"] == ["broken"]


def test_a_package_that_is_half_uninstalled_has_no_name(install, registry, tmp_path):
    install("lab-gone", "raise RuntimeError('half')")
    (tmp_path / "lab_gone-1.0.dist-info" / "METADATA").unlink()
    with pytest.warns(PluginLoadWarning, match="'lab-gone' of unknown .* was left out: RuntimeError: half"):
        rows = [row for row in registry.listing() if row.name == "lab-gone"]
    assert [(row.distribution, row.state) for row in rows] == [("unknown", "broken")]


@pytest.mark.parametrize("disabled", ["lab-broken", "Lab_Broken", "its-name", "*", "other, lab-broken ,more"])
def test_a_disabled_plugin_is_not_loaded(install, monkeypatch, disabled):
    install("lab-broken", "raise RuntimeError", name="its-name")
    monkeypatch.setenv("NVFRAME_DISABLE_PLUGINS", disabled)
    registry = Registry()
    assert "resample" in registry.names(ImageProcessorPlugin)
    row = next(row for row in registry.listing() if row.distribution == "lab-broken")
    assert (row.state, row.name) == ("disabled", "its-name")
    with pytest.raises(UnknownPluginError, match=r"disabled by NVFRAME_DISABLE_PLUGINS: .*lab-broken"):
        registry.get(ImageProcessorPlugin, "its-steps")


def test_a_trace_says_what_is_loaded(install, monkeypatch, capsys):
    install("lab-tools", processor("denoise"))
    Registry().names(ImageProcessorPlugin)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("NVFRAME_TRACE_PLUGINS", "1")
    Registry().names(ImageProcessorPlugin)
    told = capsys.readouterr().err
    assert "loading _plugin_lab_tools of lab-tools 1.0" in told
    assert "found processor 'denoise'" in told


# Selectors


def test_a_selector_is_a_name_a_pair_or_an_object(install, registry):
    install("lab-tools", processor("denoise"))
    plain, registered, params = registry.build(ImageProcessorPlugin, "denoise")
    assert (plain.strength, registered.plugin.name, params) == (1, "denoise", {})
    strong, _, params = registry.build(ImageProcessorPlugin, ("denoise", {"strength": 5}))
    assert (strong.strength, params) == (5, {"strength": 5})
    assert registry.build(ImageProcessorPlugin, print) == (print, None, {})


@pytest.mark.parametrize("hash_of", [None, lambda self: hash([])], ids=["none", "of a list"])
def test_a_factory_that_cannot_be_hashed_is_checked_too(registry, hash_of):
    class Equal:
        __hash__ = hash_of

        def __eq__(self, other):
            return isinstance(other, Equal)

        def __call__(self, strength=1):
            return lambda img, record: img

    registry.register(ImageProcessorPlugin("equal", Equal()), ImageProcessorPlugin("other", lambda: print))
    for _ in range(2):
        registry.build(ImageProcessorPlugin, ("equal", {"strength": 2}))
        for name in ("equal", "other"):
            with pytest.raises(PluginError, match=f"processor '{name}': .*unexpected keyword"):
                registry.build(ImageProcessorPlugin, (name, {"strenght": 2}))


def test_what_the_call_knows_is_passed_where_the_factory_takes_it(install, registry):
    install("lab-tools", processor("denoise"))
    built, _, params = registry.build(ImageProcessorPlugin, "denoise", timeout=3.0, retry="unknown to it")
    assert (built.timeout, params) == (3.0, {})
    built, _, params = registry.build(ImageProcessorPlugin, ("denoise", {"timeout": 9}), timeout=3.0)
    assert (built.timeout, params) == (9, {"timeout": 9})


def test_what_the_call_knows_needs_no_default(install, registry):
    install("lab-tools", processor("denoise").replace("timeout=None", "timeout"))
    assert registry.build(ImageProcessorPlugin, "denoise", timeout=3.0)[0].timeout == 3.0
    with pytest.raises(PluginError, match="missing a required argument: 'timeout'"):
        registry.build(ImageProcessorPlugin, "denoise")


@pytest.mark.parametrize(
    "selector", [(), ("smooth",), ("smooth", 5), (5, {}), ("smooth", {}, {}), ("a", "b")]
)
def test_a_selector_of_another_form_is_refused(registry, selector):
    with pytest.raises(PluginError, match="selects no processor: give a name"):
        registry.build(ImageProcessorPlugin, selector)


@pytest.mark.parametrize("params", [{"strenght": 5}, {"strength": 5, "more": 1}])
def test_parameters_are_checked_against_the_factory(install, registry, params):
    install("lab-tools", processor("denoise"))
    with pytest.raises(
        PluginError, match=r"processor 'denoise': .*unexpected keyword.*it takes \(strength=1"
    ):
        registry.build(ImageProcessorPlugin, ("denoise", params))


def test_a_missing_parameter_is_named(registry):
    with pytest.raises(PluginError, match="missing a required argument: 'fwhm'"):
        registry.build(ImageProcessorPlugin, "smooth")


def test_bad_parameters_cost_no_request(tmp_path):
    import nvframe
    from nvframe.testing import NeuroVaultServer

    with NeuroVaultServer.synthetic(1, 1) as server:
        source = ("neurovault", {"url": server.url})
        for bad in (
            {"processors": [("smooth", {"fwmh": 6})]},
            {"processors": ["resmple"]},
            {"annotators": ["neurosynth-word"]},
            {"filters": ["neurovault-basic"]},
            {"processors": [("resample", {"interpolation": "cubical"})]},
        ):
            with pytest.raises((PluginError, ValueError)):
                nvframe.fetch(source, data_dir=tmp_path, **bad)
        with pytest.raises(PluginError, match="url_"):
            nvframe.fetch(("neurovault", {"url_": server.url}), data_dir=tmp_path)
        assert server.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("factory", ["nosuchmodule_xyz:Thing", "nvframe.types:NoSuchThing", "nvframe.types:"])
def test_a_factory_that_cannot_be_imported_says_what_to_install(factory):
    plugin = ImageProcessorPlugin("fancy", factory, requires=("nvframe[plot]", "fancy>=2"))
    with pytest.raises(
        PluginLoadError, match=r"processor 'fancy' cannot be loaded: install nvframe\[plot\], fancy>=2"
    ):
        load_factory(plugin)
    with pytest.raises(PluginLoadError, match=r"cannot be loaded: .*(nosuchmodule_xyz|attribute)"):
        load_factory(ImageProcessorPlugin("fancy", factory))


def test_a_factory_without_a_signature_checks_for_itself(install, registry):
    install("lab-tools", processor("denoise").replace(", Made,", ", dict,"))
    assert registry.build(ImageProcessorPlugin, ("denoise", {"a": 1}), timeout=3.0)[0] == {"a": 1}


@pytest.mark.parametrize(
    ("factory", "problem"),
    [
        ("", "ValueError: Empty module name"),
        (None, "its factory is None"),
        (3, "its factory is 3, which cannot"),
    ],
)
def test_a_factory_that_is_none_is_an_error_of_the_plugin(factory, problem):
    with pytest.raises(PluginLoadError, match=f"processor 'fancy' cannot be loaded: {problem}"):
        load_factory(ImageProcessorPlugin("fancy", factory))


@pytest.mark.parametrize("source", ["raise RuntimeError('no licence')", "def (:", "raise SystemExit(3)"])
def test_a_factory_whose_module_raises_is_an_error_of_the_plugin(tmp_path, monkeypatch, source):
    (tmp_path / "_odd_factory.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginLoadError, match=r"'fancy' cannot be loaded: (RuntimeErr|SyntaxErr|SystemEx)"):
        load_factory(ImageProcessorPlugin("fancy", "_odd_factory:Made"))


# Storage


def test_storage_is_found_by_protocol(registry, tmp_path):
    assert isinstance(registry.storage(str(tmp_path)), LocalStorage)
    assert isinstance(registry.storage(f"file://{tmp_path}"), LocalStorage)
    assert isinstance(registry.storage("memory://x"), FsspecStorage)


def test_an_installed_backend_is_taken_for_its_protocol(install, registry):
    install(
        "lab-store",
        """
        from nvframe.plugins.hookspecs import hookimpl
        from nvframe.plugins import StorageBackendPlugin

        @hookimpl
        def nvframe_storage_backends():
            yield StorageBackendPlugin("labstore", lambda url, **options: (url, options))
        """,
    )
    assert registry.storage("labstore://x", {"anon": True}) == ("labstore://x", {"anon": True})


# Observers


OBSERVER = """
from nvframe.plugins.hookspecs import hookimpl
seen = []

@hookimpl
def nvframe_fetch_event(event):
    seen.append(event)
"""


def test_observers_have_a_group_of_their_own(install, registry):
    install("lab-watch", OBSERVER, group="nvframe.observers")
    (observer,) = registry.observers()
    event = FetchEvent("start")
    observer(event)
    assert sys.modules["_plugin_lab_watch"].seen == [event]
    assert "lab-watch" not in {row.distribution for row in registry.listing()}


def test_no_observer_is_loaded_from_the_plugins(install, registry):
    install("lab-watch", OBSERVER)
    assert registry.observers() == []


def test_a_broken_observer_costs_one_warning(install, registry):
    install("lab-watch", "raise RuntimeError", group="nvframe.observers")
    install("lab-idle", "nvframe_fetch_event = 3", group="nvframe.observers")
    with pytest.warns(PluginLoadWarning, match="lab-watch") as caught:
        found = [registry.observers() for _ in range(2)]
    assert found == [[], []]
    assert len(caught) == 1


def test_a_disabled_observer_is_not_loaded(install, monkeypatch):
    install("lab-watch", "raise RuntimeError", group="nvframe.observers")
    monkeypatch.setenv("NVFRAME_DISABLE_PLUGINS", "*")
    assert Registry().observers() == []
