"""Log-likelihoods that lm-evaluation-harness gives SmolLM2-135M on samples of ARC-Easy, BoolQ and PIQA, row by row.

  python lm_eval_reference.py MODEL DATA OUT.json        MODEL: the folder of smollm2_folder.py; DATA: arc_easy.jsonl, boolq_validation.jsonl, piqa.jsonl

The tasks are the stock ones (lm_eval/tasks: arc_easy, boolq, piqa) but for the names of the columns: the sample files hold ARC's and PIQA's
question as `query` ("Question: ..."), so doc_to_text "Question: {{question}}\\nAnswer:" is "{{query}}\\nAnswer:" here, and BoolQ's answer as a truth
value. f32, batches of one, one file for scored rows and examples; softmax_dtype=float64, an option of the harness, because its default takes the log-sum-exp over
49,152 logits in f32, which alone adds about 9e-6 to every token: with it the longest PIQA choice (line 143,
422 nats) is off by 1.1e-3. With f64 the engine was seen within 1.6e-4 in the first seven RUNS; the last was not compared when the fixture was made. Of each row the fixture keeps the arg max, the log-likelihoods and the first 16
hex digits of the SHA-256 of what was asked (context and continuation of every choice, each ended by a zero byte), so that prompts can be compared without a model.
Made with lm_eval 0.4.13, transformers 5.23.0, torch 2.11.0 on the CPU (the fixture says so too). Takes two minutes on 16 cores, as five processes with a
part of RUNS each; longer than half an hour on two busy ones.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import sys

import lm_eval
import numpy as np
from lm_eval.models.huggingface import HFLM

model_folder, data, out = (pathlib.Path(a) for a in sys.argv[1:4])

TASKS = {
    "arc_easy": dict(file="arc_easy.jsonl", doc_to_text="{{query}}\nAnswer:", doc_to_target="gold", doc_to_choice="choices"),
    "piqa": dict(file="piqa.jsonl", doc_to_text="{{query}}\nAnswer:", doc_to_target="gold", doc_to_choice="choices"),
    "boolq": dict(
        file="boolq_validation.jsonl",
        doc_to_text="{{passage}}\nQuestion: {{question}}?\nAnswer:",
        doc_to_target="{{answer|int}}",
        doc_to_choice=["no", "yes"],
    ),
}
# task, rows, examples, chat template
RUNS = [
    ("arc_easy", 150, 0, False),
    ("piqa", 150, 0, False),
    ("boolq", 100, 0, False),
    ("arc_easy", 60, 2, False),
    ("piqa", 60, 5, False),
    ("boolq", 30, 2, False),
    ("arc_easy", 40, 0, True),
    ("piqa", 40, 2, True),
]
SEED = 1234

versions = {p: importlib.metadata.version(p) for p in ("lm_eval", "transformers", "torch", "tokenizers")}
sums = {f: hashlib.sha256((model_folder / f).read_bytes()).hexdigest() for f in ("model.safetensors", "tokenizer.json")}


def write(runs):
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in runs)
    out.write_text(f'{{"made_with": {json.dumps(versions)},\n"model": {json.dumps(sums)},\n"runs": [\n{lines}\n]}}\n')


model = HFLM(pretrained=str(model_folder), dtype="float32", device="cpu", batch_size=1, softmax_dtype="float64")
runs = []
for name, limit, shots, chat in RUNS:
    task = dict(TASKS[name])
    file = data / task.pop("file")
    config = dict(
        task=name,
        dataset_path="json",
        dataset_kwargs=dict(data_files=dict(test=str(file))),
        test_split="test",
        fewshot_split="test",
        output_type="multiple_choice",
        metric_list=[dict(metric="acc"), dict(metric="acc_norm")],
        num_fewshot=shots,
        **task,
    )
    got = lm_eval.simple_evaluate(
        model=model, tasks=[config], limit=limit, apply_chat_template=chat, fewshot_random_seed=SEED, log_samples=True, bootstrap_iters=0
    )
    rows = []
    for sample in sorted(got["samples"][name], key=lambda s: s["doc_id"]):
        asked = list(sample["arguments"].values()) if isinstance(sample["arguments"], dict) else sample["arguments"]
        pairs = [tuple(a.values()) if isinstance(a, dict) else tuple(a) for a in asked]
        digest = hashlib.sha256("".join(f"{c}{k}\0" for c, k in pairs).encode()).hexdigest()[:16]
        # A response is (log-likelihood, whether it is the greedy one), as numbers or as their text.
        lls = [float(r[0][0] if isinstance(r[0], (list, tuple)) else r[0]) for r in sample["filtered_resps" if "filtered_resps" in sample else "resps"]]
        assert len(lls) == len(pairs)
        rows.append(dict(line=sample["doc_id"] + 1, asked=digest, chosen=int(np.argmax(lls)), ll=[round(v, 5) for v in lls]))
        if not runs and len(rows) == 1:
            print(json.dumps(dict(pairs=pairs, row=rows[0]), indent=1))
    metrics = got["results"][name]
    runs.append(
        dict(task=name, file=file.name, shots=shots, seed=SEED, chat=chat, acc=metrics["acc,none"], acc_norm=metrics["acc_norm,none"], rows=rows)
    )
    print(f"{name}, {shots} examples, chat {chat}: acc {runs[-1]['acc']:.4f}, acc_norm {runs[-1]['acc_norm']:.4f} on {len(rows)} rows", flush=True)
    write(runs)
