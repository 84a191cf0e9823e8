"""Times a whole scan against PyTorch, taking turns: A B A B.

`--peer loop` is the method as its authors write it: for every sample a forward pass, `autograd.grad` of the objective with respect to
the block's linear weights, |w * g| for each parameter; the mean over samples, its density, row sums and column sums for each
matrix, and the cosine of every pair of samples by layer. Ours is `scan_prepared` with the metrics param_activation and llmdcos
(which also keeps the histogram). `--peer batched` is PyTorch at its best: one forward and backward of the whole batch for the inputs and
output gradients of every linear layer, then per-sample products by bmm, matrix after matrix. Both get the same weights, tokens, pairs and threads, and must agree on every count (but for
values within 1e-6 of gamma, 1e-5 for the deep shape) and every cosine (1e-4).

With `--products bf16` ours rounds the operands of products to bfloat16, with `--torch-products bf16` PyTorch does (autocast); then neither has to agree, and it is said how far
each is from PyTorch in f32.

    python benches/peers/scan_vs_pytorch.py [--shape small|smollm2] [--peer loop|batched] [--objective max-logit|loss] [--rounds 7] [--near 1e-6] [--binary PATH]
        [--products KIND] [--torch-products f32|bf16]

Needs torch, numpy and safetensors. Prints minima, medians and their ratio, of the time on the wall and of the processor's. On a busy machine only
the processor's time with `--threads 1` means something: threads that wait for each other suffer from neighbours more than the work does.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

# d_model, layers, d_mlp, heads, key-value heads, vocabulary, tied head
SHAPES = {"small": (512, 4, 1376, 8, 8, 4096, False), "smollm2": (576, 30, 1536, 9, 3, 49152, True)}
T, SAMPLES, EPS, THETA = 128, 8, 1e-5, 10000.0
MATRICES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


def set_shape(name):
    global D, LAYERS, FF, HEADS, KV, VOCAB, TIED, HEAD, NEAR
    D, LAYERS, FF, HEADS, KV, VOCAB, TIED = SHAPES[name]
    HEAD = D // HEADS
    # Through thirty layers two orders of f32 sums differ by more than through four.
    NEAR = 1e-6 if LAYERS <= 4 else 1e-5


def write_model(folder):
    rng = np.random.default_rng(0)
    shape = {"mlp.gate_proj": (FF, D), "mlp.up_proj": (FF, D), "mlp.down_proj": (D, FF)}
    shape |= {"self_attn.k_proj": (KV * HEAD, D), "self_attn.v_proj": (KV * HEAD, D)}

    def random(rows, cols):
        return (rng.standard_normal((rows, cols)) / math.sqrt(cols)).astype(np.float32)

    tensors = {"model.embed_tokens.weight": random(VOCAB, D), "model.norm.weight": np.ones(D, np.float32)}
    if not TIED:
        tensors["lm_head.weight"] = random(VOCAB, D)
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        for m in MATRICES:
            tensors[f"{name}.{m}.weight"] = random(*shape.get(m, (D, D)))
        tensors[f"{name}.input_layernorm.weight"] = np.ones(D, np.float32)
        tensors[f"{name}.post_attention_layernorm.weight"] = np.ones(D, np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": D, "num_hidden_layers": LAYERS,
        "intermediate_size": FF, "num_attention_heads": HEADS, "num_key_value_heads": KV, "vocab_size": VOCAB,
        "max_position_embeddings": 2048, "rms_norm_eps": EPS, "rope_theta": THETA, "hidden_act": "silu", "torch_dtype": "float32",
        "tie_word_embeddings": TIED, "attention_bias": False, "mlp_bias": False,
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

    def embed(self, tokens):
        return self.w["model.embed_tokens.weight"][tokens]

    def value(self, tokens):
        w = self.w
        x = self.embed(tokens)
        for l in range(LAYERS):
            q_, k_, v_, o_, gate, up, down = self.scanned[l]
            y = F.rms_norm(x, (D,), w[f"model.layers.{l}.input_layernorm.weight"], EPS)
            q, k, v = (self.linear(y, m).view(*tokens.shape, -1, HEAD).transpose(-3, -2) for m in (q_, k_, v_))
            z = F.scaled_dot_product_attention(self.rope(q), self.rope(k), v, is_causal=True, enable_gqa=KV != HEADS)
            x = x + self.linear(z.transpose(-3, -2).reshape(*tokens.shape, D), o_)
            y = F.rms_norm(x, (D,), w[f"model.layers.{l}.post_attention_layernorm.weight"], EPS)
            x = x + self.linear(F.silu(self.linear(y, gate)) * self.linear(y, up), down)
        # Only the rows that the objective reads go through the head.
        x = x[..., -1:, :] if self.objective == "max-logit" else x[..., :-1, :]
        logits = F.linear(F.rms_norm(x, (D,), w["model.norm.weight"], EPS), w["model.embed_tokens.weight" if TIED else "lm_head.weight"])
        if self.objective == "max-logit":
            return logits.max(-1).values.sum()
        # The mean over a sample's tokens, summed over samples.
        return F.cross_entropy(logits.flatten(0, -2), tokens[..., 1:].flatten(), reduction="sum") / (T - 1)

    def linear(self, x, m):
        return F.linear(x, m)

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
        near = [sum(int(((t - self.gamma).abs() <= NEAR * self.gamma).sum()) for t in mean[l * n : (l + 1) * n]) for l in range(LAYERS)]
        return (seconds, cpu_seconds), counts, near, cosines


class BatchedScan(PyTorchScan):
    """Inputs and output gradients of every linear layer from one pass over the batch, per-sample products by bmm."""

    def __init__(self, *args):
        super().__init__(*args)
        for layer in self.scanned:
            for m in layer:
                m.requires_grad_(False)

    def embed(self, tokens):
        return super().embed(tokens).requires_grad_()

    def linear(self, x, m):
        y = F.linear(x, m)
        self.taken.append((x, y))
        return y

    def run(self):
        start, cpu = time.perf_counter(), time.process_time()
        self.taken = []
        value = self.value(self.tokens)
        deltas = torch.autograd.grad(value, [y for _, y in self.taken])
        counts, near, cosines, n = [], [], [], len(MATRICES)
        # In the order of the calls: q, k, v, o, gate, up, down.
        with torch.no_grad():
            for l in range(LAYERS):
                count, close, dots, squares = 0, 0, 0.0, 0.0
                for m, (x, _), delta in zip(self.scanned[l], self.taken[l * n : (l + 1) * n], deltas[l * n : (l + 1) * n]):
                    a = torch.bmm(delta.transpose(1, 2), x)
                    a.mul_(m).abs_()
                    mean = a.mean(0)
                    count += int((mean > self.gamma).sum())
                    close += int(((mean - self.gamma).abs() <= NEAR * self.gamma).sum())
                    _ = mean.sum(0), mean.sum(1)
                    flat = a.flatten(1)
                    squares = squares + torch.stack([v @ v for v in flat])
                    dots = dots + torch.stack([flat[s] @ flat[p] for s, p in enumerate(self.cycle)])
                norms = squares.sqrt()
                counts.append(count)
                near.append(close)
                cosines.append([float(dots[s] / (norms[s] * norms[p])) for s, p in enumerate(self.cycle)])
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        self.taken = []
        return (seconds, cpu_seconds), counts, near, cosines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--objective", choices=["max-logit", "loss"], default="max-logit")
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--peer", choices=["loop", "batched"], default="loop")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--near", type=float, help="relative distance from gamma at which either count will do, for products in other arithmetic")
    parser.add_argument("--binary", help="the built bench; built by cargo when not given")
    parser.add_argument("--products", help="our arithmetic of products; the fastest of f32's accuracy when not given")
    parser.add_argument("--torch-products", choices=["f32", "bf16"], default="f32")
    args = parser.parse_args()
    coarse = args.torch_products == "bf16" or args.products in ("bf16", "bf16x3")
    environment = {**os.environ, **({"BRODMANN_PRODUCTS": args.products} if args.products else {})}
    torch.set_num_threads(args.threads)
    set_shape(args.shape)
    if args.near:
        global NEAR
        NEAR = args.near
    command = [args.binary] if args.binary else ["cargo", "bench", "--quiet", "--bench", "scan_vs_pytorch", "--"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights, tokens = write_model(folder)
        ours = subprocess.Popen([*command, "--serve", str(folder), str(args.threads), args.objective],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment)
        hello = json.loads(ours.stdout.readline())
        peer = (BatchedScan if args.peer == "batched" else PyTorchScan)(weights, tokens, args.objective, hello["cycle"], hello["gamma"])
        print(f"{hello['device']} against torch {torch.__version__}, {args.threads} threads, objective {args.objective}, shape {args.shape}, {args.peer}, torch in {args.torch_products}", flush=True)
        reference = peer.run() if coarse else None
        times = {"ours": [], "torch": []}
        for round_ in range(args.rounds + 1):
            ours.stdin.write("scan\n")
            mine = json.loads(ours.stdout.readline())
            with torch.autocast("cpu", torch.bfloat16, enabled=args.torch_products == "bf16"):
                seconds, counts, near, cosines = peer.run()
            for l in range(0 if coarse else LAYERS):
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
    if coarse:
        exact = torch.tensor(reference[3])
        parameters = sum(m.numel() for m in peer.scanned[0])
        for name, there, cosines in [("ours", mine["counts"], torch.tensor(mine["cosines"]).T), ("torch", counts, torch.tensor(cosines))]:
            moved = max(abs(a - b) for a, b in zip(there, reference[1])) / parameters
            apart = (cosines - exact).abs()
            print(f"{name} from torch in f32: density of a layer by {100 * moved:.4f} points at most, a cosine by {apart.max():.1e} at most, {apart.mean():.1e} in the mean")
    for kind, index in [("wall", 0), ("processor", 1)]:
        for name, f in [("minimum", min), ("median", statistics.median)]:
            a, b = (f([t[index] for t in times[side]]) for side in ["ours", "torch"])
            print(f"{kind} {name}: ours {a * 1e3:.1f} ms, torch {b * 1e3:.1f} ms, ratio {a / b:.3f}; ours {SAMPLES / a:.2f} samples/s, torch {SAMPLES / b:.2f}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory: ours {memory[1]:.0f} MiB, torch {memory[0]:.0f} MiB (with the weights that were written)")


if __name__ == "__main__":
    main()
