"""Times forward-only evaluation and greedy text against transformers, taking turns: A B A B.

Evaluation is the mean loss of every row of a batch of texts (`--rows` times `--length` tokens); transformers gets them in batches of `--batch`, the best
of those tried on the machine at hand. Text is `--tokens` tokens after a prompt of `--prompt` tokens, greedy, with transformers' key-value cache. Both
run in f32 on as many threads, and must agree: losses within 1e-3, and the text token by token.

    python benches/peers/text_vs_transformers.py MODEL [--rows 16] [--length 128] [--tokens 64] [--rounds 5] [--threads 2] [--binary PATH]

MODEL is a folder with safetensors. Needs torch and transformers.
"""

import argparse
import json
import resource
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM


def losses(model, rows, batch):
    found = []
    for part in rows.split(batch):
        logits = model(part, use_cache=False).logits[:, :-1]
        found += F.cross_entropy(logits.transpose(1, 2), part[:, 1:], reduction="none").mean(1).tolist()
    return found


def write(model, prompt, tokens):
    out = model.generate(prompt[None], attention_mask=torch.ones_like(prompt)[None], max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
    return out[0, len(prompt):].tolist()


def timed(f, *args):
    start = time.perf_counter()
    result = f(*args)
    return result, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", help="the built bench; built by cargo when not given")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    # What the model itself would write, so that losses are those of text and not of noise.
    with torch.inference_mode():
        start = torch.randint(10, model.config.vocab_size - 10, (args.rows, 1))
        rows = model.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=args.length - 1, min_new_tokens=args.length - 1, do_sample=True, pad_token_id=0)
    prompt = rows[0, : args.prompt]
    command = [args.binary] if args.binary else ["cargo", "bench", "--quiet", "--bench", "text_vs_transformers", "--"]
    ours = subprocess.Popen([*command, "--serve", args.model, str(args.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    hello = json.loads(ours.stdout.readline())
    print(f"{hello['device']} against torch {torch.__version__}, {args.threads} threads; {args.rows} rows of {args.length} tokens, {args.tokens} tokens after {args.prompt}", flush=True)

    def ask(request):
        ours.stdin.write(json.dumps(request) + "\n")
        return json.loads(ours.stdout.readline())

    times = {"score": ([], []), "write": ([], [])}
    with torch.inference_mode():
        for round_ in range(args.rounds + 1):
            mine = ask({"score": rows.tolist()})
            theirs, seconds = timed(losses, model, rows, args.batch)
            worst = max(abs(a - b) for a, b in zip(mine["losses"], theirs, strict=True))
            assert worst < 1e-3, f"losses differ by {worst}"
            text = ask({"write": prompt.tolist(), "tokens": args.tokens})
            written, writing = timed(write, model, prompt, args.tokens)
            assert text["written"] == written, f"wrote {text['written']}, transformers {written}"
            if round_ > 0:  # the first warms caches up
                for name, pair in [("score", (mine["seconds"], seconds)), ("write", (text["seconds"], writing))]:
                    for side, t in zip(times[name], pair):
                        side.append(t)
                print(f"  losses: ours {mine['seconds'] * 1e3:7.1f} ms, transformers {seconds * 1e3:7.1f} ms (differ by {worst:.1e});"
                      f" text: ours {text['seconds'] * 1e3:7.1f} ms, transformers {writing * 1e3:7.1f} ms", flush=True)
    ours.stdin.close()
    ours.wait()
    for name, what, tokens in [("score", "evaluation", args.rows * args.length), ("write", "text", args.tokens)]:
        for kind, f in [("minimum", min), ("median", statistics.median)]:
            a, b = (f(side) for side in times[name])
            print(f"{what}, {kind}: ours {tokens / a:.1f} tokens/s, transformers {tokens / b:.1f}, {b / a:.2f} times as fast")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory: ours {memory[1]:.0f} MiB, transformers {memory[0]:.0f} MiB")


if __name__ == "__main__":
    main()
