#!/usr/bin/env python3
"""Reference values for `brodmann scan`, by PyTorch autograd: nothing of the engine is used.

Model: transformers' own class for the folder, eager attention, one sequence a forward pass (so no padding and no batching), gradients by
torch.autograd.grad with respect to the weights and to the inputs of the MLP's and of attention's output matrix (`mlp.hook_post`, `attn.hook_z`).
Formulas: METHODS sections 1 and 2, i.e. A = |w * dD/dw| per scalar and sample, domain mean over samples, count of means above gamma,
cosine of the layer vectors, R = |sum_t a * dLoss/da| mean over samples.

Everything is computed twice, in float32 and in float64, so that a difference to the engine can be compared with float32's own noise.

    python scripts/reference/scan_reference.py --model DIR --data NAME=FILE.jsonl ... --objective max-logit|loss --out FILE.safetensors

Rows are read in file order: `{"text"}` is a plain text, `{"query", "choices", "gold"}` and `{"question", "passage", "answer"}` are multiple
choice (ARC, BoolQ), `{"prompt", "canonical_solution"}` is code (HumanEval); see `item`. The output holds numbers only: no text, no token ids
(their SHA-256 instead).

A vector of activations is as large as the model, and one is held for each sample. For models of some size `--layers-at-once` runs one backward
pass for so many layers, and `--every` keeps every so-manieth neuron of the maps, beside each layer's sum over all of them.
"""

import argparse
import hashlib
import json
import platform

import numpy as np
import tokenizers
import torch
import transformers
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

GATED = ("model.layers", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"])
# Where the blocks are, and the linear weights of one; attention's output matrix is the last before the MLP's, the MLP's is the last.
FAMILIES = {
    **dict.fromkeys(["llama", "mistral", "qwen2", "qwen3", "gemma3_text"], GATED),
    "phi3": ("model.layers", ["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"]),
    "gpt2": ("transformer.h", ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]),
    "gpt_neox": ("gpt_neox.layers", ["attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"]),
    "opt": ("model.decoder.layers", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2"]),
}
ATTENTION_OUT = {"self_attn.o_proj", "attn.c_proj", "attention.dense", "self_attn.out_proj"}
# Powers of two are edges between histogram bins, where a recount is exact.
EDGES = [2.0**e for e in range(-36, 0, 4)]


def item(row):
    """-> (context, gold continuation with what parts it from the context, or None)."""
    if "text" in row:
        return row["text"], None
    if "query" in row:
        context = row["query"]
        if context.startswith("Question:"):
            context = context.rstrip() + "\nAnswer:"
        return context, " " + row["choices"][row["gold"]]
    if "passage" in row:
        return f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:", " " + ["no", "yes"][row["answer"]]
    if "canonical_solution" in row:
        return row["prompt"], row["canonical_solution"]
    raise SystemExit(f"no reading of a row with {sorted(row)}")


def encode(tok, context, continuation, max_tokens):
    """-> (prompt ids, whole ids, index of the first token the loss runs over)."""
    if continuation is None:
        ids = tok.encode(context).ids[:max_tokens]
        return ids, ids, 1
    stripped = context.rstrip()
    continuation, context = context[len(stripped) :] + continuation, stripped
    prompt = tok.encode(context).ids
    whole = tok.encode(context + continuation).ids
    start = len(prompt)
    cut = max(0, len(whole) - max_tokens)
    return prompt[-max_tokens:], whole[cut:], max(1, start - cut)


class Model:
    def __init__(self, path, dtype):
        self.net = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="eager").eval()
        blocks, self.matrices = FAMILIES[self.net.config.model_type]
        self.layers = self.net.get_submodule(blocks)
        self.into_mlp = [m for m in self.matrices[:-1] if m not in ATTENTION_OUT and not m.startswith(("self_attn", "attn", "attention"))]
        self.conv = self.net.config.model_type == "gpt2"
        self.taken = {}
        attention_out = next(m for m in self.matrices if m in ATTENTION_OUT)
        for i, layer in enumerate(self.layers):
            for what, name in [("post", self.matrices[-1]), ("z", attention_out)]:
                layer.get_submodule(name).register_forward_pre_hook(lambda _, x, i=i, what=what: self.taken.__setitem__((what, i), x[0]))

    def weights(self, i):
        return [self.layers[i].get_submodule(m).weight for m in self.matrices]

    def roll_up(self, i, mean):
        """Of a layer's mean activations, all matrices one after another: for each hidden unit its row of each matrix into the MLP (two rows
        of a fused one) and its column of the one out of it."""
        units, at = 0.0, 0
        for name, w in zip(self.matrices, self.weights(i)):
            part = mean[at : at + w.numel()].reshape(w.shape)
            at += w.numel()
            part = part.T if self.conv else part
            if name == self.matrices[-1]:
                units = units + part.sum(0)
            elif name in self.into_mlp:
                f = self.weights(i)[-1].shape[0 if self.conv else 1]
                units = units + part.sum(1).reshape(-1, f).sum(0)
        return units

    def value(self, ids, objective, start):
        logits = self.net(torch.tensor([ids]), use_cache=False).logits[0]
        if objective == "max-logit":
            return logits[-1].max()
        return torch.nn.functional.cross_entropy(logits[start - 1 : -1], torch.tensor(ids[start:]))


