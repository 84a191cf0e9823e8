"""Times the cosines of |w dD/dw| of all pairs of samples against PyTorch, taking turns: A B A B.

PyTorch forms every sample's weight gradient by one bmm, multiplies by the weight, takes absolute values, and multiplies the stack with its own
transpose: bmm, mul_, abs_, matmul. Ours is the tile-wise kernel (benches/all_pairs.rs), which stores no gradient. Both get the same operands and
threads, and must agree on every cosine (2e-6).

    python benches/peers/all_pairs_vs_pytorch.py [--samples 64] [--tokens 128] [--out 1376] [--inp 512] [--threads 2] [--rounds 9] [--binary PATH]

Needs torch, numpy and safetensors. Prints minima, medians and their ratio, and the peak memory of this process against what it held before.
"""

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file


def main():
    parser = argparse.ArgumentParser()
    for name, value in [("samples", 64), ("tokens", 128), ("out", 1376), ("inp", 512), ("threads", 2), ("rounds", 9)]:
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--binary", help="built benches/all_pairs.rs; default: cargo bench runs it")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    n, t = args.samples, args.tokens
    w = (rng.standard_normal((args.out, args.inp)) * 0.05).astype(np.float32)
    x = rng.standard_normal((n, t, args.inp)).astype(np.float32)
    delta = (rng.standard_normal((n, t, args.out)) * 1e-3).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "operands.safetensors"
        save_file({"w": w, "x": x, "delta": delta}, file)
        serve = ["--serve", str(file), str(args.threads)]
        command = [args.binary, *serve] if args.binary else ["cargo", "bench", "--bench", "all_pairs", "--", *serve]
        ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        print(json.loads(ours.stdout.readline())["device"], "against torch", torch.__version__, f"on {args.threads} threads")
        W, X, D = (torch.from_numpy(v) for v in (w, x, delta))

        def peer():
            start = time.perf_counter()
            g = torch.bmm(D.transpose(1, 2), X)
            a = g.mul_(W).abs_().view(n, -1)
            gram = a @ a.T
            norm = gram.diagonal().sqrt()
            cosines = gram / norm[:, None] / norm[None, :]
            return cosines, time.perf_counter() - start

        def own():
            ours.stdin.write("go\n")
            ours.stdin.flush()
            return json.loads(ours.stdout.readline())

        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = {"ours": [], "torch": []}
        for i in range(args.rounds + 2):
            answer = own()
            cosines, seconds = peer()
            wanted = np.array([float(cosines[a, b]) for b in range(n) for a in range(b)])
            worst = np.abs(wanted - np.array(answer["cosines"])).max()
            assert worst < 2e-6, f"cosines differ by {worst}"
            if i > 1:
                times["ours"].append(answer["seconds"])
                times["torch"].append(seconds)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) / 1024
        for name, values in times.items():
            print(f"{name:>6}: min {1e3 * min(values):7.1f} ms, median {1e3 * statistics.median(values):7.1f} ms")
        ratio = statistics.median(times["torch"]) / statistics.median(times["ours"])
        print(f"median ratio {ratio:.2f}; torch's memory grew by {grown:.0f} MiB; cosines agree within {worst:.1e}")
        ours.stdin.close()
        ours.wait()


if __name__ == "__main__":
    main()
