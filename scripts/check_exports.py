"""Opens what `brodmann export` writes with the packages its readers use, and compares the formats with each other.

    python scripts/check_exports.py BRODMANN [RUN]

BRODMANN: the program; RUN: a run folder, default the demo's stored run. Needs pandas, pyarrow, polars, safetensors and numpy.
Exit code 1 and a line for each difference when something does not read back equal.
"""

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy
import pandas
import polars
import pyarrow.parquet
from safetensors import safe_open

HEAD = ["model", "layer", "module", "neuron", "domain", "metric", "value", "n", "seed"]
VIEWS = ["neurons", "maps", "density", "similarity", "overlap", "upset", "overlap-curve", "tree"]
DENSE = ["neurons", "maps", "density", "similarity", "overlap"]
# What the open program measures and no run holds: made by the commands that the window sends.
MEASURED = {
    "sweep": {"do": "sweep", "request": {"what": "units", "unit": "head", "domain": "arithmetic"}},
    "against_k": {
        "do": "sweep",
        "request": {"what": "against_k", "ranking": "arithmetic", "metric": "relevance", "percents": [1, 5, 20]},
    },
    "break": {
        "do": "sweep",
        "request": {
            "what": "break",
            "domain": "arithmetic",
            "metric": "relevance",
            "candidates": 12,
            "rule": {"threshold": None, "penalty": 1.0, "most": 3, "tried": 4},
        },
    },
    "neuron": {"do": "inspect_neuron", "neuron": {"layer": 3, "index": 17}},
    "head": {"do": "read_head", "head": {"layer": 3, "index": 2}, "reading": {"text": "3 + 4 ="}},
    "ablation": {"do": "toggle_neuron", "neuron": {"layer": 3, "index": 17}},
}
problems = []


def check(holds, what):
    if not holds:
        problems.append(what)
        print("DIFFERS:", what)


def export(program, run, what, path):
    subprocess.run([program, "export", run, "--what", what, "--quiet", "--out", path], check=True, stdout=subprocess.DEVNULL)


def paths_of(what, folder):
    return {end: folder / f"{what}.{end}" for end in ["csv", "tsv", "parquet"]}


def tables(program, run, what, folder):
    for path in paths_of(what, folder).values():
        export(program, run, what, path)
    return read_back(what, folder)


def read_back(what, folder):
    paths = paths_of(what, folder)
    types = {"layer": "Int64", "neuron": "Int64", "n": "int64", "seed": "uint64", "value": "float64"}
    # Before version 3, pandas' usual parser is off by one bit now and then.
    exact = {} if int(pandas.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}
    csv, tsv = (
        pandas.read_csv(paths[end], sep=separator, dtype=types, keep_default_na=False, na_values=[""], **exact)
        for end, separator in [("csv", ","), ("tsv", "\t")]
    )
    parquet = pandas.read_parquet(paths["parquet"])
    check(list(csv.columns) == HEAD and list(parquet.columns) == HEAD, f"{what}: columns")
    check(csv.equals(tsv), f"{what}: csv and tsv in pandas")
    check(len(csv) == len(parquet) > 0, f"{what}: rows in pandas")
    for column in HEAD:
        a, b = csv[column], parquet[column]
        if column in ("layer", "neuron"):
            a, b = a.astype("float64"), b.astype("float64")
        same = (a.to_numpy() == b.to_numpy()) | (a.isna().to_numpy() & b.isna().to_numpy())
        check(bool(same.all()), f"{what}: column {column} of csv and parquet in pandas")
    lazy = polars.read_parquet(paths["parquet"])
    text = polars.read_csv(paths["csv"], schema_overrides=lazy.schema)
    check(lazy.equals(text), f"{what}: csv and parquet in polars")
    metadata = pyarrow.parquet.read_metadata(paths["parquet"]).metadata
    note = json.loads(metadata[b"provenance"])
    check(len(note["provenance"]["model_sha256"]) == 64, f"{what}: provenance inside the Parquet file")
    beside = json.loads(Path(f"{paths['csv']}.provenance.json").read_text())
    check(beside["provenance"] == note["provenance"], f"{what}: provenance beside the text and inside the Parquet file")
    return parquet


def arrays(program, run, what, folder, table):
    path = folder / f"{what}.safetensors"
    export(program, run, what, path)
    with safe_open(path, framework="np") as file:
        note = json.loads(file.metadata()["provenance"])
        check(note["command"].startswith("brodmann export"), f"{what}: command in the safetensors file")
        names = list(file.keys())
        check(len(names) > 0, f"{what}: arrays")
        if what in ("neurons", "maps"):
            for name in names:
                metric, domain = name.split("/", 1)
                rows = table[(table.domain == domain) & (table.metric == metric)].sort_values(["layer", "neuron"])
                values = rows.value.to_numpy().astype(numpy.float32).reshape(file.get_tensor(name).shape)
                check(numpy.array_equal(values, file.get_tensor(name), equal_nan=True), f"{what}: bits of {name}")


def picture(program, run, what, folder):
    export(program, run, what, folder / f"{what}.svg")
    parse(what, folder)


def parse(what, folder):
    path = folder / f"{what}.svg"
    root = ElementTree.parse(path).getroot()
    note = json.loads(root.find("{http://www.w3.org/2000/svg}metadata").text)
    check(len(note["provenance"]["model_sha256"]) == 64, f"{what}: provenance inside the SVG")


def measure(program, folder):
    """Everything that is measured, exported in every format by one run of the program."""
    lines = [
        {"do": "open_demo"},
        {"do": "set_eval_config", "config": {"samples": 8, "seed": 0, "order": "shuffle", "max_tokens": 256}},
        {"do": "set_controls", "count": 1},
        {"do": "index_activations"},
    ]
    for what, command in MEASURED.items():
        lines.append(command)
        subject = {name: command[name] for name in ("neuron", "head") if what == name}
        for end in ["csv", "tsv", "parquet", "svg"]:
            lines.append({"do": "export", "spec": {"what": what, "kind": end, **subject}, "path": str(folder / f"{what}.{end}")})
    script = folder / "commands.jsonl"
    script.write_text("\n".join(json.dumps(line) for line in lines))
    subprocess.run([program, "script", script, "--wait", "--quiet"], check=True, stdout=subprocess.DEVNULL)


def main():
    program, run = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "demo"
    with tempfile.TemporaryDirectory() as folder:
        for what in VIEWS:
            table = tables(program, run, what, Path(folder))
            if what in DENSE:
                arrays(program, run, what, Path(folder), table)
            picture(program, run, what, Path(folder))
            print(f"{what}: {len(table)} rows read back equal" if not problems else f"{what}: see above")
        measure(program, Path(folder))
        for what in MEASURED:
            table = read_back(what, Path(folder))
            parse(what, Path(folder))
            print(f"{what}: {len(table)} rows read back equal" if not problems else f"{what}: see above")
    sys.exit(1 if problems else 0)


main()
