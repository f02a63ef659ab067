"""nvframe's kit, on the result format and the annotator."""

import nibabel as nib
import numpy as np

from nvframe.testing import AnnotatorConformance, ResultFormatConformance
from nvframe_atlas import nvframe_annotators, nvframe_result_formats

_DATA = np.zeros((12, 14, 12), "uint8")
_DATA[:6], _DATA[6:] = 1, 2
HALVES = nib.Nifti1Image(_DATA, nib.affines.from_matvec(np.diag([8, 8, 8]), [-44, -60, -40]))


class TestRegionsFormat(ResultFormatConformance):
    (plugin,) = nvframe_result_formats()
    build_parameters = {"atlas": HALVES, "names": ["left", "right"]}

    def ids(self, result):
        return result.dropna(how="all").index  # a map that could not be read keeps its row


class TestRegions(AnnotatorConformance):
    (plugin,) = nvframe_annotators()
    parameters = {"atlas": HALVES, "names": ["left", "right"]}
    refused_parameters = ({"atlas": HALVES, "names": ["left"]}, {"atlas": 7})
