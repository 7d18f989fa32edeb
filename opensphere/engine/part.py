"""A module under training with its optimizer, its schedule and its gradient clipping."""

from typing import Any

import torch
from torch import nn

from opensphere import collective
from opensphere.classifier import ChunkedClassifier
from opensphere.error import UserError


class Part:
    """The backbone or the head: what is updated together.

    Args:
        module: holds the parameters. A classifier may split its classes over ranks, and may have its update fused into
            the backward pass.
        optimizer, scheduler: of torch.optim, both stepped once an iteration; the scheduler may be None. No optimizer:
            the module has nothing to learn.
        clip_grad_norm: bound of the gradient's norm.
        replicated: every rank computes the whole gradient by itself, as a head on the global batch does; it is
            averaged over ranks, lest rounding lets the copies drift apart. Otherwise the module shares it by itself.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        scheduler: Any = None,
        clip_grad_norm: float = 1e5,
        replicated: bool = False,
    ):
        self.module = module
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.clip_grad_norm = clip_grad_norm
        groups = optimizer.param_groups if optimizer is not None else []
        self.parameters = [parameter for group in groups for parameter in group["params"]]
        split = getattr(module, "split", [])
        if split and type(optimizer).__name__ in ("Adafactor", "Muon"):
            raise UserError(
                f"model.head.optimizer: {type(optimizer).__name__} looks at a matrix as a whole, but each process "
                "holds its own classes; take SGD or AdamW, or one process"
            )
        self.split = [each for each in self.parameters if any(each is other for other in split)]
        self.whole = [each for each in self.parameters if not any(each is other for other in split)]
        self.fused = getattr(module, "fused", None)
        self.replicated = replicated

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return float(self.optimizer.param_groups[0]["lr"]) if self.optimizer is not None else 0.0

    def update(self, scaler: torch.amp.GradScaler) -> torch.Tensor:
        """Unscale, share, clip, step, clear, schedule. Returns the gradient's norm before clipping, a scalar tensor."""
        if self.optimizer is None:
            return torch.zeros(())
        scaler.unscale_(self.optimizer)
        if self.replicated:
            for parameter in self.whole:
                if parameter.grad is not None:
                    collective.mean(parameter.grad)
        norm = self._norm()
        if norm.device.type != "cpu" or not norm <= self.clip_grad_norm:  # a GPU is not to be waited for
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip_grad_norm, norm)
        if self.fused is not None:
            self.fused.step((self.clip_grad_norm / (norm + 1e-6)).clamp_max(1.0))  # as clip_grads_with_norm_
        scaler.step(self.optimizer)
        if isinstance(self.module, ChunkedClassifier):
            self.module.recycle()
        self.optimizer.zero_grad(set_to_none=True)
        if self.scheduler is not None:
            self.scheduler.step()
        return norm

    def _norm(self) -> torch.Tensor:
        """The norm of the whole gradient, over all ranks."""
        norm = nn.utils.get_total_norm([each.grad for each in self.whole if each.grad is not None])
        # not grad.square().sum(): that would be another matrix
        squares = [torch.linalg.vector_norm(each.grad).square() for each in self.split if each.grad is not None]
        squares += [self.fused.square] if self.fused is not None else []
        if not squares:
            return norm
        rest = torch.stack([square.to(squares[-1]) for square in squares]).sum()
        rest = collective.sum(rest) if self.split else rest
        return torch.sqrt(norm.to(rest.device).square() + rest)  # without whole gradients the norm is on the CPU

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs beside the weights, for all classes, on the first rank. Call it on every rank."""
        if self.optimizer is None:
            return {}
        schedule = self.scheduler.state_dict() if self.scheduler is not None else None
        optimizer = self.optimizer.state_dict()
        state: dict[int, Any] = {}
        for index, held in optimizer["state"].items():
            parameter = self.parameters[index]
            split = self._splits(parameter)
            state[index] = {
                key: collective.collect(x) if split and _one_per_weight(x, parameter) else x for key, x in held.items()
            }
        return {"optimizer": {**optimizer, "state": state}, "scheduler": schedule}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave, in whatever way the classes were held then."""
        if self.optimizer is None:
            return
        optimizer = state["optimizer"]
        share = getattr(self.module, "share", lambda x: x)
        entries: dict[int, Any] = {}
        for index, found in optimizer["state"].items():
            parameter = self.parameters[index]
            split = self._splits(parameter)
            mine = {key: share(x) if split and isinstance(x, torch.Tensor) else x for key, x in found.items()}
            entries[index] = {key: _laid_out(x, parameter) for key, x in mine.items()}
        self.optimizer.load_state_dict({**optimizer, "state": entries})
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])

    def _splits(self, parameter: nn.Parameter) -> bool:
        return any(parameter is each for each in self.split)


def _one_per_weight(x: Any, parameter: nn.Parameter) -> bool:
    """Whether what an optimizer holds is one number per weight, rather than a count of steps."""
    return isinstance(x, torch.Tensor) and x.shape == parameter.shape


def _laid_out(x: Any, like: nn.Parameter) -> Any:
    """A copy, lest it remain a part of the file that it came from, in memory as the parameter that it belongs to."""
    if not isinstance(x, torch.Tensor):
        return x
    if x.shape != like.shape:
        return x.clone()
    return torch.empty_strided(like.shape, like.stride(), dtype=x.dtype, device=x.device).copy_(x)
