"""Encoders in the layout of transformers: our vectors are those of the library's own forward."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import whisper
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    T5Config,
    T5EncoderModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperModel,
)

from recommender.encoders import model_folders
from recommender.encoders.audio import AudioEncoder
from recommender.encoders.image import ImageEncoder
from recommender.encoders.labels import labeller_of
from recommender.encoders.text import TextEncoder
from recommender.errors import AssetError, ConfigError
from tests.conftest import ENCODER_WORDS
from tests.media_files import picture, sound

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = SIZES | {"image_size": 16, "patch_size": 8}
TEXT = SIZES | {
    "vocab_size": 64,
    "max_position_embeddings": 12,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
EXACT = {"atol": 2e-5, "rtol": 0}


def save_words(folder, **special):
    vocabulary = {word: n for n, word in enumerate(dict.fromkeys(["[PAD]", "[BOS]", "[EOS]", "[UNK]", *ENCODER_WORDS]))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "eos_token": "[EOS]"} | special
    PreTrainedTokenizerFast(tokenizer_object=raw, **named).save_pretrained(folder)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    save_words(folder)
    return folder


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siglip")
    torch.manual_seed(1)
    SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    save_words(folder)
    return folder


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(2)
    layers = {"encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    widths = {"d_model": 16, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_target_positions": 8}
    model = WhisperForConditionalGeneration(WhisperConfig(**layers, **widths, vocab_size=51864))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["clip_folder", "siglip_folder"])
def test_pictures_are_what_get_image_features_makes_of_them(kind, request):
    folder = request.getfixturevalue(kind)
    encoder, pictures = ImageEncoder(str(folder)), [picture(n) for n in range(3)]
    found = encoder.encode([encoder.prepare(one) for one in pictures])
    model, processor = AutoModel.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    with torch.no_grad():
        expected = model.get_image_features(**processor(images=pictures, return_tensors="pt")).pooler_output
    np.testing.assert_allclose(found, torch.nn.functional.normalize(expected).numpy(), **EXACT)
    np.testing.assert_allclose(found[:1], encoder.encode([encoder.prepare(pictures[0])]), **EXACT)
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert ImageEncoder(str(folder)).identity == encoder.identity


def test_a_vision_tower_alone_keeps_its_projection(tmp_path):
    torch.manual_seed(3)
    tower = CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION, projection_dim=8)).eval()
    tower.save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    encoder = ImageEncoder(str(tmp_path))
    prepared = encoder.prepare(picture(0))
    with torch.no_grad():
        expected = tower(prepared["pixel_values"][None]).image_embeds
    np.testing.assert_allclose(encoder.encode([prepared]), torch.nn.functional.normalize(expected).numpy(), **EXACT)
    assert not encoder.tells_classes and labeller_of(encoder) is None


def test_dinov2_gives_its_pooled_vector_and_weights_that_are_missing_are_refused(tmp_path):
    torch.manual_seed(4)
    model = Dinov2Model(Dinov2Config(**VISION | {"image_size": 28, "patch_size": 14})).eval()
    model.save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(tmp_path)
    encoder = ImageEncoder(str(tmp_path))
    prepared = encoder.prepare(picture(1))
    with torch.no_grad():
        expected = model(prepared["pixel_values"][None]).pooler_output
    np.testing.assert_allclose(encoder.encode([prepared]), torch.nn.functional.normalize(expected).numpy(), **EXACT)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"num_hidden_layers": 3}))
    with pytest.raises(AssetError, match="lacks weights of its own architecture"):
        ImageEncoder(str(tmp_path)).load()


@pytest.mark.parametrize("kind", ["clip_folder", "siglip_folder"])
def test_a_text_tower_names_classes_as_the_library_compares_them(kind, request):
    folder = request.getfixturevalue(kind)
    encoder = ImageEncoder(str(folder))
    assert encoder.tells_classes and labeller_of(encoder) is not None
    tower, _ = encoder._model()
    tokens = tower.tokenize(["red river", "love song of the night"])
    model, prepared = AutoModel.from_pretrained(folder), encoder.prepare(picture(0))
    with torch.no_grad():
        both = model(input_ids=tokens, pixel_values=prepared["pixel_values"][None]).logits_per_image
        ours = encoder.tower_output([prepared], True) @ tower.encode_text(tokens, normalize=True).T
    scaled = tower.logit_scale.exp().detach() * ours
    expected = both - getattr(model, "logit_bias", torch.zeros(1)).detach()
    np.testing.assert_allclose(scaled.numpy(), expected.numpy(), atol=1e-4)


def test_whisper_of_transformers_encodes_and_transcribes_as_openais(whisper_folder):
    encoder, full = AudioEncoder(str(whisper_folder)), sound(30)
    extractor, model = WhisperFeatureExtractor(), WhisperModel.from_pretrained(whisper_folder)
    mel = torch.from_numpy(whisper.log_mel_spectrogram(full).numpy())[None]
    with torch.no_grad():
        expected = model.encoder(mel).last_hidden_state[0].mean(dim=0).numpy()
        theirs = model.encoder(extractor(full, sampling_rate=16_000, return_tensors="pt").input_features)
    np.testing.assert_allclose(encoder.encode([full])[0], expected, **EXACT)
    np.testing.assert_allclose(encoder.encode([full])[0], theirs.last_hidden_state[0].mean(dim=0).numpy(), atol=1e-3)
    ours = encoder._model()
    tokens = torch.tensor([[50257, 11, 12]])
    with torch.no_grad():
        decoded = ours.decoder(tokens, ours.encoder(mel))
        states = model(input_features=mel, decoder_input_ids=tokens).last_hidden_state
    np.testing.assert_allclose(
        decoded.numpy(), (states @ model.decoder.embed_tokens.weight.T).detach().numpy(), atol=1e-4
    )
    assert isinstance(encoder.transcript(sound(0.5)), str)
    assert AudioEncoder(str(whisper_folder)).identity == encoder.identity


def test_another_model_of_sounds_is_refused_in_one_line(clip_folder):
    with pytest.raises(ConfigError, match="'clip', which is no Whisper") as error:
        AudioEncoder(str(clip_folder)).load()
    assert "{vectors: FILE}" in error.value.hint


@pytest.mark.parametrize(("mode", "pick"), [("cls_token", 0), ("lasttoken", -1)])
def test_texts_are_pooled_as_the_folder_says(text_folder, tmp_path, mode, pick):
    model, tokenizer = AutoModel.from_pretrained(text_folder), AutoTokenizer.from_pretrained(text_folder)
    model.save_pretrained(tmp_path), tokenizer.save_pretrained(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False} | {f"pooling_mode_{mode}": True}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    encoder, texts = TextEncoder(str(tmp_path)), ["red river", "the night of a river song"]
    for text, vector in zip(texts, encoder.encode(texts), strict=True):
        with torch.no_grad():
            state = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, pick]
        np.testing.assert_allclose(vector, (state / state.norm()).numpy(), **EXACT)
    assert encoder.identity != TextEncoder(str(text_folder)).identity
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "config.json").write_text("{}")
    with pytest.raises(AssetError, match="dense layer behind the pooling"):
        TextEncoder(str(tmp_path)).load()


def test_an_encoder_of_t5_and_the_text_tower_of_clip_read_texts(clip_folder, tmp_path):
    torch.manual_seed(5)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    model = T5EncoderModel(T5Config(vocab_size=64, **sizes, decoder_start_token_id=0)).eval()
    model.save_pretrained(tmp_path)
    save_words(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    found = TextEncoder(str(tmp_path)).encode(["red river", "war"])
    with torch.no_grad():
        state = model(**tokenizer("red river", return_tensors="pt")).last_hidden_state[0].mean(0)
        clip = AutoModel.from_pretrained(clip_folder)
        tokens = AutoTokenizer.from_pretrained(clip_folder)(["red river [EOS]"], return_tensors="pt")
        text = clip.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    np.testing.assert_allclose(found[0], (state / state.norm()).numpy(), **EXACT)
    expected = torch.nn.functional.normalize(text.pooler_output)[0].numpy()
    np.testing.assert_allclose(TextEncoder(str(clip_folder)).encode(["red river [EOS]"])[0], expected, **EXACT)


def test_a_name_that_cannot_be_had_says_what_was_tried_and_what_to_do(monkeypatch):
    def offline(name):
        raise AssetError(f"{name}: no local folder, and the hub did not give it (offline)", "check the name")

    monkeypatch.setattr(model_folders.assets, "fetch", offline)
    makers = {"image": ImageEncoder, "audio": AudioEncoder, "text": TextEncoder}
    names = {"image": "openai/clip-vit-base-patch32", "audio": "openai/whisper-small", "text": "all-mpnet-base-v2"}
    for kind, make in makers.items():
        with pytest.raises(AssetError) as error:
            make(names[kind]).load()
        assert error.value.message.startswith(f"encoders.{kind}: '") and "hub did not give it" in error.value.message
        assert "folder" in error.value.hint and f"encoders.{kind}: {{vectors: FILE}}" in error.value.hint


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("ViT-B-32", "image-1 ViT-B-32:openai quickgelu"),
        ("ViT-B-32/openai", "image-1 ViT-B-32:openai quickgelu"),
        ("ViT-B/32:openai", "image-1 ViT-B-32:openai quickgelu"),
        ("ViT-B-32:laion2b_s34b_b79k", "image-1 ViT-B-32:laion2b_s34b_b79k"),
        ("hf-hub:timm/ViT-B-16-SigLIP", "image-1 hf-hub:timm/ViT-B-16-SigLIP"),
    ],
)
def test_names_of_open_clip_as_people_write_them(name, identity):
    assert ImageEncoder(name).identity == identity
