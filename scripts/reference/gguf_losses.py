"""Losses of GGUF models by transformers on the dequantised weights, for tests/gguf_reference.rs.

    python scripts/reference/gguf_losses.py TEXTS.jsonl OUT.json MODEL.gguf ...

transformers reads the file itself (`gguf_file=`), so weights, their order and the config come by another way than Brodmann's. Loss is the mean negative
log-likelihood of a row's tokens after the first, in float32 with float64 sums. The first 20 rows of TEXTS, at most 96 tokens each.
"""

import json
import pathlib
import sys

import torch
import transformers

ROWS, TOKENS = 20, 96
PROMPT = "The capital of France is"


def main():
    texts = [json.loads(line)["text"] for line in pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()[:ROWS]]
    result = {"by": f"transformers {transformers.__version__}, torch {torch.__version__}", "prompt": PROMPT, "models": {}}
    for path in map(pathlib.Path, sys.argv[3:]):
        tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        rows = []
        for text in texts:
            ids = tokenizer(text)["input_ids"][:TOKENS]
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0].double()
            log_probs = torch.log_softmax(logits, dim=-1)
            loss = -sum(log_probs[i - 1, ids[i]] for i in range(1, len(ids))) / (len(ids) - 1)
            rows.append({"ids": " ".join(map(str, ids)), "loss": round(float(loss), 6)})
        ids = tokenizer(PROMPT)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        top = torch.topk(logits, 5)
        result["models"][path.name] = {
            "rows": rows,
            "prompt_ids": ids,
            "next": [{"id": int(i), "text": tokenizer.decode([int(i)]), "logit": round(float(v), 5)} for v, i in zip(top.values, top.indices)],
        }
    pathlib.Path(sys.argv[2]).write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


main()
