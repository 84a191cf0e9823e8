#!/usr/bin/env python3
"""The tables of docs/findings.md from what `brodmann export` wrote: nothing is computed here but means and ranks.

    python scripts/findings.py DENSITY.csv SIMILARITY.csv

Layers are cut into thirds: shallow, middle, deep. Pairs of domains are ranked by their LLMDcos in METHODS' layers (floor(L/2) .. L-3).
Standard library only.
"""

import csv
import statistics
import sys
from collections import defaultdict


def read(path, metric):
    """-> {domain: {layer: value}} of a metric, or of `metric_gamma_...` where the density was counted at another threshold than the run's."""
    out = defaultdict(dict)
    with open(path, encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            if (row["metric"] == metric or row["metric"].startswith(f"{metric}_gamma_")) and row["layer"] != "" and row["value"] != "":
                out[row["domain"]][int(row["layer"])] = float(row["value"])
    return dict(out)


def bands(n):
    return [("shallow", range(0, n // 3)), ("middle", range(n // 3, 2 * n // 3)), ("deep", range(2 * n // 3, n))]


def mean(values, layers):
    return statistics.fmean(values[l] for l in layers)


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" + "---:|" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def spearman(a, b):
    def ranks(v):
        order = sorted(range(len(v)), key=v.__getitem__)
        out = [0.0] * len(v)
        i = 0
        while i < len(order):
            j = i
            while j + 1 < len(order) and v[order[j + 1]] == v[order[i]]:
                j += 1
            for k in range(i, j + 1):
                out[order[k]] = (i + j) / 2
            i = j + 1
        return out

    return statistics.correlation(ranks(a), ranks(b))


def main():
    density, cosines = read(sys.argv[1], "density"), read(sys.argv[2], "llmdcos")
    n = 1 + max(max(v) for v in density.values())
    thirds = bands(n)
    names = [f"{name} {r.start}-{r.stop - 1}" for name, r in thirds]

    print("Density, %\n")
    rows = []
    for d, v in density.items():
        rows.append([d] + [f"{100 * mean(v, r):.1f}" for _, r in thirds] + [str(max(v, key=v.get)), f"{100 * v[0]:.1f}", f"{100 * v[n - 1]:.1f}"])
    table(["domain", *names, "densest layer", "layer 0", f"layer {n - 1}"], rows)

    print("LLMDcos\n")
    late = range(n // 2, n - 2)
    within = {p: v for p, v in cosines.items() if len(set(p.split("|"))) == 1}
    across = {p: v for p, v in cosines.items() if p not in within}
    rows = []
    spans = [r for _, r in thirds] + [late]
    for what, group in [("within a domain", within), ("across domains", across)]:
        rows.append([f"mean {what}"] + [f"{statistics.fmean(mean(v, r) for v in group.values()):.3f}" for r in spans])
    ranked = sorted(across, key=lambda p: -mean(across[p], late))
    rows += [[f"within {p.split('|')[0]}"] + [f"{mean(v, r):.3f}" for r in spans] for p, v in within.items()]
    rows += [[p.replace("|", ", ")] + [f"{mean(across[p], r):.3f}" for r in spans] for p in ranked]
    table(["pair", *names, f"layers {late.start}-{late.stop - 1}"], rows)

    shallow = thirds[0][1]
    by = lambda r: [mean(across[p], r) for p in ranked]
    print(f"Spearman of the pairs' order, shallow against layers {late.start}-{late.stop - 1}: {spearman(by(shallow), by(late)):.2f} over {len(ranked)} pairs")
    print(f"spread of the pairs (largest - smallest): shallow {max(by(shallow)) - min(by(shallow)):.3f}, late {max(by(late)) - min(by(late)):.3f}")
    print("layer: mean LLMDcos within, across")
    for l in range(n):
        print(f"  {l:2d}: {statistics.fmean(v[l] for v in within.values()):.3f} {statistics.fmean(v[l] for v in across.values()):.3f}")


if __name__ == "__main__":
    main()
