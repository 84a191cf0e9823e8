#!/usr/bin/env python3
"""How well LLMDcos of two sentences follows what people say of them (METHODS 1, validation 3): Spearman's correlation with their scores.

    python scripts/pair_scores.py split PAIRS.jsonl FIRST,SECOND,SCORE N FOLDER       # FOLDER/first.jsonl, second.jsonl, scores.json
    brodmann scan --model MODEL --data first=FOLDER/first.jsonl --data second=FOLDER/second.jsonl --order file --samples N --metrics llmdcos --out RUN
    python scripts/pair_scores.py correlate FOLDER RUN

In file order sample m of the one domain is paired with sample m of the other, so the run holds each pair's cosine at each layer. A pair's
score is the sum of its cosines over layers floor(L/2) .. L-3; the sums over all layers and over thirds stand beside it, and the share of
common words (Jaccard), which needs no model. numpy and safetensors.
"""

import json
import pathlib
import re
import sys

import numpy as np
from safetensors.numpy import load_file


def split(path, columns, n, folder):
    first, second, score = columns.split(",")
    rows = [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()][: int(n)]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, column in (("first", first), ("second", second)):
        text = "".join(json.dumps({"text": r[column]}, ensure_ascii=False) + "\n" for r in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "scores.json").write_text(json.dumps([float(r[score]) for r in rows]))


def ranks(v):
    """Mean ranks of equals."""
    _, inverse, counts = np.unique(v, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(a, b):
    return float(np.corrcoef(ranks(np.asarray(a)), ranks(np.asarray(b)))[0, 1])


def interval(r, n):
    """95 %, by Fisher's transformation with the variance of Bonett and Wright for ranks."""
    half = 1.96 * np.sqrt((1 + r * r / 2) / (n - 3))
    return np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)


def common_words(folder):
    texts = [[json.loads(line)["text"] for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()] for name in ("first", "second")]
    words = [[set(re.findall(r"\w+", t.lower())) for t in side] for side in texts]
    return [len(a & b) / max(1, len(a | b)) for a, b in zip(*words)]


def correlate(folder, run):
    folder, run = pathlib.Path(folder), pathlib.Path(run)
    scores = json.loads((folder / "scores.json").read_text())
    cosines = load_file(run / "grids.safetensors")["llmdcos/first|second"]
    domains = json.loads((run / "run.json").read_text())["domains"]
    lines = [d["source"]["sample_lines"] for d in domains]
    assert lines[0] == lines[1] == list(range(1, len(scores) + 1)), "rows were left out, so pairs do not match"
    assert cosines.min() >= 0, "a cosine is undefined"
    n, layers = len(scores), cosines.shape[1]
    third = layers // 3
    for what, r in [
        (f"layers {layers // 2}-{layers - 3}", slice(layers // 2, layers - 2)),
        ("all layers", slice(0, layers)),
        (f"layers 0-{third - 1}", slice(0, third)),
        (f"layers {third}-{2 * third - 1}", slice(third, 2 * third)),
        (f"layers {2 * third}-{layers - 1}", slice(2 * third, layers)),
    ]:
        r = spearman(cosines[:, r].astype(np.float64).sum(1), scores)
        lo, hi = interval(r, n)
        print(f"{what}: Spearman {r:.3f} (95 % {lo:.3f} to {hi:.3f}), n {n}")
    by_layer = [spearman(cosines[:, l], scores) for l in range(layers)]
    print("by layer: " + " ".join(f"{r:.2f}" for r in by_layer))
    print(f"common words: {spearman(common_words(folder), scores):.3f}")


if __name__ == "__main__":
    {"split": split, "correlate": correlate}[sys.argv[1]](*sys.argv[2:])
