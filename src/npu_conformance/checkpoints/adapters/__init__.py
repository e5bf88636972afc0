"""A LoRA's folder as PEFT writes it: read and held against its model before any engine is given it."""
