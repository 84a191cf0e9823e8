#!/usr/bin/env python3
"""Makes everything under tests/fixtures/scan: two small data files of our own sentences (seed 7), and the reference values of
tests/golden_methods.rs by scan_reference.py.

    python scripts/reference/scan_fixtures.py --shared ../shared --smollm2 FOLDER

Without --shared only the values of the committed tiny models are made. The files named there are read, never copied: the values made from
them are numbers only. FOLDER is what smollm2_folder.py writes; `--only` makes one model's values alone. SmolLM2's rounding grows over 30
layers: PyTorch's own float32 differs from float64 by up to 4.2e-5 of a tensor's largest value and by up to 6 in a count of 3.5 million, so weights
within 5e-5 of a threshold may fall on either side of it (--band). Of its 46,080 neurons every 16th is kept.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/fixtures/scan"
# The authors' gamma, and one in the thick of the values, where a wrong count shows.
GAMMAS = ["2e-6", "3e-4"]


def sentences(rng, n):
    who = ["the miller", "Äsa", "an old clock", "Ноя", "the third engine", "a river", "no one", "大工"]
    does = ["counts", "carries", "mends", "forgets", "paints", "weighs"]
    what = ["seven stones", "the green door", "a map of 1893", "x = y + 2", "salt, bread & wine", "the same song"]
    return " ".join(f"{rng.choice(who).capitalize()} {rng.choice(does)} {rng.choice(what)}." for _ in range(n))


def write_data():
    rng = random.Random(7)
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / "text.jsonl", "w", encoding="utf-8") as f:
        for _ in range(12):
            f.write(json.dumps({"text": sentences(rng, rng.randint(1, 6))}, ensure_ascii=False) + "\n")
    with open(OUT / "choice.jsonl", "w", encoding="utf-8") as f:
        for i in range(12):
            # Some begin with `Question:`, some end in a space, some are longer than max_tokens: each has a rule of its own.
            start = "Question: " if i % 3 == 0 else ""
            end = " " if i % 4 == 1 else ""
            row = {"query": start + sentences(rng, rng.randint(1, 5)) + end, "choices": ["seven", "a green door", "wine"], "gold": rng.randrange(3)}
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--smollm2", type=Path)
    parser.add_argument("--only", metavar="NAME")
    args = parser.parse_args()
    shared = args.shared
    write_data()
    own = [("text", OUT / "text.jsonl"), ("choice", OUT / "choice.jsonl")]
    folders = sorted((ROOT / "tests/fixtures").glob("tiny-*"))
    cases = [(folder.name.replace("-", "_"), folder, own, 8, 48, []) for folder in folders]
    if shared:
        data = [("stories", "tinystories"), ("boolq", "boolq_validation"), ("arc", "arc_easy")]
        paths = [(name, shared / "data" / f"{file}.jsonl") for name, file in data]
        cases.append(("stories260k", shared / "models/stories260K", paths, 16, 64, []))
        if args.smollm2:
            paths = [(name, shared / "data" / f"{file}.jsonl") for name, file in [("boolq", "boolq_validation"), ("humaneval", "humaneval")]]
            large = ["--layers-at-once", "10", "--every", "16", "--band", "5e-5", "--threads", "2"]
            cases.append(("smollm2", args.smollm2, paths, 4, 96, large))
    for name, model, data, samples, tokens, more in cases:
        if args.only not in (None, name):
            continue
        for objective in ("max-logit", "loss"):
            command = [sys.executable, str(ROOT / "scripts/reference/scan_reference.py"), "--model", str(model), "--objective", objective]
            command += ["--samples", str(samples), "--max-tokens", str(tokens), "--out", str(OUT / f"{name}.{objective}.safetensors")]
            command += [arg for d, path in data for arg in ("--data", f"{d}={path}")] + [arg for g in GAMMAS for arg in ("--gamma", g)] + more
            print(name, objective, flush=True)
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
