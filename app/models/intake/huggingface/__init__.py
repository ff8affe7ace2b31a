"""Looks into checkpoints in the Hugging Face layout without building anything. Pure Python, no Keras, no pickle.

archive    which members a zip may have, and reading them with bounds
settings   config.json and the files beside it as the network's sizes and the embedding's form
header     the header of model.safetensors
owed       which tensors a network of these sizes owes, and where each belongs in ours
vocabulary what a tokenizer file may hold
inspect    all of it
"""
