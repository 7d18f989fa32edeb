"""A module under training with its optimizer, its schedule and its gradient clipping."""

from typing import Any

import torch
from torch import nn

from opensphere import collective


class Part:
    """The backbone or the head: what is updated together.

    Args:
        module: holds the parameters.
        optimizer, scheduler: of torch.optim, both stepped once an iteration; the scheduler may be None.
        clip_grad_norm: bound of the gradient's norm.
        replicated: every rank computes the whole gradient by itself, as a head on the global batch does; it is
            averaged over ranks, lest rounding lets the copies drift apart. Otherwise the module shares it by itself.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Any = None,
        clip_grad_norm: float = 1e5,
        replicated: bool = False,
    ):
        self.module = module
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.clip_grad_norm = clip_grad_norm
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.replicated = replicated

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def update(self, scaler: torch.amp.GradScaler) -> torch.Tensor:
        """Unscale, share, clip, step, clear, schedule. Returns the gradient's norm before clipping, a scalar tensor."""
        scaler.unscale_(self.optimizer)
        if self.replicated:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    collective.mean(parameter.grad)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip_grad_norm)
        scaler.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        if self.scheduler is not None:
            self.scheduler.step()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs beside the weights."""
        schedule = self.scheduler.state_dict() if self.scheduler is not None else None
        return {"optimizer": self.optimizer.state_dict(), "scheduler": schedule}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
