#!/usr/bin/env python3
"""Makes tests/fixtures/options: tiny random models (seed 4321) with the options that the tiny-* models do not use, and what transformers
computes with them (float32, eager attention).

    python scripts/reference/option_models.py

Each folder: config.json, model.safetensors, golden.safetensors (input_ids, logits, hidden_states.N). Norm gains and biases are drawn too,
so that a misplaced norm shows.
"""

import json
from pathlib import Path

import torch
import transformers as hf
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "tests/fixtures/options"
LLAMA = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, vocab_size=64, max_position_embeddings=64)
MODELS = {
    "llama-yarn": (hf.LlamaConfig, dict(**LLAMA, attention_bias=True, mlp_bias=True, rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16})),
    "llama-linear": (hf.LlamaConfig, dict(**LLAMA, head_dim=6, hidden_act="gelu", rope_scaling={"rope_type": "linear", "factor": 2.0})),
    "llama-llama3": (hf.LlamaConfig, dict(**LLAMA, tie_word_embeddings=True, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16})),
    "mistral-full": (hf.MistralConfig, dict(**LLAMA, sliding_window=None)),
    "qwen2-windows": (hf.Qwen2Config, dict(**LLAMA, use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "qwen3-windows": (hf.Qwen3Config, dict(**LLAMA, head_dim=8, attention_bias=True, use_sliding_window=True, sliding_window=4, max_window_layers=2)),
    "gemma3-capped": (hf.Gemma3TextConfig, dict(**LLAMA, head_dim=8, sliding_window=6, query_pre_attn_scalar=20, final_logit_softcapping=0.05)),
    # 20 tokens: longer than the original 16, so the long factors count.
    "phi3-longrope": (hf.Phi3Config, dict(
        **LLAMA, original_max_position_embeddings=16, sliding_window=7, pad_token_id=0, partial_rotary_factor=0.5,
        rope_scaling={"rope_type": "longrope", "short_factor": [1.0, 1.1], "long_factor": [1.7, 3.0]})),
    "phi3-short": (hf.Phi3Config, dict(
        **LLAMA, original_max_position_embeddings=32, pad_token_id=0,
        rope_scaling={"rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.5], "long_factor": [1.7, 3.0, 4.0, 8.0]})),
    "gpt2-options": (hf.GPT2Config, dict(
        n_embd=16, n_layer=3, n_head=2, n_inner=20, n_positions=64, vocab_size=64, activation_function="relu", scale_attn_by_inverse_layer_idx=True,
        tie_word_embeddings=False)),
    "gpt2-unscaled": (hf.GPT2Config, dict(n_embd=16, n_layer=2, n_head=2, n_positions=64, vocab_size=64, activation_function="gelu", scale_attn_weights=False)),
    "gpt_neox-sequential": (hf.GPTNeoXConfig, dict(
        hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, vocab_size=64, max_position_embeddings=64,
        use_parallel_residual=False, attention_bias=False, rotary_pct=0.5, hidden_act="gelu_new", tie_word_embeddings=True)),
    "opt-post-norm": (hf.OPTConfig, dict(
        hidden_size=16, ffn_dim=24, num_hidden_layers=3, num_attention_heads=2, vocab_size=64, max_position_embeddings=64,
        do_layer_norm_before=False, word_embed_proj_dim=10)),
    "opt-no-bias": (hf.OPTConfig, dict(
        hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=64, max_position_embeddings=64, enable_bias=False,
        activation_function="gelu", _remove_final_layer_norm=True)),
}


def main():
    for name, (config_class, options) in MODELS.items():
        torch.manual_seed(4321)
        config = config_class(**options)
        config._attn_implementation = "eager"
        model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().float()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
                else:
                    parameter.mul_(5.0)
        ids = torch.randint(0, 64, (1, 20))
        with torch.no_grad():
            out = model(ids, output_hidden_states=True, use_cache=False)
        golden = {"input_ids": ids[0], "logits": out.logits[0].contiguous()}
        golden |= {f"hidden_states.{i}": h[0].contiguous() for i, h in enumerate(out.hidden_states)}
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        save_file(golden, folder / "golden.safetensors", metadata={"made_by": "scripts/reference/option_models.py", "transformers": hf.__version__, "torch": torch.__version__})
        print(name, json.loads((folder / "config.json").read_text())["model_type"], sum(p.numel() for p in model.parameters()))


if __name__ == "__main__":
    main()
