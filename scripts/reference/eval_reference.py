"""Log-likelihoods, accuracies and losses by transformers, as lm-evaluation-harness defines them, for tests/eval_reference.rs.

    python scripts/reference/eval_reference.py MODEL_FOLDER OUT.json

Written from the harness's definitions (TemplateLM._encode_pair, loglikelihood, process_results), not from Brodmann's code: every choice is one
forward pass over its whole sequence, probabilities in float64. Ablations are done by forward pre-hooks on down_proj (its input is
mlp.hook_post) and o_proj (its input is attn.hook_z).
"""

import json
import pathlib
import sys

import numpy
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "fixtures" / "data"

ABLATIONS = {
    "none": None,
    "zero": {"mode": "zero", "neurons": {"0": list(range(20)), "1": [5], "2": list(range(40, 61))}, "heads": [[1, 2]]},
    "scale": {"mode": "scale", "factor": -1.5, "neurons": {"1": list(range(30))}, "heads": [[0, 0], [2, 3]]},
    "mean": {"mode": "mean", "neurons": {"0": list(range(0, 88, 2)), "2": [1, 2, 3]}, "heads": [[0, 1]]},
}


def load(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return tokenizer, model


def whole(tokenizer, text):
    return tokenizer(text, add_special_tokens=True)["input_ids"]


def pair(tokenizer, context, continuation, max_tokens):
    """Tokens of context + continuation and the index of the first that is scored, cut on the left."""
    spaces = len(context) - len(context.rstrip())
    if spaces > 0:
        continuation = context[-spaces:] + continuation
        context = context[:-spaces]
    tokens = whole(tokenizer, context + continuation)
    first = len(whole(tokenizer, context))
    cut = max(0, len(tokens) - max_tokens)
    return tokens[cut:], max(first - cut, 1)


def log_likelihood(model, tokens, first):
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].double()
    log_probs = torch.log_softmax(logits, dim=-1)
    return float(sum(log_probs[i - 1, tokens[i]] for i in range(first, len(tokens))))


def hooks(model, ablation, means):
    handles = []
    if ablation is None:
        return handles
    width = model.config.hidden_size // model.config.num_attention_heads

    def change(columns, mean):
        def hook(_module, args):
            x = args[0].clone()
            if ablation["mode"] == "zero":
                x[..., columns] = 0.0
            elif ablation["mode"] == "scale":
                x[..., columns] *= ablation["factor"]
            else:
                x[..., columns] = mean[columns]
            return (x,) + args[1:]

        return hook

    for layer, block in enumerate(model.model.layers):
        neurons = ablation["neurons"].get(str(layer), [])
        if neurons:
            handles.append(block.mlp.down_proj.register_forward_pre_hook(change(neurons, means["mlp"][layer])))
        columns = [h * width + i for l, h in ablation["heads"] if l == layer for i in range(width)]
        if columns:
            handles.append(block.self_attn.o_proj.register_forward_pre_hook(change(columns, means["z"][layer])))
    return handles


def take_means(tokenizer, model, texts):
    seen = {"mlp": [[] for _ in model.model.layers], "z": [[] for _ in model.model.layers]}
    handles = []
    for layer, block in enumerate(model.model.layers):
        handles.append(block.mlp.down_proj.register_forward_pre_hook(lambda _m, a, l=layer: seen["mlp"][l].append(a[0][0].double())))
        handles.append(block.self_attn.o_proj.register_forward_pre_hook(lambda _m, a, l=layer: seen["z"][l].append(a[0][0].double())))
    with torch.no_grad():
        for text in texts:
            model(torch.tensor([whole(tokenizer, text)]))
    for handle in handles:
        handle.remove()
    return {k: [torch.cat(parts).mean(0).float() for parts in layers] for k, layers in seen.items()}


def choices_of(row):
    """(context, continuation, characters) of each choice."""
    if "context_options" in row:
        return [(c, " " + row["continuation"], len(row["continuation"])) for c in row["context_options"]]
    context = row["query"]
    if context.startswith("Question:"):
        context += "\nAnswer:"
    return [(context, c if c[:1].isspace() else " " + c, len(c)) for c in row["choices"]]


def score_choices(tokenizer, model, rows, max_tokens):
    items = []
    for row in rows:
        choices = choices_of(row)
        lls = [log_likelihood(model, *pair(tokenizer, c, cont, max_tokens)) for c, cont, _ in choices]
        normed = numpy.array(lls) / numpy.array([float(n) for _, _, n in choices])
        items.append({
            "log_likelihoods": lls,
            "correct": int(numpy.argmax(lls)) == row["gold"],
            "correct_norm": int(numpy.argmax(normed)) == row["gold"],
        })
    return {
        "items": items,
        "acc": float(numpy.mean([i["correct"] for i in items])),
        "acc_norm": float(numpy.mean([i["correct_norm"] for i in items])),
        # The harness's sample standard error.
        "stderr": float(numpy.std([i["correct"] for i in items], ddof=1) / numpy.sqrt(len(items))),
    }


def score_texts(tokenizer, model, texts, max_tokens):
    items = []
    for text in texts:
        tokens = whole(tokenizer, text)[:max_tokens]
        items.append({"nll": -log_likelihood(model, tokens, 1), "n_tokens": len(tokens) - 1})
    loss = sum(i["nll"] for i in items) / sum(i["n_tokens"] for i in items)
    return {"items": items, "loss": loss, "perplexity": float(numpy.exp(loss))}


def main():
    folder, out = sys.argv[1:]
    tokenizer, model = load(folder)
    rows = lambda name: [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
    texts = (DATA / "eval_texts.txt").read_text(encoding="utf-8").splitlines()
    means = take_means(tokenizer, model, texts)
    runs = []
    for name, ablation in ABLATIONS.items():
        handles = hooks(model, ablation, means)
        for max_tokens in [256, 24]:
            runs.append({
                "ablation": ablation,
                "max_tokens": max_tokens,
                "choices": score_choices(tokenizer, model, rows("eval_choices.jsonl"), max_tokens),
                "contexts": score_choices(tokenizer, model, rows("eval_contexts.jsonl"), max_tokens),
                "texts": score_texts(tokenizer, model, texts, max_tokens),
            })
        for handle in handles:
            handle.remove()
    result = {
        "made_by": "scripts/reference/eval_reference.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "runs": runs,
    }
    pathlib.Path(out).write_text(json.dumps(result, indent=1) + "\n")


main()
