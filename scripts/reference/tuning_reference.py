"""Ten steps each of SGD over every parameter, of LoRA and of a neuron set, of tests/fixtures/tiny-llama in PyTorch (f32, eager attention): what
tests/tuning_reference.rs compares with.

Run from the repository root: python scripts/reference/tuning_reference.py
Writes tests/fixtures/tuning_reference.json (losses, gradient norms, and slices of what trained after the last step).
"""
import json
import math
import platform

import torch
import transformers
from transformers import LlamaForCausalLM

FOLDER = "tests/fixtures/tiny-llama"
STEPS, WARMUP, FLOOR, CLIP = 10, 3, 0.1, 1.0
ADAMW = {"betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.1}
NEURONS = {0: [1, 2, 3], 1: [0, 1, 2, 3, 17], 2: [5]}
RANK, ALPHA = 3, 6.0


def rate(peak, step):
    if step < WARMUP:
        return peak * (step + 1) / WARMUP
    done = min((step - WARMUP) / (STEPS - WARMUP), 1.0)
    return peak * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def generator(state):
    """A small linear congruential generator, as the test has it."""
    while True:
        state = (state * 1103515245 + 12345) % 2**31
        yield state // 65536


def sequences(step):
    numbers = generator(12345 + step)
    out = []
    for length in (9, 17, 5):
        tokens = [next(numbers) % 512 for _ in range(length)]
        out.append((tokens, [0.0] + [1.0 if i % 3 == 0 else 0.25 for i in range(1, length)]))
    return out


def loss_of(logits_of, step):
    batch = sequences(step)
    total = sum(sum(w) for _, w in batch)
    loss = 0.0
    for tokens, weights in batch:
        logits = logits_of(torch.tensor([tokens]))[0, :-1]
        ce = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]), reduction="none")
        loss = loss + (ce * torch.tensor(weights[1:])).sum() / total
    return loss


def train(parameters, optimizer, peak, logits_of):
    losses, norms = [], []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(peak, step)
        optimizer.zero_grad()
        loss = loss_of(logits_of, step)
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, CLIP).item())
        optimizer.step()
    return losses, norms


def slices(named):
    out = {}
    for name, p in named:
        flat = p.detach().flatten()
        every = max(1, flat.numel() // 16)
        out[name] = {"norm": flat.double().norm().item(), "every": every, "values": flat[::every].tolist()}
    return out


def fresh():
    model = LlamaForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, attn_implementation="eager")
    model.train()
    return model


def sgd():
    model = fresh()
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    losses, norms = train(list(model.parameters()), optimizer, 0.1, lambda t: model(t).logits)
    return {"losses": losses, "gradient_norms": norms, "weights": slices(model.named_parameters())}


def functional(model, changed):
    """The model's logits with some weights replaced by tensors that carry gradients."""
    return lambda tokens: torch.func.functional_call(model, changed(), (tokens,)).logits


def neurons():
    model = fresh()
    for p in model.parameters():
        p.requires_grad_(False)
    base = dict(model.named_parameters())
    trained, places = {}, {}
    for layer, members in NEURONS.items():
        index = torch.tensor(members)
        for word in ("gate_proj", "up_proj", "down_proj"):
            name = f"model.layers.{layer}.mlp.{word}.weight"
            # Rows of gate and up, columns of down; packed one neuron after another.
            part = base[name][index] if word != "down_proj" else base[name][:, index].T
            trained[name] = torch.nn.Parameter(part.clone().contiguous())
            places[name] = (index, word == "down_proj")

    def changed():
        out = {}
        for name, part in trained.items():
            index, columns = places[name]
            out[name] = base[name].index_copy(1, index, part.T) if columns else base[name].index_copy(0, index, part)
        return out

    parameters = list(trained.values())
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, **ADAMW)
    losses, norms = train(parameters, optimizer, 3e-3, functional(model, changed))
    return {"losses": losses, "gradient_norms": norms, "weights": slices(trained.items())}


def lora():
    model = fresh()
    for p in model.parameters():
        p.requires_grad_(False)
    base = dict(model.named_parameters())
    adapters, trained = {}, {}
    numbers = generator(777)
    for layer in range(model.config.num_hidden_layers):
        for word in ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"):
            name = f"model.layers.{layer}.{word}.weight"
            out, inside = base[name].shape
            a = torch.tensor([[(next(numbers) % 2001 - 1000) / 10000 for _ in range(inside)] for _ in range(RANK)])
            adapters[name] = (torch.nn.Parameter(a), torch.nn.Parameter(torch.zeros(out, RANK)))
            trained[f"{name} lora_a"], trained[f"{name} lora_b"] = adapters[name]

    def changed():
        return {name: base[name] + ALPHA / RANK * (b @ a) for name, (a, b) in adapters.items()}

    parameters = list(trained.values())
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, **ADAMW)
    losses, norms = train(parameters, optimizer, 3e-3, functional(model, changed))
    return {"losses": losses, "gradient_norms": norms, "weights": slices(trained.items())}


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    record = {
        "made_by": f"torch {torch.__version__}, transformers {transformers.__version__}, python {platform.python_version()}, seed 0",
        "sgd": sgd(),
        "neurons": neurons(),
        "lora": lora(),
    }
    with open("tests/fixtures/tuning_reference.json", "w") as f:
        json.dump(record, f, indent=1)
        f.write("\n")


main()
