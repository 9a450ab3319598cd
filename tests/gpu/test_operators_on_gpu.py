"""The tests of the operators, on the CUDA kernels of a GPU."""

import pytest
import torch
from test_ops_fuzz import test_any_call
from test_ops_large import test_flows
from test_ops_matrix import (
    test_batch_or_sources_of_stride_0,
    test_every_subset_of_the_gradients,
    test_half_precision_is_no_worse_than_pytorchs_own,
    test_mask_of_any_strides,
    test_sample_without_sources_is_zero,
    test_warp,
    test_warp_fuse,
    test_without_residual,
)
from test_ops_optional import test_absent_inputs
from test_ops_special_values import (
    test_absent_sources_may_hold_anything,
    test_features_that_are_not_finite_follow_ieee,
    test_logits_of_any_size,
    test_nan_logit_spoils_its_own_pixel_only,
    test_sigmoid_and_softmax_are_good_to_the_last_bits,
    test_special_coordinates,
)
from test_ops_warp import test_coordinates_that_are_not_finite_or_huge, test_warp_of_any_axes
from test_ops_with_warped import test_both_results

__all__ = [
    "test_absent_inputs",
    "test_absent_sources_may_hold_anything",
    "test_any_call",
    "test_batch_or_sources_of_stride_0",
    "test_both_results",
    "test_coordinates_that_are_not_finite_or_huge",
    "test_every_subset_of_the_gradients",
    "test_features_that_are_not_finite_follow_ieee",
    "test_flows",
    "test_half_precision_is_no_worse_than_pytorchs_own",
    "test_logits_of_any_size",
    "test_mask_of_any_strides",
    "test_nan_logit_spoils_its_own_pixel_only",
    "test_sample_without_sources_is_zero",
    "test_sigmoid_and_softmax_are_good_to_the_last_bits",
    "test_special_coordinates",
    "test_warp",
    "test_warp_fuse",
    "test_warp_of_any_axes",
    "test_without_residual",
]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
