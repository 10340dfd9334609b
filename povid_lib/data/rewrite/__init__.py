"""False answers from true ones, by any OpenAI-compatible server: within a budget, resumable."""
