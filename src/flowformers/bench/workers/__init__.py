"""One engine each, run by the engine's own Python: these files import nothing of flowformers but the engine they time.

A worker module has PACKAGES, the distributions whose versions are reported, and
`load(folder, *, variant, threads, scratch) -> call`, where call(input_ids, attention_mask), int32 [B, S] both, returns
float32 [B, S, H], the last hidden states as NumPy. Values at padding are not compared. folder: a Hugging Face BERT
checkpoint (config.json, model.safetensors). scratch: a folder kept between runs, for the files an engine converts to:
`prepare`, of the same arguments, where there is one, writes them in a process of its own, so that start-up and memory
are those of an engine that finds them.
"""
