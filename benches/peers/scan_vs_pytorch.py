"""Times a whole scan against PyTorch's per-sample loop, taking turns: A B A B.

The loop is the method as its authors write it: for every sample a forward pass, `autograd.grad` of the objective with respect to
the block's linear weights, |w * g| for each parameter; the mean over samples, its density, row sums and column sums for each
matrix, and the cosine of every pair of samples by layer. Ours is `scan_prepared` with the metrics param_activation and llmdcos
(which also keeps the histogram). Both get the same weights, tokens, pairs and threads, and must agree on every count (but for
values within 1e-6 of gamma) and every cosine (1e-4).

    python benches/peers/scan_vs_pytorch.py [--objective max-logit|loss] [--rounds 7] [--binary PATH]

Needs torch, numpy and safetensors. Prints minima, medians and their ratio, of the time on the wall and of the processor's. On a busy machine only
the processor's time with `--threads 1` means something: threads that wait for each other suffer from neighbours more than the work does.
"""

import argparse
import json
import math
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

D, LAYERS, FF, HEADS, VOCAB, T, SAMPLES, EPS, THETA = 512, 4, 1376, 8, 4096, 128, 8, 1e-5, 10000.0
HEAD = D // HEADS
MATRICES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


def write_model(folder):
    rng = np.random.default_rng(0)
    shape = {"mlp.gate_proj": (FF, D), "mlp.up_proj": (FF, D), "mlp.down_proj": (D, FF)}

    def random(rows, cols):
        return (rng.standard_normal((rows, cols)) / math.sqrt(cols)).astype(np.float32)

    tensors = {"model.embed_tokens.weight": random(VOCAB, D), "lm_head.weight": random(VOCAB, D), "model.norm.weight": np.ones(D, np.float32)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        for m in MATRICES:
            tensors[f"{name}.{m}.weight"] = random(*shape.get(m, (D, D)))
        tensors[f"{name}.input_layernorm.weight"] = np.ones(D, np.float32)
        tensors[f"{name}.post_attention_layernorm.weight"] = np.ones(D, np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": D, "num_hidden_layers": LAYERS,
        "intermediate_size": FF, "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "vocab_size": VOCAB,
        "max_position_embeddings": 2048, "rms_norm_eps": EPS, "rope_theta": THETA, "hidden_act": "silu", "torch_dtype": "float32",
        "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    vocab = {f"t{i}": i for i in range(VOCAB)}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                 "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
                 "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "t0"}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    tokens = rng.integers(1, VOCAB, (SAMPLES, T))
    (folder / "tokens.json").write_text(json.dumps(tokens.tolist()))
    return {k: torch.from_numpy(v) for k, v in tensors.items()}, torch.from_numpy(tokens)


class PyTorchScan:
    def __init__(self, weights, tokens, objective, cycle, gamma):
        self.w, self.tokens, self.objective, self.cycle, self.gamma = weights, tokens, objective, cycle, gamma
        self.scanned = [[weights[f"model.layers.{l}.{m}.weight"].requires_grad_() for m in MATRICES] for l in range(LAYERS)]
        angles = torch.arange(T)[:, None] * THETA ** (-torch.arange(0, HEAD, 2) / HEAD)[None, :]
        self.cos, self.sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def rope(self, x):
        a, b = x.chunk(2, -1)
        return x * self.cos + torch.cat([-b, a], -1) * self.sin

    def value(self, tokens):
        w = self.w
        x = w["model.embed_tokens.weight"][tokens]
        for l in range(LAYERS):
            q_, k_, v_, o_, gate, up, down = self.scanned[l]
            y = F.rms_norm(x, (D,), w[f"model.layers.{l}.input_layernorm.weight"], EPS)
            q, k, v = (F.linear(y, m).view(T, HEADS, HEAD).transpose(0, 1) for m in (q_, k_, v_))
            z = F.scaled_dot_product_attention(self.rope(q)[None], self.rope(k)[None], v[None], is_causal=True)[0]
            x = x + F.linear(z.transpose(0, 1).reshape(T, D), o_)
            y = F.rms_norm(x, (D,), w[f"model.layers.{l}.post_attention_layernorm.weight"], EPS)
            x = x + F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down)
        logits = F.linear(F.rms_norm(x, (D,), w["model.norm.weight"], EPS), w["lm_head.weight"])
        return logits[-1].max() if self.objective == "max-logit" else F.cross_entropy(logits[:-1], tokens[1:])

    def run(self):
        start, cpu = time.perf_counter(), time.process_time()
        flat = [m for layer in self.scanned for m in layer]
        mean = [torch.zeros_like(m, requires_grad=False) for m in flat]
        samples = []
        for tokens in self.tokens:
            grads = torch.autograd.grad(self.value(tokens), flat)
            with torch.no_grad():
                activations = [(m * g).abs() for m, g in zip(flat, grads)]
                for total, a in zip(mean, activations):
                    total += a
            samples.append(activations)
        with torch.no_grad():
            n = len(MATRICES)
            counts, sums = [], []
            for l in range(LAYERS):
                counts.append(0)
                for total in mean[l * n : (l + 1) * n]:
                    total /= SAMPLES
                    counts[l] += int((total > self.gamma).sum())
                    sums.append((total.sum(0), total.sum(1)))
            cosines = []
            layer_of = lambda s, l: torch.cat([a.flatten() for a in samples[s][l * n : (l + 1) * n]])
            for l in range(LAYERS):
                vectors = [layer_of(s, l) for s in range(SAMPLES)]
                norms = [(v @ v).sqrt() for v in vectors]  # v.norm() is off by 1e-4 at this length
                cosines.append([float(vectors[s] @ vectors[p] / (norms[s] * norms[p])) for s, p in enumerate(self.cycle)])
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        near = [sum(int(((t - self.gamma).abs() <= 1e-6 * self.gamma).sum()) for t in mean[l * n : (l + 1) * n]) for l in range(LAYERS)]
        return (seconds, cpu_seconds), counts, near, cosines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--objective", choices=["max-logit", "loss"], default="max-logit")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", help="the built bench; built by cargo when not given")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    command = [args.binary] if args.binary else ["cargo", "bench", "--quiet", "--bench", "scan_vs_pytorch", "--"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights, tokens = write_model(folder)
        ours = subprocess.Popen([*command, "--serve", str(folder), str(args.threads), args.objective],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        hello = json.loads(ours.stdout.readline())
        peer = PyTorchScan(weights, tokens, args.objective, hello["cycle"], hello["gamma"])
        print(f"{hello['device']} against torch {torch.__version__}, {args.threads} threads, objective {args.objective}", flush=True)
        times = {"ours": [], "torch": []}
        for round_ in range(args.rounds + 1):
            ours.stdin.write("scan\n")
            mine = json.loads(ours.stdout.readline())
            seconds, counts, near, cosines = peer.run()
            for l in range(LAYERS):
                assert abs(mine["counts"][l] - counts[l]) <= near[l], f"layer {l}: {mine['counts'][l]} above gamma, torch {counts[l]}"
                for m in range(SAMPLES):
                    a, b = mine["cosines"][m][l], cosines[l][m]
                    assert abs(a - b) < 1e-4, f"layer {l} pair {m}: cosine {a}, torch {b}"
            if round_ > 0:  # the first warms caches up
                times["ours"].append((mine["seconds"], mine["cpu_seconds"] or math.nan))
                times["torch"].append(seconds)
                print(f"  ours {mine['seconds'] * 1e3:7.1f} ms   torch {seconds[0] * 1e3:7.1f} ms", flush=True)
        ours.stdin.close()
        ours.wait()
    for kind, index in [("wall", 0), ("processor", 1)]:
        for name, f in [("minimum", min), ("median", statistics.median)]:
            a, b = (f([t[index] for t in times[side]]) for side in ["ours", "torch"])
            print(f"{kind} {name}: ours {a * 1e3:.1f} ms, torch {b * 1e3:.1f} ms, ratio {a / b:.3f}")


if __name__ == "__main__":
    main()
