"""What takes an encoder's place in its family's own model, to call that model's head on given states."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling


@dataclass
class _Output(BaseModelOutputWithPooling):
    entity_last_hidden_state: Tensor | None = None  # LUKE's classes hand these on
    entity_hidden_states: Tensor | None = None


class GivenStates(nn.Module):
    """Returns the states that it is given as the last layer's, and the first of each row as the pooler's output.

    Args:
        encoder: whose place it takes, if the head looks for its embeddings, as DeBERTa's for masked tokens does.
    """

    def __init__(self, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.__dict__["embeddings"] = getattr(
            encoder, "embeddings", None
        )  # no submodule: the head would own its weights

    def forward(self, *_: object, inputs_embeds: Tensor, **__: object) -> BaseModelOutputWithPooling:
        """Return the states; the other arguments, which differ between families, are all None.

        *Shape:* ``inputs_embeds`` (R, W, H).
        """
        return _Output(last_hidden_state=inputs_embeds, pooler_output=inputs_embeds[:, 0])
