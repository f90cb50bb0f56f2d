"""Commands for operators: tokens, keys, erasure, QR codes, demo data, and any cleanup or background job."""
