"""Image processors, each with one fault; `fault` names the check that must find it."""

import threading

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from nvframe.plugins import ImageProcessorPlugin
from nvframe.testing import ProcessorConformance
from nvframe.types import Processed


class Doubled:
    """Does everything right."""

    version = "1"

    def __init__(self, factor=2):
        self.factor = factor

    def __call__(self, img, record):
        return Nifti1Image(np.asarray(img.dataobj) * np.float32(self.factor), img.affine)


class Kit(ProcessorConformance):
    broken = Doubled

    @pytest.fixture
    def processor(self):
        return self.broken()


class BrokenDescriptor(Kit):
    fault = "descriptor_is_complete"
    plugin = ImageProcessorPlugin("doubled", Doubled)


def takes_anything(**anything):
    return Doubled()


class BrokenParameters(Kit):
    fault = "misspelt_parameter_is_refused"
    plugin = ImageProcessorPlugin("doubled", takes_anything, "twice as much")


class BrokenValues(Kit):
    fault = "wrong_value_is_refused"
    plugin = ImageProcessorPlugin("doubled", Doubled, "twice as much")
    refused_parameters = ({"factor": "two"},)


class Flattening(Doubled):
    def __call__(self, img, record):
        return Nifti1Image(np.asarray(img.dataobj)[:, :, 0], img.affine)


class BrokenResult(Kit):
    fault = "returns_an_image"
    also = ("works_on_read_only_voxels", "odd_image_is_no_trouble", "metadata_may_be_missing")
    broken = Flattening


class Scribbler(Doubled):
    def __call__(self, img, record):
        img.header["descrip"] = b"doubled"
        return super().__call__(img, record)


class BrokenInput(Kit):
    fault = "leaves_its_input_alone"
    broken = Scribbler


class InPlace(Doubled):
    def __call__(self, img, record):
        np.asanyarray(img.dataobj)[0, 0, 0] *= 1
        return super().__call__(img, record)


class BrokenOnReadOnly(Kit):
    fault = "works_on_read_only_voxels"
    broken = InPlace


class Random(Doubled):
    def __call__(self, img, record):
        return Nifti1Image(np.random.default_rng().normal(size=img.shape), img.affine)


class BrokenRepetition(Kit):
    fault = "gives_the_same_again"
    also = ("pickles", "threads_may_share_it")
    broken = Random


class Forgetful(Doubled):
    def parameters(self):
        return {"factor": 2}

    def __setstate__(self, state):
        self.factor = 1


class BrokenPickling(Kit):
    fault = "pickles"
    broken = Forgetful


class Unnamed(Doubled):
    def __init__(self):
        super().__init__()
        self.token = object()


class BrokenIdentity(Kit):
    fault = "identity_survives_pickling"
    broken = Unnamed


BUSY = threading.Lock()


class Shared(Doubled):
    def __call__(self, img, record):
        alone = BUSY.acquire(blocking=False)
        threading.Event().wait(0.05)
        if alone:
            BUSY.release()
        return Nifti1Image(np.asarray(img.dataobj) * np.float32(alone), img.affine)


class BrokenThreads(Kit):
    fault = "threads_may_share_it"
    broken = Shared


class Coarse(Doubled):
    def __call__(self, img, record):
        made = super().__call__(img, record)
        if np.isfinite(made.dataobj).all():
            made.header.set_data_dtype(np.uint8)
        return made


class BrokenStorage(Kit):
    fault = "result_can_be_stored"
    broken = Coarse


class Chatty(Doubled):
    def __call__(self, img, record):
        return Processed(super().__call__(img, record), {"range": (0, 1)})


class BrokenMetadata(Kit):
    fault = "metadata_are_json"
    broken = Chatty


class Flat(Doubled):
    def __call__(self, img, record):
        _x, _y, _z = img.shape
        return super().__call__(img, record)


class BrokenOnOddImages(Kit):
    fault = "odd_image_is_no_trouble"
    broken = Flat


class Trusting(Doubled):
    def __call__(self, img, record):
        record.metadata["map_type"]
        return super().__call__(img, record)


class BrokenWithoutMetadata(Kit):
    fault = "metadata_may_be_missing"
    broken = Trusting
