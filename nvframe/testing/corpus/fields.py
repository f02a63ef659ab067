"""Metadata rows as NeuroVault's API has them, for images that nobody measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from nvframe.testing.corpus.brains import TASKS, Style, Task

BASE_URL = "http://nvframe.invalid"
"""Address in the links of a corpus; the server that shows it puts in its own."""

_EPOCH = datetime(2024, 1, 1, 12, tzinfo=UTC)
_NOTE = "Synthetic, made by nvframe.testing: no measured data."
_MAP_TYPES = {"thresholded": "Z map", "roi": "ROI/mask"}

# NeuroVault's fields, in its order, that are null in most rows
_SUBJECT_FIELDS = """
handedness age sex race ethnicity BMI fat_percentage waist_hip_ratio mean_PDS_score tanner_stage
days_since_menstruation hours_since_last_meal bis_bas_score spsrq_score bis11_score
"""
_PARADIGM_FIELDS = """
contrast_definition_cogatlas cognitive_paradigm_description_url cognitive_paradigm_short_description
cognitive_paradigm_name
"""
_COLLECTION_FIELDS = """
length_of_blocks length_of_trials optimization optimization_method subject_age_mean subject_age_min
subject_age_max handedness proportion_male_subjects inclusion_exclusion_criteria
number_of_rejected_subjects group_comparison group_description scanner_make scanner_model field_strength
pulse_sequence parallel_imaging field_of_view matrix_size slice_thickness skip_distance
acquisition_orientation order_of_acquisition repetition_time echo_time flip_angle software_package
software_version order_of_preprocessing_operations quality_control used_b0_unwarping
b0_unwarping_software used_slice_timing_correction slice_timing_correction_software
used_motion_correction motion_correction_software motion_correction_reference motion_correction_metric
motion_correction_interpolation used_motion_susceptibiity_correction used_intersubject_registration
intersubject_registration_software intersubject_transformation_type nonlinear_transform_type
transform_similarity_metric interpolation_method object_image_type functional_coregistered_to_structural
functional_coregistration_method coordinate_space target_template_image target_resolution used_smoothing
smoothing_type smoothing_fwhm resampled_voxel_size intrasubject_model_type intrasubject_estimation_type
intrasubject_modeling_software hemodynamic_response_function used_temporal_derivatives
used_dispersion_derivatives used_motion_regressors used_reaction_time_regressor used_orthogonalization
orthogonalization_description used_high_pass_filter high_pass_filter_method autocorrelation_model
group_model_type group_estimation_type group_modeling_software group_inference_type
group_model_multilevel group_repeated_measures group_repeated_measures_method nutbrain_hunger_state
nutbrain_food_viewing_conditions nutbrain_food_choice_type nutbrain_taste_conditions
nutbrain_odor_conditions
"""


def image_metadata(
    collection_id: int, image_id: int, task: Task, style: Style, name: str, size: int, covered: float
) -> dict[str, Any]:
    """Return an image's fields, named, typed and ordered as NeuroVault's API has them."""
    changed = _EPOCH + timedelta(days=image_id % 1000)
    media = f"{BASE_URL}/media/images/{collection_id}"
    common = {
        "name": f"synthetic {'atlas' if style == 'atlas' else task.name} {image_id}",
        "description": _NOTE,
        "add_date": _EPOCH.isoformat(),
        "modify_date": changed.isoformat(),
        "is_valid": True,
        "surface_left_file": None,
        "surface_right_file": None,
        "data_origin": "volume",
        "target_template_image": "GenericMNI",
        "subject_species": "homo sapiens",
        "figure": None,
        **dict.fromkeys(_SUBJECT_FIELDS.split()),
        "thumbnail": None,
        "reduced_representation": None,
    }
    head = {
        "url": f"{BASE_URL}/images/{image_id}/",
        "id": image_id,
        "file": f"{media}/{name}.nii.gz",
        "collection": f"{BASE_URL}/collections/{collection_id}/",
        "collection_id": collection_id,
        "file_size": size,
    }
    if style == "atlas":
        labels = {"label_description_file": f"{media}/{name}.xml"}
        return head | labels | common | {"data": None, "image_type": "atlas"}
    return head | _statistic_map_fields(image_id, task, style, common, covered)


def _statistic_map_fields(
    image_id: int, task: Task, style: Style, common: dict[str, Any], covered: float
) -> dict[str, Any]:
    map_type = _MAP_TYPES.get(style, "Z map" if image_id % 3 == 0 else "T map")
    subjects = 16 + image_id % 17
    return {
        "cognitive_paradigm_cogatlas": task.paradigm,
        "cognitive_paradigm_cogatlas_id": None,
        "cognitive_contrast_cogatlas": "None / Other",  # one of the many ways in which real rows say nothing
        "cognitive_contrast_cogatlas_id": None,
        "map_type": map_type,
        "analysis_level": "group",
        **common,
        "is_thresholded": style != "unthresholded",
        "perc_bad_voxels": 100 - covered,
        "not_mni": False,
        "brain_coverage": min(100.0, 3 * covered),
        "perc_voxels_outside": 0.0,
        "number_of_subjects": subjects,
        "modality": "fMRI-BOLD",
        "statistic_parameters": float(subjects - 1) if map_type == "T map" else None,
        "smoothness_fwhm": None,
        "contrast_definition": task.contrast,
        **dict.fromkeys(_PARADIGM_FIELDS.split()),
        "image_type": "statistic_map",
    }


def collection_metadata(collection_id: int, number_of_images: int) -> dict[str, Any]:
    """Return a collection's fields, named and ordered as NeuroVault's API has them."""
    published = collection_id % 3 != 0
    known = {
        "group_inference_type": "randommixedeffects",
        "coordinate_space": "mni",
        "software_package": "nvframe.testing",
        "handedness": "right",
    }
    return {
        "id": collection_id,
        "url": f"{BASE_URL}/collections/{collection_id}/",
        "download_url": f"{BASE_URL}/collections/{collection_id}/download",
        "owner": 1,
        "contributors": "",
        "owner_name": "nvframe",
        "number_of_images": number_of_images,
        "name": f"Synthetic collection {collection_id}",
        "publication_status": None,
        "DOI": f"10.5555/nvframe.synthetic.{collection_id}" if published else None,
        "preprint_DOI": None,
        "authors": "nvframe.testing" if published else None,
        "paper_url": None,
        "journal_name": None,
        "description": _NOTE,
        "full_dataset_url": None,
        "private": False,
        "add_date": _EPOCH.isoformat(),
        "modify_date": (_EPOCH + timedelta(days=collection_id)).isoformat(),
        "doi_add_date": None,
        "type_of_design": "blocked",
        "number_of_imaging_runs": 1,
        "number_of_experimental_units": 16 + collection_id,
        "length_of_runs": 300.0,
        **{name: known.get(name) for name in _COLLECTION_FIELDS.split()},
        "communities": [],
    }


def decoded_words(task: Task) -> dict[str, Any]:
    """Return what Neurosynth would answer: every word, the task's own ones weighted.

    Examples
    --------
    >>> values = decoded_words(TASKS[0])["data"]["values"]
    >>> max(values, key=values.get)
    'motor'
    """
    values = {word: _faint_weight(word) for other in TASKS for word in other.words}
    values |= {word: round(0.6 - 0.06 * rank, 4) for rank, word in enumerate(task.words)}
    return {"data": {"values": dict(sorted(values.items()))}}


def _faint_weight(word: str) -> float:
    """Return something near zero that is the same everywhere, as `hash` is not."""
    return round((sum(word.encode()) % 41 - 20) / 400, 4)
