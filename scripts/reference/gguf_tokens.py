"""Token ids by llama.cpp itself, for tests/gguf_tokenizers.rs.

    python scripts/reference/gguf_tokens.py OUT.json [MODEL.gguf ...]

Needs `tokenizers`, `gguf` and `xllamacpp` (llama.cpp as a Python wheel). Strings are put together from a list of pieces by a small generator that the
test repeats, and are followed by the lines of the demo's validation files. Ids are kept as digests of a hundred strings each, with a few in full.

For every pre-tokenizer a GGUF file is written with one small vocabulary, whose merges were trained without cutting text into words: tokens reach over
every border, so that a border in another place shows. MODEL.gguf are whole models; their ids are kept under the file's name.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import sys
import tempfile
import urllib.request

import gguf
import numpy
import tokenizers
import xllamacpp

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNT = 2000
MERGES = 1500
PIECES = (
    "the and Once upon time said little Hello world iPhone CamelCase ABCdef HTTPServer x1y2 don't it's IT'S we're I'LL they'd o'clock "
    "0 1 12 345 6789 1234567 3.14 1,000 ½ ² ٣ ⅷ . , ! ? ... :: ; - — “ ” ( ) [] {} < <= => $ $9 + ++ ^ ~ ` | _ # // \\ @ & % * \" ' 's 'S "
    "日本 語 中文字 ひらがな カタカナ 한국어 привет Ωμέγα straße naïve café Ärger ǅ ʰ ª हिन्दी ไทย עברית العربية 🙂 👩‍👩‍👧 𝔘𝔫 İ ſ return def"
).split()
SPACES = [" ", " ", " ", " ", " ", " ", " ", " ", "  ", "   ", "\n", "\n", "\n\n", " \n", "\n  ", "\r\n", "\t", "\t\t", "\u00a0", "\u3000", ""]
# What special tokens are called in the small vocabulary and in both models.
SPECIAL = ["<s>", "</s>", "<|im_end|>", "<tool>"]
ATOMS = PIECES + PIECES + [" " + p for p in PIECES] + 6 * SPACES + SPECIAL

PRE = [
    "gpt-2", "llama-bpe", "dbrx", "qwen2", "qwen35", "stablelm2", "seed-coder", "smollm", "starcoder", "command-r", "tekken", "gpt-4o",
    "deepseek-llm", "deepseek-coder", "deepseek-v3", "olmo", "default",
]

# Where llama.cpp's expressions differ from those of the models' tokenizer.json, which Brodmann follows: its classes of large and small letters for the
# first two are exact for ASCII alone and leave out combining marks, and its regex engine sees no white space outside ASCII.
LEFT_OUT = {
    "tekken": ["हिन्दी", "ǅ", "𝔘"],
    "gpt-4o": ["हिन्दी", "ǅ", "𝔘"],
    "deepseek-llm": ["\u3000"],
    "deepseek-coder": ["\u3000"],
}


def strings():
    state = 2024
    made = []
    for _ in range(COUNT):
        def pick(n):
            nonlocal state
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            return (state >> 33) % n
        made.append("".join(ATOMS[pick(len(ATOMS))] for _ in range(1 + pick(14))))
    for file in sorted((ROOT / "assets/demo/data").glob("*.validation.jsonl")):
        made += file.read_text(encoding="utf-8").splitlines()
    return made


def train(texts):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=256 + MERGES, initial_alphabet=alphabet, show_progress=False, max_token_length=8)
    tokenizer.train_from_iterator(texts[:COUNT], trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return alphabet, [" ".join(m) if isinstance(m, list) else m for m in merges]


def write(path, pre, tokens, types, merges):
    width = 32
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(512)
    out.add_embedding_length(width)
    out.add_block_count(1)
    out.add_feed_forward_length(width)
    out.add_head_count(1)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(pre)
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges(merges)
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)
    zeros = lambda *shape: numpy.zeros(shape, dtype=numpy.float32)
    out.add_tensor("token_embd.weight", zeros(len(tokens), width))
    out.add_tensor("output_norm.weight", zeros(width))
    for name in ["attn_norm", "ffn_norm"]:
        out.add_tensor(f"blk.0.{name}.weight", zeros(width))
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]:
        out.add_tensor(f"blk.0.{name}.weight", zeros(width, width))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def ids_of(path, texts):
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 512
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)

    def tokenize(text):
        body = json.dumps({"content": text, "add_special": True, "parse_special": True}).encode()
        request = urllib.request.Request(server.listening_address + "/tokenize", body, {"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request).read())["tokens"]

    return [tokenize(text) for text in texts]


def kept(pre, texts, all_ids):
    return [ids for text, ids in zip(texts, all_ids) if not any(part in text for part in LEFT_OUT.get(pre, []))]


def digests(all_ids):
    groups = [all_ids[i : i + 100] for i in range(0, len(all_ids), 100)]
    lines = ["".join(",".join(map(str, ids)) + "\n" for ids in group) for group in groups]
    return [hashlib.sha256(text.encode()).hexdigest()[:12] for text in lines]


def main():
    out, models = pathlib.Path(sys.argv[1]), [pathlib.Path(p) for p in sys.argv[2:]]
    texts = strings()
    alphabet, merges = train(texts)
    # Two merges may make the same token.
    tokens = list(dict.fromkeys(SPECIAL + alphabet + [m.replace(" ", "") for m in merges]))
    types = [3, 3, 3, 4] + [1] * (len(tokens) - 4)
    found = {}
    for pre in PRE:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tokens.gguf"
            write(path, pre, tokens, types, merges)
            found[pre] = ids_of(path, texts)
    whole = {path.name: ids_of(path, texts) for path in models}
    samples = list(range(0, COUNT, 97)) + [COUNT]
    result = {
        "by": f"llama.cpp in xllamacpp {importlib.metadata.version('xllamacpp')}",
        "strings": len(texts),
        "count": COUNT,
        "atoms": ATOMS,
        "special": SPECIAL,
        "alphabet": "".join(alphabet),
        "merges": "\n".join(merges),
        "left_out": LEFT_OUT,
        "pre": {pre: digests(kept(pre, texts, ids)) for pre, ids in found.items()},
        "models": {name: digests(ids) for name, ids in whole.items()},
        "samples": [
            {"index": i, "text": texts[i], **{name: ids[i] for name, ids in [*whole.items(), ("qwen2", found["qwen2"])]}} for i in samples
        ],
    }
    out.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if len(sys.argv) > 2:
        print({name: sum(map(len, ids)) for name, ids in {**found, **whole}.items()})
    # Everything in full beside it, for finding out where a digest differs; not kept.
    pathlib.Path(str(out) + ".full").write_text(json.dumps({**found, **whole}), encoding="utf-8")


main()
