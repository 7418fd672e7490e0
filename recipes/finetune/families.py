"""One view over the model classes of transformers: the parts of a layer, to be called one by one.

The modules are transformers' own, so that peft's wrappers around them take part; what is written
anew is only how they are put together, which skipping changes.
"""

import pathlib

import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from recipes.miniature.bloom import alibi_slopes


class LlamaView:
    """Llama, Mistral, Qwen2 and Qwen3: RMSNorm, rotary positions, gated MLP."""

    residual_after_norm = False
    adapted = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

    def __init__(self, model):
        self.model = model
        self.body = model.model
        self.layers = self.body.layers
        self.head_dim = self.layers[0].self_attn.head_dim

    def set_positions(self, position):
        """Takes the engine's rotary frequencies: transformers leaves out the scaling of a GGUF.
        Returns whether that changed them: then the configuration does not tell them."""
        rotary = self.body.rotary_emb
        frequencies = torch.tensor(position["inverse_frequencies"], dtype=torch.float32)
        factors = torch.tensor([rotary.attention_scaling, position["attention_factor"]])
        same = (torch.allclose(rotary.inv_freq, frequencies, rtol=1e-4, atol=0.0)
                and torch.allclose(factors[0], factors[1], rtol=1e-4))
        rotary.inv_freq.copy_(frequencies)
        rotary.original_inv_freq = rotary.inv_freq
        rotary.attention_scaling = position["attention_factor"]
        return not same

    def embeddings(self):
        return [self.body.embed_tokens]

    def embed(self, ids):
        return self.body.embed_tokens(ids)

    def context(self, x, positions):
        """What `project` needs of the positions [batch, columns]."""
        return self.body.rotary_emb(x, positions)

    def select(self, context, columns):
        return tuple(part[:, columns] for part in context)

    def bias(self, distance):
        """Added to the scores, [1, heads, q, k]; None where positions are in the keys."""
        return None

    def window(self, layer):
        """Positions that a layer sees, its own included; None: all of them."""
        config = self.model.config
        types = getattr(config, "layer_types", None)
        if types is not None and types[layer] != "sliding_attention":
            return None
        return getattr(config, "sliding_window", None)

    def attention_norm(self, layer, x):
        return self.layers[layer].input_layernorm(x)

    def project(self, layer, x, context):
        """Query, key and value, each [batch, heads, columns, head_dim]."""
        attention = self.layers[layer].self_attn
        shape = (*x.shape[:2], -1, self.head_dim)
        query = attention.q_proj(x).view(shape)
        key = attention.k_proj(x).view(shape)
        value = attention.v_proj(x).view(shape)
        if hasattr(attention, "q_norm"):
            query, key = attention.q_norm(query), attention.k_norm(key)
        cos, sin = (part[:, None] for part in context)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        query, key = (part * cos + rotate_half(part) * sin for part in (query, key))
        groups = query.shape[1] // key.shape[1]
        return query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)

    def attention_output(self, layer, mixed):
        return self.layers[layer].self_attn.o_proj(mixed)

    def mlp_norm(self, layer, x):
        return self.layers[layer].post_attention_layernorm(x)

    def mlp(self, layer, x):
        return self.layers[layer].mlp(x)

    def logits(self, x):
        return self.model.lm_head(self.body.norm(x))


class BloomView:
    """BLOOM: LayerNorm, ALiBi, fused projections per head."""

    adapted = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")

    def __init__(self, model):
        self.model = model
        self.body = model.transformer
        self.layers = self.body.h
        self.heads = model.config.n_head
        self.residual_after_norm = model.config.apply_residual_connection_post_layernorm

    def set_positions(self, position):
        """ALiBi has its slopes from the number of heads alone."""
        return False

    def embeddings(self):
        return [self.body.word_embeddings]

    def embed(self, ids):
        return self.body.word_embeddings_layernorm(self.body.word_embeddings(ids))

    def context(self, x, positions):
        return None

    def select(self, context, columns):
        return None

    def bias(self, distance):
        slopes = alibi_slopes(self.heads).to(distance.device)
        return slopes[None, :, None, None] * distance

    def window(self, layer):
        return None

    def attention_norm(self, layer, x):
        return self.layers[layer].input_layernorm(x)

    def project(self, layer, x, context):
        fused = self.layers[layer].self_attention.query_key_value(x)
        fused = fused.view(*x.shape[:2], self.heads, 3, -1)
        return fused.permute(3, 0, 2, 1, 4).unbind(0)

    def attention_output(self, layer, mixed):
        return self.layers[layer].self_attention.dense(mixed)

    def mlp_norm(self, layer, x):
        return self.layers[layer].post_attention_layernorm(x)

    def mlp(self, layer, x):
        mlp = self.layers[layer].mlp
        return mlp.dense_4h_to_h(F.gelu(mlp.dense_h_to_4h(x), approximate="tanh"))

    def logits(self, x):
        return self.model.lm_head(self.body.ln_f(x))


# Families whose configuration in transformers has a head_dim of its own.
HAVE_HEAD_DIM = ("llama", "mistral", "qwen3")
VIEWS = {"llama": LlamaView, "mistral": LlamaView, "qwen2": LlamaView, "qwen3": LlamaView,
         "bloom": BloomView}


def rotate_half(x):
    low, high = x.chunk(2, -1)
    return torch.cat((-high, low), -1)


def load_model(path, facts, device="cpu"):
    """(transformers' model in f32 of a folder, or of a folder or file with a GGUF, with what the
    engine reads of it (`facts`, engine.inspect) where transformers reads something else; whether its
    positions are such a thing, which its configuration does not tell)."""
    source, options = find_weights(path)
    is_gguf = "gguf_file" in options
    if is_gguf and facts["family"] in HAVE_HEAD_DIM:
        options["head_dim"] = facts["shape"]["head_dim"]  # transformers: from the hidden size
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, attn_implementation="eager", local_files_only=True, **options)
    if is_gguf:
        forget_quantisation(model)
    is_changed = view_of(model).set_positions(facts["position"])
    return model.to(device), is_changed


def forget_quantisation(model):
    """A GGUF's weights are plain f32 here; transformers refuses to save what it calls quantised."""
    model.config.quantization_config = None
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False


def find_weights(path):
    """(folder, further arguments) for from_pretrained."""
    place = pathlib.Path(path)
    if place.is_dir() and not (place / "config.json").exists():
        place, = place.glob("*.gguf")  # the engine has refused a folder of several
    if place.suffix == ".gguf":
        return str(place.parent), {"gguf_file": place.name}
    return str(path), {}


def view_of(model):
    """`model` is transformers' class or peft's wrapper of it."""
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
    family = model.config.model_type
    if family not in VIEWS:
        raise SystemExit(f"model family {family!r} is not one of {', '.join(VIEWS)}")
    return VIEWS[family](model)
