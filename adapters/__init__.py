"""Projectors and LoRA as code, recipes as YAML files, and the small trained adapter that ships."""
