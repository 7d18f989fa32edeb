"""Settings of all tests."""

import torch

torch.set_num_threads(1)  # the tensors here are small: threads would cost more than they give
