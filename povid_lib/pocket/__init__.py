"""How the pocket model is made, and how it gets into the browser."""
