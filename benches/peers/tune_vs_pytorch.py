"""Times training steps against PyTorch, taking turns: A B C A B C.

A is our step over every parameter, B our step over one hidden neuron in ten (rows of gate and up, columns of down), C PyTorch's over every parameter:
forward, cross-entropy of every token but the first, backward, gradients cut to norm 1, AdamW. PyTorch gets its best on a processor: scaled dot-product
attention, `F.rms_norm`, and the fused AdamW (`--unfused` for the other). All run in f32 on as many threads, on the same weights and tokens; losses must
agree to 1e-4 and gradient norms to 1e-3 in every step. Peak memory is each process' own, the mapped weights included.

    python benches/peers/tune_vs_pytorch.py [--shape smollm2|small] [--rounds 5] [--threads 2] [--unfused] [--binary PATH]

Needs torch, numpy and safetensors.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import scan_vs_pytorch as shapes


def peer(folder, threads, shape, fused, pipe):
    """In a process of its own, so that its peak memory is that of training alone."""
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    shapes.set_shape(shape)
    weights = load_file(folder / "model.safetensors")
    tokens = torch.tensor(json.loads((folder / "tokens.json").read_text()))
    for w in weights.values():
        w.requires_grad_()
    forward = shapes.PyTorchScan.__new__(shapes.PyTorchScan)
    forward.w, forward.objective = weights, "loss"
    forward.scanned = [[weights[f"model.layers.{l}.{m}.weight"] for m in shapes.MATRICES] for l in range(shapes.LAYERS)]
    angles = torch.arange(shapes.T)[:, None] * shapes.THETA ** (-torch.arange(0, shapes.HEAD, 2) / shapes.HEAD)[None, :]
    forward.cos, forward.sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
    matrices = [w for w in weights.values() if w.dim() == 2]
    others = [w for w in weights.values() if w.dim() != 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-5, betas=(0.9, 0.999), eps=1e-8, fused=fused)
    pipe.send(torch.__version__)
    while pipe.recv():
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = forward.value(tokens) / len(tokens)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimizer.step()
        seconds = time.perf_counter() - start
        pipe.send((seconds, float(loss), float(norm), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=list(shapes.SHAPES), default="smollm2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--unfused", action="store_true")
    parser.add_argument("--binary", help="the built bench; built by cargo when not given")
    args = parser.parse_args()
    shapes.set_shape(args.shape)
    command = [args.binary] if args.binary else ["cargo", "bench", "--quiet", "--bench", "tune_vs_pytorch", "--"]
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shapes.write_model(folder)
        ours = {}
        for what in ["full", "neurons"]:
            ours[what] = subprocess.Popen([*command, "--serve", str(folder), str(args.threads), what],
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        hello = {what: json.loads(p.stdout.readline()) for what, p in ours.items()}
        here, there = spawn.Pipe()
        theirs = spawn.Process(target=peer, args=(folder, args.threads, args.shape, not args.unfused, there), daemon=True)
        theirs.start()
        version = here.recv()
        print(f"{hello['full']['device']} against torch {version}, {args.threads} threads, shape {args.shape}: {shapes.SAMPLES} x {shapes.T} tokens, AdamW"
              f"{'' if args.unfused else ' (fused)'}; {hello['full']['trained']} and {hello['neurons']['trained']} parameters", flush=True)
        times = {"full": [], "neurons": [], "torch": []}
        peaks = {}
        for round_ in range(args.rounds + 1):
            mine = {}
            for what, process in ours.items():
                process.stdin.write("step\n")
                mine[what] = json.loads(process.stdout.readline())
                peaks[what] = mine[what]["peak"]
            here.send(True)
            seconds, loss, norm, peaks["torch"] = here.recv()
            assert abs(mine["full"]["loss"] - loss) < 1e-4, f"loss {mine['full']['loss']}, torch {loss}"
            assert abs(mine["full"]["norm"] / norm - 1) < 1e-3, f"gradient norm {mine['full']['norm']}, torch {norm}"
            if round_ > 0:  # the first makes the optimisers' state
                for what in ours:
                    times[what].append(mine[what]["seconds"])
                times["torch"].append(seconds)
                print(f"  full {mine['full']['seconds'] * 1e3:7.0f} ms   neurons {mine['neurons']['seconds'] * 1e3:7.0f} ms   torch {seconds * 1e3:7.0f} ms"
                      f"   loss {loss:.5f}", flush=True)
        here.send(False)
        for process in ours.values():
            process.stdin.close()
            process.wait()
    for name, f in [("minimum", min), ("median", statistics.median)]:
        full, neurons, torch_ = (f(times[what]) for what in ["full", "neurons", "torch"])
        print(f"{name}: full {full * 1e3:.0f} ms, neurons {neurons * 1e3:.0f} ms, torch {torch_ * 1e3:.0f} ms;"
              f" ours {torch_ / full:.2f} times as fast as torch, neurons {full / neurons:.2f} times as fast as full")
    mib = {what: peak / 2**20 for what, peak in peaks.items()}
    print(f"peak memory: full {mib['full']:.0f} MiB, neurons {mib['neurons']:.0f} MiB ({100 * mib['neurons'] / mib['full']:.0f} %), torch {mib['torch']:.0f} MiB")


if __name__ == "__main__":
    main()
