"""Processes that train one network together, each on its share of every effective batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed

from stt_tune.errors import OtherFailedError

Item = TypeVar("Item")

_BUCKET = 2**25  # numbers that are added up at a time: 128 MiB of float32
# While the first process measures, or another halves its micro-batches, the others wait; those that die are noticed
# by who has started them.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Ranks:
    """One of the processes that train together; alone, all of this does nothing.

    Each has the same data in the same order and takes the same steps, so that their weights stay the same; what they
    tell each other is how many tokens an effective batch has, and the sum of their gradients.

    Attributes:
        index: Which of them; the first one measures, reports and saves.
        size: How many they are.
    """

    index: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one measures, reports and saves."""
        return self.index == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This one's part of an effective batch; it may be empty."""
        return items[self.index :: self.size]

    def add(self, numbers: torch.Tensor) -> torch.Tensor:
        """The sum over all of them; every one must call it."""
        if self.size > 1:
            torch.distributed.all_reduce(numbers)
        return numbers

    def check(self, failure: Exception | None, device: torch.device) -> None:
        """Go on only if all can; every one must call it.

        Raises:
            Exception: `failure`, where it was here.
            OtherFailedError: It was elsewhere.
        """
        failed = self.add(torch.tensor(float(failure is not None), device=device)) if self.size > 1 else 0
        if failure is not None:
            raise failure
        if failed:
            raise OtherFailedError("another process of this training has failed")

    def leave(self, device: torch.device) -> None:
        """Let the others go no further than their next step; they raise `OtherFailedError` where they `check` it."""
        if self.size > 1:
            with contextlib.suppress(RuntimeError):  # they are gone
                self.add(torch.zeros((), dtype=torch.long, device=device))  # of tokens, which a step begins with
                self.add(torch.ones((), device=device))

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give each parameter the sum of its gradients; every one must call it with the same parameters.

        What has a gradient nowhere is left without one, as the optimizer would decay a weight with a gradient of 0.
        """
        if self.size == 1:
            return
        trained = [each for each in parameters if each.requires_grad]
        known = torch.tensor([float(each.grad is not None) for each in trained], device=trained[0].device)
        counts = self.add(known).tolist()  # waits for the device
        for bucket in _divide(each for each, count in zip(trained, counts, strict=True) if count):
            here = [torch.zeros_like(each) if each.grad is None else each.grad for each in bucket]
            flat = self.add(torch.cat([each.flatten() for each in here]))
            for each, total in zip(bucket, flat.split([each.numel() for each in bucket]), strict=True):
                if each.grad is None:
                    each.grad = total.view_as(each).clone()
                else:  # in its place, where captured passes write to
                    each.grad.copy_(total.view_as(each))


def _divide(parameters: Iterable[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """Parameters in order, about `_BUCKET` numbers of one type at a time."""
    bucket: list[torch.nn.Parameter] = []
    for each in parameters:
        if bucket and (
            each.dtype != bucket[0].dtype or sum(other.numel() for other in bucket) + each.numel() > _BUCKET
        ):
            yield bucket
            bucket = []
        bucket.append(each)
    if bucket:
        yield bucket


@contextlib.contextmanager
def joined(index: int, size: int, address: str) -> Iterator[Ranks]:
    """Be one of several processes inside the block; all of them must come.

    Args:
        index: Which.
        size: How many.
        address: `HOST:PORT` on which the first of them listens.
    """
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(
        backend, init_method=f"tcp://{address}", rank=index, world_size=size, timeout=_PATIENCE
    )
    try:
        yield Ranks(index, size)
    except BaseException as error:
        # the first process goes on to other trainings; in another one that fails alone, NCCL could wait in here for
        # ever for those that wait for it, and nobody would hear of the failure
        if index == 0 or isinstance(error, OtherFailedError):
            torch.distributed.destroy_process_group()
        raise
    torch.distributed.destroy_process_group()


ALONE = Ranks()
