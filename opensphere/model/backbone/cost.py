"""What a backbone costs: parameters, arithmetic, memory. Measured on shapes alone, without computing anything."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """The costs of a backbone.

    Attributes:
        parameters: numbers that are learnt or fixed; running statistics are not among them.
        flops: forward pass of one image: two for each multiply-add of convolutions and linear layers.
        activation_bytes: what training keeps of one image for the backward pass, in float32; the image included.
    """

    parameters: int
    flops: int
    activation_bytes: int


def count(backbone: nn.Module) -> Cost:
    """The costs of a backbone at its `input_size`. Weights, statistics, mode and random state stay as they are."""
    modes = {module: module.training for module in backbone.modules()}
    try:
        backbone.train()  # a dropout keeps its mask for training only
        # the second size takes away what a batch keeps once; batch normalisation needs two images
        flops2, bytes2 = _forward(backbone, 2)
        flops3, bytes3 = _forward(backbone, 3)
    finally:
        for module, mode in modes.items():
            module.training = mode
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    return Cost(parameters, flops3 - flops2, bytes3 - bytes2)


def _forward(backbone: nn.Module, batch: int) -> tuple[int, int]:
    """FLOPs of a forward pass and bytes kept for its backward pass, by a run on tensors that have no content."""
    state = dict(backbone.named_parameters()) | dict(backbone.named_buffers())
    state = {key: _shape_of(value).requires_grad_(value.requires_grad) for key, value in state.items()}
    weights = {StorageWeakRef(value.untyped_storage()) for value in state.values()}
    height, width = backbone.input_size  # type: ignore[misc]
    images = torch.empty((batch, 3, height, width), device="meta")
    kept: dict[StorageWeakRef, Tensor] = {}  # by storage: several layers may keep one tensor

    def keep(tensor: Tensor) -> Tensor:
        storage = StorageWeakRef(tensor.untyped_storage())
        if storage not in weights:
            kept[storage] = tensor
        return tensor

    hooks = saved_tensors_hooks(keep, lambda tensor: tensor)
    with torch.enable_grad(), FlopCounterMode(display=False) as counter, hooks:
        result = torch.func.functional_call(backbone, state, (images,))
    del result  # the graph lives until here, and with it what was kept
    return counter.get_total_flops(), sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _shape_of(value: Tensor) -> Tensor:
    dtype = torch.float32 if value.is_floating_point() else value.dtype
    return torch.empty_like(value, device="meta", dtype=dtype)