def rows(x):
    """[tokens, width]; OPT flattens the batch before its MLP."""
    return x.reshape(-1, x.shape[-1])


def pick(values, every):
    """Every so-manieth neuron of a map [L, f], and the sums of its rows."""
    return values[:, ::every], values.sum(1)


def measure(path, domains, objective, gammas, dtype, at_once=None, every=1, band=1e-6):
    model = Model(path, dtype)
    n_layers, heads, per = len(model.layers), model.net.config.num_attention_heads, len(model.matrices)
    out, maps = {}, {}
    for name, samples in domains.items():
        values, relevance, head_relevance = [], [], []
        total, total_abs, n_tokens = 0.0, 0.0, 0
        for prompt, whole, start in samples:
            ids = prompt if objective == "max-logit" else whole
            with torch.no_grad():
                values.append(model.value(ids, objective, start).item())
            post = [model.taken[("post", i)] for i in range(n_layers)]
            total = total + np.stack([rows(p).double().sum(0).numpy() for p in post])
            total_abs = total_abs + np.stack([rows(p).double().abs().sum(0).numpy() for p in post])
            n_tokens += len(ids)
            loss = model.value(whole, "loss", start)
            taken = [model.taken[(what, i)] for what in ("post", "z") for i in range(n_layers)]
            products = [rows(a.detach() * g).double().sum(0) for a, g in zip(taken, torch.autograd.grad(loss, taken))]
            relevance.append(np.stack([p.abs().numpy() for p in products[:n_layers]]))
            head_relevance.append(np.stack([p.reshape(heads, -1).sum(1).abs().numpy() for p in products[n_layers:]]))
        out[f"objective/{name}"] = np.array(values)
        out[f"head_relevance/{name}"] = np.mean(head_relevance, axis=0)
        maps[f"relevance/{name}"] = np.mean(relevance, axis=0)
        maps[f"mean_activation/{name}"] = total / n_tokens
        maps[f"mean_abs_activation/{name}"] = total_abs / n_tokens
    # Of each layer, in their order: what a domain's vectors give, and what a pair's.
    found, pairs, params = {}, {}, []
    names, group = list(domains), at_once or n_layers
    for first in range(0, n_layers, group):
        layers = range(first, min(first + group, n_layers))
        # One vector a sample and layer: all matrices flattened, one after another.
        vectors = {name: {i: [] for i in layers} for name in names}
        for name, samples in domains.items():
            for prompt, whole, start in samples:
                value = model.value(prompt if objective == "max-logit" else whole, objective, start)
                weights = [w for i in layers for w in model.weights(i)]
                grads = torch.autograd.grad(value, weights)
                for k, i in enumerate(layers):
                    of = range(k * per, (k + 1) * per)
                    vectors[name][i].append(np.concatenate([(weights[m].detach() * grads[m]).abs().flatten().double().numpy() for m in of]))
        for i in layers:
            params.append(vectors[names[0]][i][0].size)
            for name in names:
                v = vectors[name][i] = np.stack(vectors[name][i])
                mean, norms = v.mean(0), np.linalg.norm(v, axis=1)
                add = lambda what, value, name=name: found.setdefault(f"{what}/{name}", []).append(value)
                add("count", [int((mean > g).sum()) for g in gammas])
                add("band", [int((np.abs(mean - g) <= band * g).sum()) for g in gammas])
                add("count_at_edges", [int((mean >= e).sum()) for e in EDGES])
                add("band_at_edges", [int((np.abs(mean - e) <= band * e).sum()) for e in EDGES])
                add("param_activation", model.roll_up(i, mean))
                # [N, N]: whoever pairs a domain with itself picks the pairs.
                add("self_cosine", v @ v.T / norms[:, None] / norms)
            for a in range(len(names)):
                for b in range(a + 1, len(names)):
                    m = min(len(domains[names[a]]), len(domains[names[b]]))
                    va, vb = vectors[names[a]][i][:m], vectors[names[b]][i][:m]
                    cosine = (va * vb).sum(1) / (np.linalg.norm(va, axis=1) * np.linalg.norm(vb, axis=1))
                    pairs.setdefault(f"llmdcos/{names[a]}|{names[b]}", []).append(cosine)
            for name in names:
                del vectors[name][i]
    for key, values in found.items():
        if key.startswith("param_activation"):
            maps[key] = np.stack(values)
        else:
            out[key] = np.array(values, dtype=np.float64 if key.startswith("self_cosine") else np.int64)
    for key, values in pairs.items():
        out[key] = np.stack(values, axis=1)
    for key, values in maps.items():
        out[key], sums = pick(values, every)
        if every > 1:
            out["sum_" + key] = sums
    out["params_per_layer"] = np.array(params, dtype=np.int64)
    return out


