"""JSON and YAML that have one meaning: no key twice, no NaN, no nesting without end."""
