"""Studies: what a part of a recipe, a modality, a query or a new item is worth."""
