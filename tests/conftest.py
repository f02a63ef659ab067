"""What several rooms of the tests share."""

import warnings

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("nvframe", deadline=None)
settings.load_profile("nvframe")


@pytest.fixture
def peer(monkeypatch):
    """Return a function that points nilearn at a server and returns ``nilearn.datasets.neurovault``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nilearn.datasets import neurovault

    def forget_session():
        session = getattr(neurovault._requests_session, "session", None)
        if session is not None:
            session.close()
        neurovault._requests_session.session = None

    def pointed_at(server):
        forget_session()
        api = f"{server.url}/api/"
        monkeypatch.setattr(neurovault, "_NEUROVAULT_BASE_URL", api)
        monkeypatch.setattr(neurovault, "_NEUROVAULT_COLLECTIONS_URL", f"{api}collections/")
        monkeypatch.setattr(neurovault, "_NEUROVAULT_IMAGES_URL", f"{api}images/")
        monkeypatch.setattr(neurovault, "_NEUROSYNTH_FETCH_WORDS_URL", f"{api}decode/")
        return neurovault

    yield pointed_at
    forget_session()
