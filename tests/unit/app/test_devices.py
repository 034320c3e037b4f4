"""Providers, options and `ctx_id`."""

from typing import Any

import pytest

from lineament.app.devices import Devices
from lineament.core.errors import InvalidArgument

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_the_processor_in_the_list_is_permission_to_use_it() -> None:
    assert Devices.of([CUDA, CPU], None).options.allow_fallback
    assert not Devices.of([CUDA], None).options.allow_fallback
    automatic = Devices.of(None, None)
    assert automatic.options.allow_fallback
    assert not automatic.chosen


@pytest.mark.parametrize("ctx_id", [-1, -7])
def test_below_zero_is_the_processor(ctx_id: int) -> None:
    options = Devices.of([(CUDA, {"device_id": 1})], None, threads=2).at(ctx_id)
    assert options.providers == (CPU,)
    assert options.provider_options == ()
    assert options.threads == 2


def test_a_number_is_a_device() -> None:
    options = Devices.of([CUDA, CPU], None).at(2)
    assert options.provider_options == ({"device_id": 2}, {})
    assert Devices.of([CPU], None).at(5).provider_options == ({},)


@pytest.mark.parametrize("ctx_id", ["0", 0.0, None])
def test_what_is_no_number_is_named(ctx_id: Any) -> None:
    with pytest.raises(InvalidArgument, match="ctx_id"):
        Devices.of([CPU], None).at(ctx_id)


@pytest.mark.parametrize(
    ("providers", "options"),
    [
        ([], None),
        ([3], None),
        ([(CUDA, 3)], None),
        ([CUDA, CPU], [{}]),
        ([CUDA], [{}, {}]),
        ([CUDA], {CPU: {}}),
        ([(CUDA, {"a": 1})], [{}]),
    ],
)
def test_lists_that_do_not_fit_are_named(providers: Any, options: Any) -> None:
    with pytest.raises(InvalidArgument, match="provider"):
        Devices.of(providers, options)


def test_a_name_alone_is_no_list() -> None:
    with pytest.raises(InvalidArgument, match="list"):
        Devices.of(CPU, None)
