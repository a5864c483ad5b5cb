"""Greedy decoding on GPUs, each step one CUDA graph: to launch its kernels takes longer than they do."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from transformers import EncoderDecoderCache, GenerationConfig, PreTrainedModel, StaticCache

from stt_tune.speech.capture import capturing

_LOOK_EVERY = 8  # steps; to look whether all have ended waits for the device


class GreedyDecoder:
    """Writes transcripts with a Whisper decoder; keys and values lie in memory of a fixed size.

    As `generate` with one beam and no sampling. The graph of a batch of one shape serves all that follow with it.
    """

    def __init__(self, network: PreTrainedModel, prompt: tuple[int, ...], generation: GenerationConfig) -> None:
        """Set up.

        Args:
            network: On a GPU, in evaluation mode; its weights must stay where they are.
            prompt: Token ids that every transcript starts with.
            generation: Which tokens are suppressed, and which one ends a transcript.
        """
        self._network: Any = network
        self._prompt = torch.tensor(prompt, device=network.device)
        self._end = int(generation.eos_token_id)
        self._suppressed = self._make_bias(generation.suppress_tokens)
        self._suppressed_first = self._suppressed + self._make_bias(generation.begin_suppress_tokens)
        self._step: _Step | None = None

    def __call__(self, states: torch.Tensor, limit: int) -> torch.Tensor:
        """Decode a batch.

        Args:
            states: The encoder's, [b, positions, width].
            limit: The most tokens of a transcript.

        Returns:
            Token ids [b, t], the end token behind each end.
        """
        shape = (*states.shape[:2], len(self._prompt) + limit)
        if self._step is None or self._step.shape != shape:
            self._step = None  # its memory, before more is taken
            self._step = _Step(self._network, shape, self._suppressed)
        step = self._step
        written = [step.begin(states, self._prompt, self._suppressed_first).clone()]
        while len(written) < limit:
            if len(written) % _LOOK_EVERY == 0 and self._have_ended(torch.cat(written, 1)).all():
                break
            written.append(step.go_on().clone())
        tokens = torch.cat(written, 1)
        return tokens.masked_fill((tokens == self._end).cumsum(1) > 0, self._end)

    def forget(self) -> None:
        """Give back the memory of keys, values and graph."""
        self._step = None

    def _have_ended(self, tokens: torch.Tensor) -> torch.Tensor:
        return (tokens == self._end).any(1)

    def _make_bias(self, tokens: list[int] | None) -> torch.Tensor:
        """What is added to the logits, [vocabulary]."""
        bias = torch.zeros(self._network.config.vocab_size, device=self._network.device)
        bias[torch.tensor(tokens or [], dtype=torch.long, device=bias.device)] = -torch.inf
        return bias


@functools.cache
def _find_stream() -> torch.cuda.Stream:
    """The one that graphs of steps are captured in, which no training gets, as it is of another priority.

    A graph that goes takes along what cuBLAS works with in its stream, and graphs of trainings would read it still
    (pytorch issue 193402); of streams of one priority there are 32, given in turn.
    """
    return torch.cuda.Stream(priority=-1)


class _Step:
    """One token more for each of a batch of one shape: [b, positions, the most tokens with the prompt]."""

    def __init__(self, network: Any, shape: tuple[int, int, int], bias: torch.Tensor) -> None:
        size, positions, length = self.shape = shape
        # the config's number of layers is the encoder's
        config = copy.deepcopy(network.config)
        config.num_hidden_layers = config.decoder_layers
        self._network = network
        self._bias = bias
        self._cache = EncoderDecoderCache(StaticCache(config, length), StaticCache(config, positions))
        self._token = torch.zeros(size, 1, dtype=torch.long, device=bias.device)
        self._position = torch.zeros(size, 1, dtype=torch.long, device=bias.device)
        self._columns = torch.arange(length, device=bias.device)
        self._states: torch.Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def begin(self, states: torch.Tensor, prompt: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Take a batch in, and give its first tokens [b, 1]."""
        self._cache.reset()
        self._states = states  # what attention needs of them lies in the cache
        count = len(prompt)
        positions = self._columns[:count].expand(len(states), -1)
        mask = (self._columns <= self._columns[:count, None]).expand(len(states), 1, -1, -1)
        self._write(prompt.expand(len(states), -1), positions, mask, bias)
        self._position.fill_(count)
        return self._token

    def go_on(self) -> torch.Tensor:
        """Give the next tokens [b, 1]."""
        if self._graph is not None:
            self._graph.replay()
            return self._token
        # the first time, so that nothing is set up while the graph is captured
        self._advance()
        if self._token.is_cuda:
            graph = torch.cuda.CUDAGraph()
            with capturing(graph, stream=_find_stream()):
                self._advance()
            self._graph = graph
        return self._token

    def _advance(self) -> None:
        mask = (self._columns <= self._position[:1]).expand(len(self._token), 1, 1, -1)
        self._write(self._token, self._position, mask, self._bias)
        self._position.add_(1)

    def _write(self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, bias: torch.Tensor) -> None:
        hidden = self._network.get_decoder()(
            input_ids=tokens,
            position_ids=positions,
            attention_mask=mask,
            encoder_hidden_states=self._states,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        logits = self._network.proj_out(hidden[:, -1]).float() + bias
        self._token.copy_(logits.argmax(-1, keepdim=True))
