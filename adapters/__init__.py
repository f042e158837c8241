"""Projectors and LoRA adapters as code, training recipes as YAML files, and two small trained checkpoints."""
