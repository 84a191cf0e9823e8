"""Ten AdamW steps of tests/fixtures/tiny-llama in PyTorch (f32, eager attention): what tests/trainer.rs compares with.

Run from the repository root: python scripts/reference/adamw_reference.py
Writes tests/fixtures/adamw_reference.json (losses, gradient norms, and slices of every weight after the last step).
"""
import json
import math
import platform

import torch
import transformers
from transformers import LlamaForCausalLM

FOLDER = "tests/fixtures/tiny-llama"
STEPS, PEAK, WARMUP, FLOOR = 10, 3e-3, 3, 0.1
BETAS, EPS, DECAY, CLIP = (0.9, 0.98), 1e-8, 0.1, 1.0


def rate(step):
    if step < WARMUP:
        return PEAK * (step + 1) / WARMUP
    done = min((step - WARMUP) / (STEPS - WARMUP), 1.0)
    return PEAK * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def sequences(step):
    """Three ragged sequences a step from a small linear congruential generator, as the test makes them."""
    state = 12345 + step
    out = []
    for length in (9, 17, 5):
        tokens = []
        for _ in range(length):
            state = (state * 1103515245 + 12345) % 2**31
            tokens.append(state // 65536 % 512)
        weights = [0.0] + [1.0 if i % 3 == 0 else 0.25 for i in range(1, length)]
        out.append((tokens, weights))
    return out


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, attn_implementation="eager")
    model.train()
    decay = [p for p in model.parameters() if p.dim() == 2]
    keep = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decay, "weight_decay": DECAY}, {"params": keep, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=BETAS, eps=EPS)
    losses, norms = [], []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        batch = sequences(step)
        total = sum(sum(w) for _, w in batch)
        optimizer.zero_grad()
        loss = 0.0
        for tokens, weights in batch:
            logits = model(torch.tensor([tokens])).logits[0, :-1]
            ce = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]), reduction="none")
            loss = loss + (ce * torch.tensor(weights[1:])).sum() / total
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
        optimizer.step()
    slices = {}
    for name, p in model.named_parameters():
        flat = p.detach().flatten()
        slices[name] = {"sum": flat.double().sum().item(), "norm": flat.double().norm().item(), "every": max(1, flat.numel() // 16), "values": flat[:: max(1, flat.numel() // 16)].tolist()}
    record = {
        "made_by": f"torch {torch.__version__}, transformers {transformers.__version__}, python {platform.python_version()}, seed 0",
        "losses": losses,
        "gradient_norms": norms,
        "weights": slices,
    }
    with open("tests/fixtures/adamw_reference.json", "w") as f:
        json.dump(record, f, indent=1)
        f.write("\n")


main()
