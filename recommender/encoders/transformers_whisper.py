"""Whisper as transformers saves it -> openai-whisper's model, which encodes and transcribes; and folders of either."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recommender.encoders.model_folders import missing_weights
from recommender.errors import import_extra

#: transformers' names of parts -> openai-whisper's, in the order in which they are replaced
_NAMES = (
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"\.embed_positions\.weight$", ".positional_embedding"),
    (r"\.embed_tokens\.", ".token_embedding."),
)


def load_whisper(folder: Path) -> Any:
    """Return openai-whisper's model, float32, with the weights of a folder of transformers.

    Raises AssetError for a folder that lacks weights, and whatever transformers raises.
    """
    from transformers import WhisperModel
    from transformers.utils import logging as transformers_logging

    whisper = import_extra("whisper", "the audio encoder", "speech", "set encoders.audio: null")
    transformers_logging.disable_progress_bar()  # the caller reports progress
    theirs, info = WhisperModel.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
    )
    missing_weights(info, folder, "audio")
    ours = whisper.model.Whisper(whisper.model.ModelDimensions(**_dimensions(theirs.config)))
    ours.load_state_dict(renamed(theirs.state_dict()))
    return ours


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of transformers' WhisperModel by openai-whisper's names."""
    return {_renamed(name): tensor for name, tensor in state.items()}


def _renamed(name: str) -> str:
    for theirs, ours in _NAMES:
        name = re.sub(theirs, ours, name)
    return name


def _dimensions(config: Any) -> dict[str, int]:
    return {
        "n_mels": config.num_mel_bins,
        "n_audio_ctx": config.max_source_positions,
        "n_audio_state": config.d_model,
        "n_audio_head": config.encoder_attention_heads,
        "n_audio_layer": config.encoder_layers,
        "n_vocab": config.vocab_size,
        "n_text_ctx": config.max_target_positions,
        "n_text_state": config.d_model,
        "n_text_head": config.decoder_attention_heads,
        "n_text_layer": config.decoder_layers,
    }
