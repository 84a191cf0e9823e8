"""How far from PyTorch in f64 a model's logits and a scan are, by each arithmetic of products.

  python benches/peers/accuracy_vs_f64.py FOLDER ROWS.jsonl --field passage [--kinds f32,int8x8,bf16x6]

FOLDER is a Hugging Face folder whose weights are f32 (scripts/reference/smollm2_folder.py writes one). Two texts of 64 tokens are made, each of one
of the file's rows and the next; the objective is the loss. The folder is not written to: what both sides read and write lies in a temporary one.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

LENGTH = 64


def texts(tokenizer, file, field, at):
    rows = [json.loads(line)[field] for line in open(file)]
    found = [tokenizer(rows[i] + " " + rows[i + 1]).input_ids[:LENGTH] for i in at]
    if any(len(ids) < LENGTH for ids in found):
        raise SystemExit(f"rows {at} of {file} and those after them have fewer than {LENGTH} tokens in {field}; choose others with --at")
    return found


def reference(model, tokens, gamma):
    """Logits, the mean loss, parameters above gamma by layer, the cosine of the two samples' activations, activations summed by unit."""
    layers = model.config.num_hidden_layers
    linear = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layers." in n}
    logits, losses, activations = [], [], []
    for ids in tokens:
        ids = torch.tensor([ids])
        model.zero_grad()
        out = model(ids).logits
        loss = torch.nn.functional.cross_entropy(out[0, :-1], ids[0, 1:])
        loss.backward()
        logits.append(out[0].detach().numpy())
        losses.append(loss.item())
        activations.append({n: (m.weight.grad * m.weight).abs().detach() for n, m in linear.items()})
    count, dots, squares = np.zeros(layers, int), np.zeros(layers), np.zeros((2, layers))
    units = np.zeros((layers, model.config.intermediate_size))
    for name in linear:
        layer = int(name.split(".layers.")[1].split(".")[0])
        a, b = (of[name] for of in activations)
        mean = (a + b) / 2
        count[layer] += int((mean > gamma).sum())
        dots[layer] += float((a * b).sum())
        squares[:, layer] += [float((a * a).sum()), float((b * b).sum())]
        if "gate_proj" in name or "up_proj" in name:
            units[layer] += mean.sum(1).numpy()
        if "down_proj" in name:
            units[layer] += mean.sum(0).numpy()
    return np.concatenate(logits), np.mean(losses), count, dots / np.sqrt(squares[0] * squares[1]), units.ravel()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--field", default="text")
    parser.add_argument("--at", type=lambda s: [int(i) for i in s.split(",")], default=[3, 8], help="the two rows, from 0")
    parser.add_argument("--kinds", default="f32,int8x8,bf16x6")
    parser.add_argument("--binary", help="the built bench; built by cargo when not given")
    args = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float64, attn_implementation="eager")
    tokens = texts(AutoTokenizer.from_pretrained(args.folder), args.rows, args.field, args.at)
    command = [args.binary] if args.binary else ["cargo", "bench", "--quiet", "--bench", "accuracy", "--"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for file in args.folder.resolve().iterdir():
            (folder / file.name).symlink_to(file)
        (folder / "tokens.json").write_text(json.dumps(tokens))
        lines = subprocess.run([*command, "--serve", str(folder), args.kinds], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        ours = [json.loads(line) for line in lines]
        logits, loss, count, cosines, units = reference(model, tokens, ours[0]["gamma"])
        print(f"logits up to {np.abs(logits).max():.0f}, {count.sum()} parameters above gamma, torch {torch.__version__} in f64")
        for of in ours:
            got = np.fromfile(folder / f"{of['kind']}.logits", np.float32).reshape(logits.shape)
            off = np.abs(got - logits)
            counts = np.abs(np.array(of["count"]) - count)
            unit = np.abs(of["units"] - units) / units
            print(f"{of['kind']} ({of['device']}): logits off by {np.sqrt((off ** 2).mean()):.1e} (root mean square; at most {off.max():.1e}), loss {abs(of['objective'] - loss):.1e},"
                  f" counts {counts.sum()} in all (a layer's at most {counts.max()}), cosines at most {np.abs(np.array(of['cosines'], float)[0] - cosines).max():.1e},"
                  f" units' activations {np.median(unit):.1e} of themselves (median; at most {unit.max():.1e})", flush=True)


if __name__ == "__main__":
    main()
