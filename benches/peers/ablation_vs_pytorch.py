"""Times a toggle against PyTorch evaluating everything again, taking turns.

PyTorch (transformers, f32, no gradient) runs every choice of every question through all layers, `--batch` sequences of about equal length at a time
padded on the right, with a hook that sets 32 neurons of one layer to 0, and takes logits at the scored positions only. Ours are `toggle` (a warm
session), `shared` and `plain` (every layer again, with and without sharing prompts) of benches/ablation.rs. Both get the same tokens and threads, and
must agree on every log-likelihood to 2e-3.

    python benches/peers/ablation_vs_pytorch.py --folder MODEL_FOLDER [--model demo] [--data FILE | demo:arithmetic] [--items 64] [--rounds 3]
        [--threads 2] [--layers 0,15,29] [--batch 16] --binary PATH

`--binary` is the bench executable that `cargo bench --bench ablation --no-run` names. `--model` is what that opens, where it is not the folder.
Needs torch and transformers; the model must be a llama (its MLP's down_proj is hooked).
"""

import argparse
import json
import statistics
import subprocess
import time

import torch
from transformers import AutoModelForCausalLM


class Ours:
    def __init__(self, args):
        command = [args.binary, "--serve", args.model or args.folder, args.data, str(args.items), str(args.threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = json.loads(self.process.stdout.readline())

    def run(self, what, layer):
        self.process.stdin.write(f"{what} {layer}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["seconds"], answer["log_likelihoods"]


class Theirs:
    def __init__(self, args, about):
        torch.set_num_threads(args.threads)
        self.model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()
        self.neurons = about["neurons"]
        flat = [(i, c, choice["tokens"], choice["from"]) for i, item in enumerate(about["items"]) for c, choice in enumerate(item)]
        flat.sort(key=lambda f: len(f[2]))
        self.batches = [flat[at : at + args.batch] for at in range(0, len(flat), args.batch)]
        self.shape = [len(item) for item in about["items"]]

    @torch.no_grad()
    def run(self, layer):
        def off(_, inputs):
            x = inputs[0].clone()
            x[..., : self.neurons] = 0
            return (x,)

        handle = self.model.model.layers[layer].mlp.down_proj.register_forward_pre_hook(off)
        start = time.perf_counter()
        out = [[0.0] * n for n in self.shape]
        for batch in self.batches:
            longest = max(len(tokens) - 1 for _, _, tokens, _ in batch)
            ids = torch.zeros(len(batch), longest, dtype=torch.long)
            for row, (_, _, tokens, _) in enumerate(batch):
                ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
            # Padding stands on the right: no position that is scored sees it.
            hidden = self.model.model(input_ids=ids).last_hidden_state
            rows = [(r, p, tokens[p + 1]) for r, (_, _, tokens, first) in enumerate(batch) for p in range(min(first, len(tokens) - 1) - 1, len(tokens) - 1)]
            picked = hidden[[r for r, _, _ in rows], [p for _, p, _ in rows]]
            logs = torch.log_softmax(self.model.lm_head(picked), dim=-1)
            values = logs[range(len(rows)), [t for _, _, t in rows]]
            for (r, _, _), value in zip(rows, values.tolist()):
                item, choice = batch[r][0], batch[r][1]
                out[item][choice] += value
        seconds = time.perf_counter() - start
        handle.remove()
        return seconds, out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--model")
    parser.add_argument("--data", default="demo:arithmetic")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--layers")
    parser.add_argument("--binary", required=True)
    args = parser.parse_args()
    ours = Ours(args)
    theirs = Theirs(args, ours.about)
    n = ours.about["layers"]
    layers = [int(l) for l in args.layers.split(",")] if args.layers else list(range(n))
    print(f"{ours.about['device']}; torch {torch.__version__}, {args.threads} threads; {args.items} items, {sum(theirs.shape)} choices")
    times = {"torch": [], "plain": [], "shared": []}
    toggles = {l: [] for l in layers}
    worst = 0.0
    for round in range(args.rounds + 1):
        layer = layers[round % len(layers)]
        seconds, reference = theirs.run(layer)
        for what in ("plain", "shared"):
            s, _ = ours.run(what, layer)
            if round:
                times[what].append(s)
        if round:
            times["torch"].append(seconds)
        for l in layers:
            s, values = ours.run("toggle", l)
            if round:
                toggles[l].append(s)
            if l == layer:
                pairs = zip([v for item in values for v in item], [v for item in reference for v in item])
                worst = max(worst, max(abs(a - b) for a, b in pairs))
    assert worst < 2e-3, f"a log-likelihood differs by {worst}"
    median = {what: statistics.median(t) for what, t in times.items()}
    print(f"full, ms: torch {median['torch'] * 1e3:.1f}, ours plain {median['plain'] * 1e3:.1f}, shared {median['shared'] * 1e3:.1f}; largest difference {worst:.1e}")
    print("layer  toggle ms  x torch  x plain  x shared")
    mean = statistics.mean(statistics.median(t) for t in toggles.values())
    for l, t in [*((str(l), statistics.median(t)) for l, t in toggles.items()), ("mean", mean)]:
        print(f"{l:>5}  {t * 1e3:9.2f}  {median['torch'] / t:7.1f}  {median['plain'] / t:7.1f}  {median['shared'] / t:8.1f}")


if __name__ == "__main__":
    main()