def weights_digest(folder):
    with open(f"{folder}/model.safetensors", "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", action="append", required=True, metavar="NAME=PATH")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--objective", choices=["max-logit", "loss"], default="max-logit")
    parser.add_argument("--gamma", type=float, action="append")
    parser.add_argument("--layers-at-once", type=int, help="layers whose vectors are held at a time (default: all)")
    parser.add_argument("--every", type=int, default=1, help="keep every so-manieth neuron of the maps")
    parser.add_argument("--band", type=float, default=1e-6, help="relative distance from a threshold within which rounding may decide a count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.manual_seed(0)  # nothing is drawn; stated so that a reader need not wonder
    torch.set_num_threads(args.threads)

    tok = Tokenizer.from_file(f"{args.model}/tokenizer.json")
    # The engine compares with the f32 nearest to what the user typed.
    gammas = [float(np.float32(g)) for g in args.gamma or [2e-6]]
    domains, digests = {}, {}
    for spec in args.data:
        name, path = spec.split("=", 1)
        chosen = []
        with open(path, encoding="utf-8") as lines:
            for row in lines:
                prompt, whole, start = encode(tok, *item(json.loads(row)), args.max_tokens)
                if len(prompt) >= 2 and len(whole) > start:
                    chosen.append((prompt, whole, start))
                if len(chosen) == args.samples:
                    break
        domains[name] = chosen
        text = ";".join(f"{','.join(map(str, p))}|{','.join(map(str, w))}|{s}" for p, w, s in chosen)
        digests[name] = hashlib.sha256(text.encode()).hexdigest()

    how = (args.objective, gammas), (args.layers_at_once, args.every, args.band)
    tensors = measure(args.model, domains, *how[0], torch.float64, *how[1])
    single = measure(args.model, domains, *how[0], torch.float32, *how[1])
    noise = {}
    for key, exact in list(tensors.items()):
        if exact.dtype.kind == "f":
            # float32's own error, relative to the largest value of the tensor.
            noise[key] = float(np.abs(single[key] - exact).max() / np.abs(exact).max())
            tensors[key] = exact.astype(np.float32)
        elif key.startswith("count"):
            tensors[key + "@f32"] = single[key]
        tensors[key] = np.ascontiguousarray(tensors[key])
    tensors["gammas"] = np.array(gammas)
    tensors["edges"] = np.array(EDGES)
    meta = {
        "made_by": "scripts/reference/scan_reference.py",
        "versions": f"python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"tokenizers {tokenizers.__version__}, numpy {np.__version__}",
        "arithmetic": f"float64, stored as float32; counts also in float32 (@f32); eager attention, {args.threads} thread(s)",
        "float32_error": json.dumps(noise),
        "order": "file",
        "objective": args.objective,
        "samples": str(args.samples),
        "max_tokens": str(args.max_tokens),
        "every": str(args.every),
        "band": str(args.band),
        "model_sha256": weights_digest(args.model),
        "tokens_sha256": json.dumps(digests),
    }
    save_file(tensors, args.out, metadata=meta)
    for name in domains:
        both = tensors[f"count/{name}"], tensors[f"count/{name}@f32"]
        same = "as" if (both[0] == both[1]).all() else f"NOT as {both[1].tolist()} in"
        print(f"{name}: {len(domains[name])} samples, counts {both[0].tolist()}, {same} float32; in the band {tensors[f'band/{name}'].tolist()}")
    print("largest float32 error:", max(noise.values()))


if __name__ == "__main__":
    main()
