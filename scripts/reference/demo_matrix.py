"""The demo's 6 x 6 matrix of docs/demo.md with transformers, independently of the engine.

usage: python demo_matrix.py ../../assets/demo OUT.json      (torch 2.11, transformers 5.17; a minute on a GPU, long on two cores)

Relevance of a neuron: mean over validation items of |sum_t a_t dL/da_t|, L = mean cross-entropy of the right choice's tokens. The 10 % of
neurons with the largest (over all layers) are set to 0 at every position; accuracy on the test split before and after, and for five
random sets with as many neurons in each layer (seeds 0..4).
"""
import json
import sys

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

FOLDER, OUT = sys.argv[1], sys.argv[2]
NAMES = "arithmetic logic sentiment facts code agreement".split()
device = "cuda" if torch.cuda.is_available() else "cpu"
model = AutoModelForCausalLM.from_pretrained(f"{FOLDER}/model", dtype=torch.float32).to(device).eval()
tokenizer = AutoTokenizer.from_pretrained(f"{FOLDER}/model")
L, F, V = model.config.num_hidden_layers, model.config.intermediate_size, model.config.vocab_size
gates = [None] * L  # 0 where a neuron is off
seen = None  # neurons of each layer, kept with their gradients


def watch(layer):
    def hook(_, inputs):
        x = inputs[0]
        if seen is not None:
            x.retain_grad()
            seen[layer] = x
        return (x if gates[layer] is None else x * gates[layer],)

    return hook


for layer, block in enumerate(model.model.layers):
    block.mlp.down_proj.register_forward_pre_hook(watch(layer))


def items(name, split):
    """(gold, tokens of the context, token ids of context + each choice)"""
    ids = lambda text: tokenizer(text)["input_ids"]
    rows = [json.loads(line) for line in open(f"{FOLDER}/data/{name}.{split}.jsonl")]
    return [(r["gold"], len(ids(r["query"])), [ids(f"{r['query']} {c}") for c in r["choices"]]) for r in rows]


def pack(sequences):
    """Right padding cannot reach back under causal attention. weights: 1 on the choice's tokens."""
    width = max(len(s) for s, _ in sequences)
    x = torch.ones(len(sequences), width, dtype=torch.long)
    weights = torch.zeros(len(sequences), width)
    for row, (s, start) in enumerate(sequences):
        x[row, : len(s)] = torch.tensor(s)
        weights[row, start : len(s)] = 1
    return x.to(device), weights.to(device)


data = {n: {s: items(n, s) for s in ("validation", "test")} for n in NAMES}
packed = {n: pack([(q, start) for _, start, qs in data[n]["test"] for q in qs]) for n in NAMES}


@torch.no_grad()
def accuracy(name):
    x, w = packed[name]
    sums = []
    for i in range(0, len(x), 256):
        log_probs = model(input_ids=x[i : i + 256]).logits[:, :-1].log_softmax(-1)
        sums += (log_probs.gather(-1, x[i : i + 256, 1:, None])[..., 0] * w[i : i + 256, 1:]).sum(1).tolist()
    right, at = 0, 0
    for gold, _, choices in data[name]["test"]:
        right += int(np.argmax(sums[at : at + len(choices)])) == gold
        at += len(choices)
    return 100 * right / len(data[name]["test"])


def with_off(neurons):
    for layer in range(L):
        gates[layer] = (~neurons[layer]).float().to(device)
    result = [accuracy(n) for n in NAMES]
    gates[:] = [None] * L
    return result


sets = {}
for name in NAMES:
    x, w = pack([(choices[gold], start) for gold, start, choices in data[name]["validation"]])
    w = w / w.sum(1, keepdim=True)
    seen = [None] * L
    logits = model(input_ids=x).logits[:, :-1]
    losses = cross_entropy(logits.reshape(-1, V), x[:, 1:].reshape(-1), reduction="none")
    (losses * w[:, 1:].reshape(-1)).sum().backward()
    relevance = torch.stack([(a.detach() * a.grad).sum(1).abs().mean(0) for a in seen]).cpu()
    seen = None
    chosen = torch.zeros(L * F, dtype=torch.bool)
    chosen[relevance.flatten().topk(round(0.1 * L * F)).indices] = True
    sets[name] = chosen.view(L, F)

out = {"base": [accuracy(n) for n in NAMES], "matrix": {}, "control": {}, "control_std": {}}
out["per_layer"] = {n: sets[n].sum(1).tolist() for n in NAMES}
out["jaccard"] = {a: {b: ((sets[a] & sets[b]).sum() / (sets[a] | sets[b]).sum()).item() for b in NAMES} for a in NAMES}
for name in NAMES:
    out["matrix"][name] = with_off(sets[name])
    controls = []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        random = torch.zeros(L, F, dtype=torch.bool)
        for layer in range(L):
            random[layer, torch.randperm(F, generator=generator)[: int(sets[name][layer].sum())]] = True
        controls.append(with_off(random))
    out["control"][name] = np.mean(controls, 0).tolist()
    out["control_std"][name] = np.std(controls, 0, ddof=1).tolist()
    print(name, [round(a, 1) for a in out["matrix"][name]], [round(a, 1) for a in out["control"][name]], flush=True)
json.dump(out, open(OUT, "w"))
