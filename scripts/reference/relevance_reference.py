#!/usr/bin/env python3
"""Reference values for the options of task relevance (`brodmann neurons`), by PyTorch autograd: nothing of the engine is used.

Model: transformers' own class, eager attention, one sequence a forward pass, float64. Every neuron has a gate of its own, a tensor that multiplies the
input of the MLP's output matrix; gradients are taken with respect to it. (The engine has no gates: it scales the matrix.)

    sum        mean over samples of |sum_t a_tj dL/da_tj|              per_token   mean over samples of sum_t |a_tj dL/da_tj|
    signed     mean over samples of -sum_t a_tj dL/da_tj               ig_*        the same, integrated over all gates from 0 to 1
                                                                                   by the midpoint rule (`steps` in the metadata);
                                                                                   ig_per_token has its bars at each step
    columns/*  the same for the outputs of the MLP's output matrix (without bias) in place of a

    python scripts/reference/relevance_reference.py --model DIR --data NAME=FILE.jsonl ... --out FILE.safetensors

Rows are read as scan_reference.py reads them.
"""

import argparse
import json
import platform

import numpy as np
import tokenizers
import torch
import transformers
from safetensors.numpy import save_file
from scan_reference import FAMILIES, encode, item, weights_digest
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM


class Gated:
    """A model whose neurons have gates, `gates[l]` of shape [d_mlp]."""

    def __init__(self, path):
        self.net = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64, attn_implementation="eager").eval()
        self.net.requires_grad_(False)
        blocks, matrices = FAMILIES[self.net.config.model_type]
        self.layers = self.net.get_submodule(blocks)
        self.down = [layer.get_submodule(matrices[-1]) for layer in self.layers]
        conv = self.net.config.model_type == "gpt2"
        widths = [d.weight.shape[0 if conv else 1] for d in self.down]
        self.gates = [torch.ones(w, dtype=torch.float64) for w in widths]
        self.seen = {}
        for i, down in enumerate(self.down):
            down.register_forward_pre_hook(lambda _, x, i=i: self.before(i, x[0]))
            down.register_forward_hook(lambda _, x, y, i=i: self.after(i, y))

    def before(self, i, a):
        x = a * self.gates[i]
        if x.requires_grad or torch.is_grad_enabled():
            x.requires_grad_(True)
            x.retain_grad() if not x.is_leaf else None
        self.seen["a", i], self.seen["x", i] = a, x
        return (x,)

    def after(self, i, y):
        if y.requires_grad:
            y.retain_grad()
        self.seen["y", i] = y
        return y

    def loss(self, ids, start):
        logits = self.net(torch.tensor([ids]), use_cache=False).logits[0]
        return torch.nn.functional.cross_entropy(logits[start - 1 : -1], torch.tensor(ids[start:]))

    def products(self, ids, start, gate):
        """With every gate at `gate`: of every token, activation times gradient of the gated one, and the same of the output matrix's outputs."""
        self.gates = [torch.full_like(g, gate, requires_grad=True) for g in self.gates]
        loss = self.loss(ids, start)
        loss.backward()
        rows = lambda t: t.reshape(-1, t.shape[-1])
        neurons, columns, by_gate = [], [], []
        for i, down in enumerate(self.down):
            a, x, y = (rows(self.seen[k, i].detach()) for k in ("a", "x", "y"))
            neurons.append(a * rows(self.seen["x", i].grad))
            by_gate.append(self.gates[i].grad)
            bias = 0.0 if down.bias is None else down.bias
            columns.append((y - bias) / gate * rows(self.seen["y", i].grad))
        # The gradient of a gate is the sum of its products.
        for n, g in zip(neurons, by_gate):
            assert torch.allclose(n.sum(0), g, rtol=1e-9, atol=1e-14), (n.sum(0) - g).abs().max()
        return loss.item(), torch.stack([n.T for n in neurons]), torch.stack([c.T for c in columns])

    def at(self, ids, start, gate):
        self.gates = [torch.full_like(g, gate).detach() for g in self.gates]
        with torch.no_grad():
            return self.loss(ids, start).item()


def measure(model, samples, steps):
    out = {}
    add = lambda key, value: out.setdefault(key, []).append(value.numpy())
    losses, shut, integral = [], [], []
    for whole, start in samples:
        loss, *of = model.products(whole, start, 1.0)
        losses.append(loss)
        shut.append(model.at(whole, start, 0.0))
        for name, p in zip(("neurons", "columns"), of):
            add(f"{name}/sum", p.sum(-1).abs())
            add(f"{name}/per_token", p.abs().sum(-1))
            add(f"{name}/signed", -p.sum(-1))
        total = [[0.0, 0.0], [0.0, 0.0]]
        for i in range(steps):
            _, *of = model.products(whole, start, (i + 0.5) / steps)
            for t, p in zip(total, of):
                t[0] = t[0] + p.sum(-1) / steps
                t[1] = t[1] + p.abs().sum(-1) / steps
        integral.append(total[0][0].sum().item())
        for name, (signed, bars) in zip(("neurons", "columns"), total):
            add(f"{name}/ig_sum", signed.abs())
            add(f"{name}/ig_signed", -signed)
            add(f"{name}/ig_per_token", bars)
    out = {key: np.mean(values, axis=0) for key, values in out.items()}
    out["completeness"] = np.array([np.mean(losses), np.mean(shut), np.mean(integral)])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", action="append", required=True, metavar="NAME=PATH")
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tok = Tokenizer.from_file(f"{args.model}/tokenizer.json")
    model = Gated(args.model)
    tensors = {}
    for spec in args.data:
        name, path = spec.split("=", 1)
        chosen = []
        with open(path, encoding="utf-8") as lines:
            for row in lines:
                prompt, whole, start = encode(tok, *item(json.loads(row)), args.max_tokens)
                if len(prompt) >= 2 and len(whole) > start:
                    chosen.append((whole, start))
                if len(chosen) == args.samples:
                    break
        for key, value in measure(model, chosen, args.steps).items():
            tensors[f"{name}/{key}"] = np.ascontiguousarray(value.astype(np.float64 if key == "completeness" else np.float32))
        print(name, len(chosen), "samples; loss open, shut, integral:", tensors[f"{name}/completeness"])
    save_file(
        tensors,
        args.out,
        metadata={
            "made_by": "scripts/reference/relevance_reference.py",
            "versions": f"python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
            f"tokenizers {tokenizers.__version__}, numpy {np.__version__}",
            "arithmetic": "float64, stored as float32; eager attention, 1 thread",
            "samples": str(args.samples),
            "max_tokens": str(args.max_tokens),
            "steps": str(args.steps),
            "model_sha256": weights_digest(args.model),
        },
    )


if __name__ == "__main__":
    main()
