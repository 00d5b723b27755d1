"""Messages to token ids and back, for the Qwen3/Hermes family of chat formats."""

from rollout.rendering.family import Family
from rollout.rendering.renderer import Rendered, Renderer, tokenizer_id

__all__ = ["Family", "Rendered", "Renderer", "tokenizer_id"]
